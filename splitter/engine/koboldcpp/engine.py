"""koboldcpp as a value."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from splitter.engine.engine import Ask, Engine, Health

if TYPE_CHECKING:
    from splitter.engine.command import EngineCommand, EngineRef, Server
    from splitter.engine.http import Slots
    from splitter.engine.reading.case import Trap
    from splitter.engine.reading.value import Findings, ReadCommand, ReadText
    from splitter.model.facts import ModelFacts
    from splitter.plan.engine_rules import EngineRules
    from splitter.plan.plan import Plan

# Release assets, newest names first (its build scripts and workflows, 1.10 to 1.123).
LINUX_NAMES = (
    "koboldcpp",
    "koboldcpp-linux-x64",
    "koboldcpp-linux-x64-cuda1300",
    "koboldcpp-linux-x64-cuda1210",
    "koboldcpp-linux-x64-oldpc",
    "koboldcpp-linux-x64-cuda1150",
    "koboldcpp-linux-x64-rocm",
    "koboldcpp-linux-x64-nocuda",
    "koboldcpp-mac-arm64",
    "koboldcpp.py",  # a git clone
)
WINDOWS_NAMES = (
    "koboldcpp.exe",
    "koboldcpp_cu12.exe",
    "koboldcpp-oldpc.exe",
    "koboldcpp_oldcpu.exe",
    "koboldcpp_rocm.exe",
    "koboldcpp-nocuda.exe",
    "koboldcpp_nocuda.exe",
    "koboldcpp.py",
)


class Koboldcpp(Engine):
    """Releases of LostRuins/koboldcpp."""

    name = program = command_word = "koboldcpp"
    program_words = r"koboldcpp[\w.-]*(?<!\.gguf)(?<!\.kcpps)(?<!\.kcppt)(?<!\.txt)(?<!\.log)"
    port = 5001
    releases = "https://github.com/LostRuins/koboldcpp/releases"
    get = f"`splitter engine install koboldcpp`, or get it ({releases}) yourself, or name it with --engine-path"
    # --version must stand alone; before 1.81.1 only the help names the version, before 1.74 nothing does.
    version_questions = ("--version", "--help")
    version_timeout_s = 60.0  # a release unpacks itself before it answers
    settings_file = ".kcpps"
    key_flag = None
    pulse_path = "/api/extra/version"
    slots_path = "/api/extra/perf"
    abort_path = "/api/extra/abort"
    where_flags = {"--tensor_split": None, "--splitmode": 1}  # noqa: RUF012 - never changed
    amount_flags = {"--gpulayers": 1, "--moecpu": 1, "--overridetensors": 1}  # noqa: RUF012
    own_placement = ("--gpulayers", "-1")

    def file_names(self, windows: bool) -> tuple[str, ...]:
        return WINDOWS_NAMES if windows else LINUX_NAMES

    def version_of(self, answer: str) -> str | None:
        from splitter.engine.version_text import koboldcpp_version

        return koboldcpp_version(answer)

    def rules(self, version: str | None) -> "EngineRules":
        from splitter.engine.koboldcpp.versions import koboldcpp_rules

        return koboldcpp_rules(self.name, version)

    def rules_of_command(self, read: "ReadCommand", version: str | None) -> "EngineRules":
        from splitter.engine.koboldcpp.versions import koboldcpp_rules

        return koboldcpp_rules(self.name, version, read.flags)

    def command(self, plan: "Plan", engine: "EngineRef", server: "Server") -> "EngineCommand":
        from splitter.engine.koboldcpp.command import koboldcpp_command

        return koboldcpp_command(plan, engine, server)

    def knows_flag(self, flag: str) -> bool:
        from splitter.engine.koboldcpp.flags import kobold_spellings

        return flag in kobold_spellings()

    def read(
        self,
        program: str,
        args: Sequence[str],
        env: Mapping[str, str],
        version: str | None,
        read_text: "ReadText | None" = None,
    ) -> "ReadCommand":
        from splitter.engine.koboldcpp.read import read_kobold

        return read_kobold(program, args, env, version, read_text)

    def fill(
        self, read: "ReadCommand", given: dict[str, Any], facts: "ModelFacts", version: str | None, findings: "Findings"
    ) -> dict[str, Any]:
        from splitter.engine.koboldcpp.complete import fill_kobold

        return fill_kobold(read, given, facts, version, findings)

    def traps(self) -> "tuple[Trap, ...]":
        from splitter.engine.koboldcpp.traps import KOBOLD_TRAPS

        return KOBOLD_TRAPS

    def names_in_log(self, command: "EngineCommand") -> dict[str, str]:
        from splitter.engine.koboldcpp.devices import names_in_log

        return names_in_log(command.devices)

    def rehearse(self, command: "EngineCommand") -> None:
        from splitter.engine.koboldcpp.versions import EXPORT_CONFIG, koboldcpp_release

        if (
            command.engine.path
            and command.engine.version
            and koboldcpp_release(command.engine.version) >= EXPORT_CONFIG
        ):
            from splitter.engine.koboldcpp.rehearsal import rehearse

            rehearse(command)

    def health(self, ask: Ask) -> Health:
        """It has no page for it: it binds its port when everything is loaded, then names itself and the model
        ("inactive": it will serve none)."""
        named, model = self.answers(ask), ask("/api/v1/model").json()
        said = str(model.get("result", "")) if isinstance(model, dict) else ""
        if named and said == "inactive":
            return "no_model"
        return "ready" if named and said.startswith("koboldcpp/") else "loading"

    def answers(self, ask: Ask) -> bool:
        version = ask("/api/extra/version").json()
        return isinstance(version, dict) and version.get("result") == "KoboldCpp"

    def slots(self, answer: Any, argv: Sequence[str] = ()) -> "Slots | None":
        """Its page tells whether it works, not on how many requests: that many of its slots are busy at least."""
        from splitter.engine.http import read_perf

        at = argv.index("--parallelrequests") + 1 if "--parallelrequests" in argv else len(argv)
        count = argv[at] if at < len(argv) else ""
        return read_perf(answer, max(1, int(count)) if count.isdigit() else 1)


KOBOLDCPP = Koboldcpp()
