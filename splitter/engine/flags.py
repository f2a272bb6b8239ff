"""Small pieces that the command builders share: numbers as text, the split of a plan, the program's name."""

from splitter.errors import UsageError
from splitter.plan.placement import counts_of
from splitter.plan.plan import Plan


def number(value: float) -> str:
    """`value` as a person writes it: integers without a point, other numbers with as many digits as they need."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def split_of(plan: Plan) -> tuple[str, ...]:
    """The split the plan stands for, one entry per device: the ratios it names, else its layer counts."""
    return tuple(number(share) for share in plan.settings.tensor_split or counts_of(plan.placement))


def overrides_of(plan: Plan) -> str:
    """The `PATTERN=BUFFER` items of -ot as one comma-separated argument; both engines split it at every comma."""
    for item in plan.settings.override_tensors:
        if "," in item:
            raise UsageError(
                f"the tensor override {item!r} contains a comma, where the engine would cut it",
                "write the pattern without a comma, or as several -ot",
            )
    return ",".join(plan.settings.override_tensors)


def is_script(path: str) -> bool:
    """Whether Python must run the program: a git clone's koboldcpp.py need not be executable."""
    return path.endswith(".py")


def python_of(system: str) -> str:
    """The word that starts Python on `system` ("linux", "windows", "macos")."""
    return "python" if system == "windows" else "python3"


def program(name: str, plan: Plan) -> str:
    """The file name of the engine `name` on the plan's system: used when the engine itself is not here."""
    return f"{name}.exe" if plan.rig.host.os == "windows" else name
