"""Profile: layered values, each with its source, and what the planner, the engine and the supervisor need of it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from splitter.engine.command import EngineRef, Server
from splitter.engine.engines import DEFAULT, ENGINES
from splitter.engine.supervision import Supervision
from splitter.errors import ProfileError
from splitter.plan.request import Request
from splitter.plan.workload import read_workload
from splitter.profile.schema import ValueLayer
from splitter.rig.backends import BackendName
from splitter.units import from_mib

RIG_KEYS = ("rig.name", "rig.file", "rig.gpus")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A value and where it came from: `built-in`, `FILE:LINE` or `command line`."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class RigChoice:
    """Which rig to plan for; nothing set means the rig of this machine."""

    name: str | None = None
    file: str | None = None
    gpus: tuple[str, ...] = ()
    backend: BackendName | None = None
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How much of the engine's log is kept: `files` files of at most `max_mib` MiB."""

    max_mib: float = 10.0
    files: int = 5


@dataclass(frozen=True, slots=True)
class Profile:
    """Merged layers: `values` by dotted key (`settings.context_size`). `path` is the profile's own file, if any."""

    name: str
    values: Mapping[str, Resolved] = field(default_factory=dict)
    path: str | None = None

    def get(self, key: str) -> Any:
        """The value of `key`, None where no layer sets it."""
        found = self.values.get(key)
        return found.value if found else None

    def sourced(self) -> dict[str, dict[str, Any]]:
        """Every value with its source, as JSON has it."""
        return {key: {"value": found.value, "source": found.source} for key, found in sorted(self.values.items())}

    def section(self, name: str) -> dict[str, Any]:
        """The set values of one section, by their short names."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): found.value for key, found in self.values.items() if key.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class ProfileTask:
    """What a profile asks for, in the types of the rooms that do it."""

    model: str | None
    rig: RigChoice
    request: Request
    engine: EngineRef
    server: Server
    supervision: Supervision
    log: LogSettings = LogSettings()


BUILT_IN = "built-in"


def built_in() -> ValueLayer:
    """The values in force when nobody says otherwise."""
    server, supervision, log = Server(), Supervision(), LogSettings()
    values: dict[str, Any] = {
        "goal": "speed",
        "engine.kind": DEFAULT.name,
        "server.host": server.host,
        "server.port": server.port,
        "server.web_ui": server.web_ui,
        "server.cors_origins": server.cors_origins,
        "log.max_mib": log.max_mib,
        "log.files": log.files,
    }
    return ValueLayer(BUILT_IN, values | {f"supervision.{name}": value for name, value in asdict(supervision).items()})


def merge(layers: Iterable[ValueLayer], name: str, path: str | None = None) -> Profile:
    """Later layers win, key by key; a layer that names a rig replaces the rig of the layers below it."""
    values: dict[str, Resolved] = {}
    for layer in layers:
        if any(key in layer.values for key in RIG_KEYS):
            values = {key: found for key, found in values.items() if key not in RIG_KEYS}
        for key, value in layer.values.items():
            line = layer.lines.get(key)
            values[key] = Resolved(value, f"{layer.source}:{line}" if line else layer.source)
    return Profile(values["name"].value if "name" in values else name, values, path)


def to_request(profile: Profile) -> ProfileTask:
    """The profile as a planning task. ProfileError when values of different layers contradict each other."""
    settings = profile.section("settings")
    for key in ("device_order", "draft_device_order"):
        if settings.get(key) == ("none",):  # llama.cpp's word for no device
            settings[key] = ()
    context = settings.get("context_size")
    if context == "max":
        del settings["context_size"]
    _refuse_contradictions(profile, settings)
    kind = profile.get("engine.kind") or DEFAULT.name
    request = Request(
        goal=profile.get("goal") or "speed",
        workload=read_workload(profile.get("workload") or "chat"),
        fixed=settings,
        context_max=context == "max",
        margin_bytes=tuple(from_mib(mib) for mib in profile.get("margin_mib") or ()),
        engine=ENGINES[kind].rules(profile.get("engine.version")),
    )
    server = Server(**profile.section("server"))
    port = profile.values.get("server.port")
    if port is None or port.source == BUILT_IN:
        server = replace(server, port=ENGINES[kind].port)
    return ProfileTask(
        model=profile.get("model"),
        rig=RigChoice(
            profile.get("rig.name"),
            profile.get("rig.file"),
            profile.get("rig.gpus") or (),
            profile.get("rig.backend"),
            profile.get("rig.nodes") or (),
        ),
        request=request,
        engine=EngineRef(kind, profile.get("engine.path"), profile.get("engine.version")),
        server=server,
        supervision=Supervision(**profile.section("supervision")),
        log=LogSettings(**profile.section("log")),
    )


def _refuse_contradictions(profile: Profile, settings: Mapping[str, Any]) -> None:
    split, order = settings.get("tensor_split"), settings.get("device_order")
    if split and order and len(split) > len(order):
        source = profile.values["settings.tensor_split"].source
        raise ProfileError(
            f"{source}: tensor_split has {len(split)} shares for {len(order)} devices in device_order",
            "give one share per device",
        )
