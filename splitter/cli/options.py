"""Command-line options as frozen values: one dataclass per group, expanded into a verb's parameters.

Typer reads a function's signature, so `with_options` gives a verb one parameter per field of the groups it takes and
hands the verb the groups back as values. A flag that exists in llama.cpp keeps llama.cpp's name.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache, wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from splitter.engine.engines import DEFAULT, NAMES
from splitter.memory.setting_table import SETTINGS, Setting

RIG_PANEL = "Rig and engine"
FLAG_PANEL = "llama.cpp flags (obeyed or refused, never changed)"
GOAL_PANEL = "Goal"

if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[NAMES]  # the choices of --engine
GoalName = Literal["speed", "context", "balanced"]
BackendOption = Literal["cuda", "vulkan", "rocm", "sycl", "metal"]


def rig_option(*names: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=RIG_PANEL)


def flag_option(*names: str, text: str, metavar: str | None = None, minimum: int | None = None) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, min=minimum, rich_help_panel=FLAG_PANEL)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How a verb reports."""

    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")] = False


@dataclass(frozen=True, slots=True)
class RigOptions:
    """Which devices and which engine to plan for; without any of them the host's own."""

    rig: Annotated[
        str | None, rig_option("--rig", text="A rig file, or a shipped rig's name.", metavar="FILE|NAME")
    ] = None
    gpus: Annotated[
        str | None, rig_option("--gpus", text='Cards by name, e.g. "1050ti,2080,1060-6gb".', metavar="LIST")
    ] = None
    nodes: Annotated[
        str | None,
        rig_option("--nodes", text="Other machines to use as well (see `splitter node`).", metavar="A,B"),
    ] = None
    backend: Annotated[
        BackendOption | None,
        rig_option("--backend", text="The engine's backend (default: CUDA for NVIDIA alone, else Vulkan)."),
    ] = None
    engine: Annotated[EngineName | None, rig_option("--engine", text=f"The engine (default: {DEFAULT.name}).")] = None
    engine_path: Annotated[
        str | None, rig_option("--engine-path", text="The engine's file, or its folder.", metavar="P")
    ] = None
    engine_version: Annotated[
        str | None,
        rig_option("--engine-version", text="Plan for this version; the engine need not be installed.", metavar="V"),
    ] = None


@dataclass(frozen=True, slots=True)
class MachineOptions(RigOptions):
    """The same, and the free memory kept per device."""

    margin: Annotated[
        str | None,
        rig_option("--margin", text="Memory to keep free per device, in rig order.", metavar="MIB[,MIB...]"),
    ] = None


SaveOption = Annotated[
    str | None,
    typer.Option("--save", help="Also write the JSON to this file.", metavar="FILE", rich_help_panel=GOAL_PANEL),
]


WorkloadText = Annotated[
    str | None,
    typer.Option(
        "--workload",
        help="What to plan for: chat (default), agent, rag, writing, or tokens in and out.",
        metavar="NAME|IN:OUT[@DEPTH]",
        rich_help_panel=GOAL_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class PlanOptions(MachineOptions):
    """The same, what the solver is to prefer, where the plan comes from or goes to, and where the engine listens."""

    goal: Annotated[
        GoalName | None, typer.Option("--goal", help="What to prefer (default: speed).", rich_help_panel=GOAL_PANEL)
    ] = None
    workload: WorkloadText = None
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="A profile's name or file.", metavar="P", rich_help_panel=GOAL_PANEL),
    ] = None
    save: SaveOption = None
    host: Annotated[str | None, typer.Option("--host", help="Address to bind (default: loopback).")] = None
    port: Annotated[int | None, typer.Option("--port", help="Port (default: 8080).", min=1, max=65535)] = None
    api_key_file: Annotated[
        str | None, typer.Option("--api-key-file", help="File with the API key.", metavar="FILE")
    ] = None


class FlagOptions:
    """The settings that a user may fix: one option for each line of the table of settings, as `typed`, by its name."""

    def __init__(self, **typed: Any) -> None:
        self.typed = typed

    @staticmethod
    def parameters() -> Iterator[inspect.Parameter]:
        """The parameters that typer turns into options."""
        for setting in SETTINGS:
            least = setting.minimum if setting.kind == "integer" else None
            option = flag_option(*setting.flags, text=setting.about, metavar=setting.metavar, minimum=least)
            kind, default = typed_as(setting)
            yield inspect.Parameter(
                setting.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
            )


def typed_as(setting: Setting) -> tuple[Any, Any]:
    """The type of a setting's option, and its value where it is not given."""
    if setting.kind == "boolean":
        return bool, False
    if setting.kind == "choice":
        return Literal[setting.choices] | None, None
    kinds: dict[str, Any] = {"integer": int | None, "items": list[str] | None}
    return kinds.get(setting.kind, str | None), None


def with_options(*groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replaces the verb's parameters annotated with an option group by the group's fields."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        own = [p for p in inspect.signature(verb).parameters.values() if hints.get(p.name) not in groups]
        names = {group: name for name, group in hints.items() if group in groups}
        own_of = {group: _parameters(group) for group in names}

        @wraps(verb)
        def wrapper(**values: Any) -> None:
            given = {names[group]: group(**{p.name: values.pop(p.name) for p in own_of[group]}) for group in names}
            verb(**values, **given)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
        parameters += [parameter for group in names for parameter in own_of[group]]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        del wrapper.__wrapped__
        return wrapper

    return decorate


@cache
def _parameters(group: type) -> tuple[inspect.Parameter, ...]:
    """The parameters of a group: a dataclass of annotated options, or what it makes itself."""
    if group is FlagOptions:
        return tuple(FlagOptions.parameters())
    return tuple(_parameter(group, item) for item in fields(group))


def _parameter(group: type, item: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if item.default is MISSING else item.default
    annotation = get_type_hints(group, include_extras=True)[item.name]
    return inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
