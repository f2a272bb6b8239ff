"""Entry: what the registry keeps of one running instance, as a value and as JSON. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from splitter.engine.command import EngineCommand
from splitter.masking import masked_argv
from splitter.plan.plan import Plan, PlannedDevice
from splitter.run.snapshot import Snapshot

FORMAT = 1
LARGEST = 2**63  # of any number here: a process, a moment, bytes
SAME_MOMENT_S = 2.0  # psutil counts from a boot time that the clock's corrections move


@dataclass(frozen=True, slots=True)
class Reserved:
    """What an instance holds of one card. `asked` True: the card's free memory was asked from the driver, which sees
    what others hold; False: it stands in a rig file, where nothing shows."""

    id: str
    name: str
    uuid: str | None
    used_bytes: int
    asked: bool

    def same_card(self, other: "Reserved") -> bool:
        """By uuid where both have one; else by id and name."""
        if self.uuid and other.uuid:
            return self.uuid == other.uuid
        return (self.id, self.name) == (other.id, other.name)


@dataclass(frozen=True, slots=True)
class Entry:
    """One instance. Times ending in `_at` are `time.time()`; `supervisor_created` and `engine_created` are when those
    processes began, as psutil says. `ready_at` is None while it is not ready. `argv` has no secret in it,
    `api_key_file` is only a path."""

    name: str
    id: str
    supervisor_pid: int
    supervisor_created: float
    engine_kind: str
    engine_version: str | None
    host: str
    port: int
    url: str
    model_path: str
    model_name: str
    log_file: str | None
    argv: tuple[str, ...]
    api_key_file: str | None
    started_at: float
    devices: tuple[Reserved, ...] = ()
    phase: str = "starting"
    engine_pid: int | None = None
    engine_created: float | None = None
    restarts: int = 0
    ready_s: float | None = None
    ready_at: float | None = None


NUMBER, TEXT = (int, float), (str,)
KINDS: Mapping[str, tuple[type, ...]] = {
    "name": TEXT,
    "id": TEXT,
    "supervisor_pid": (int,),
    "supervisor_created": NUMBER,
    "engine_kind": TEXT,
    "engine_version": (str, type(None)),
    "host": TEXT,
    "port": (int,),
    "url": TEXT,
    "model_path": TEXT,
    "model_name": TEXT,
    "log_file": (str, type(None)),
    "argv": (list,),
    "api_key_file": (str, type(None)),
    "started_at": NUMBER,
    "devices": (list,),
    "phase": TEXT,
    "engine_pid": (int, type(None)),
    "engine_created": (*NUMBER, type(None)),
    "restarts": (int,),
    "ready_s": (*NUMBER, type(None)),
    "ready_at": (*NUMBER, type(None)),
}
CARD_KINDS: Mapping[str, tuple[type, ...]] = {
    "id": TEXT,
    "name": TEXT,
    "uuid": (str, type(None)),
    "used_bytes": (int,),
    "asked": (bool,),
}


def reserved(planned: PlannedDevice) -> Reserved:
    """What a planned device takes of its card."""
    device = planned.device
    return Reserved(device.id, device.name, device.uuid, planned.used_bytes(), device.asked)


def draft(plan: Plan, command: EngineCommand, name: str) -> Entry:
    """The entry of an instance that is about to start; the registry fills in who supervises it, and when."""
    return Entry(
        name=name,
        id="",
        supervisor_pid=0,
        supervisor_created=0.0,
        engine_kind=command.engine.kind,
        engine_version=command.engine.version,
        host=command.server.host,
        port=command.server.port,
        url="",
        model_path=command.model_path,
        model_name=plan.facts.name,
        log_file=None,
        argv=masked_argv(command.argv),
        api_key_file=command.server.api_key_file,
        started_at=0.0,
        devices=tuple(reserved(planned) for planned in plan.devices),
    )


def seen(entry: Entry, snapshot: Snapshot, engine_created: float | None, now: float) -> Entry:
    """The entry after a change that a watcher was told of, at `now` (`time.time()`)."""
    ready = snapshot.phase in {"ready", "degraded"}
    return replace(
        entry,
        phase=snapshot.phase,
        url=snapshot.url,
        port=snapshot.command.server.port,
        argv=masked_argv(snapshot.command.argv),
        engine_pid=snapshot.pid,
        engine_created=engine_created,
        restarts=snapshot.restarts,
        ready_s=snapshot.ready_s,
        ready_at=(entry.ready_at or now) if ready else None,
    )


def entry_data(entry: Entry) -> dict[str, Any]:
    """The entry as JSON has it."""
    return asdict(entry)


def to_json(entry: Entry) -> str:
    """The entry as its file holds it."""
    return json.dumps({"format": FORMAT, **entry_data(entry)}, indent=1)


def from_json(text: str) -> Entry | None:
    """The entry written in `text`; None for anything that is not one (cut off, damaged, another format)."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT or not is_of(data, KINDS):
        return None
    cards = data["devices"]
    if not all(isinstance(card, dict) and is_of(card, CARD_KINDS) for card in cards):
        return None
    if not all(isinstance(word, str) for word in data["argv"]):
        return None
    known = {key: value for key, value in data.items() if key in KINDS}
    held = tuple(Reserved(**{key: card[key] for key in CARD_KINDS}) for card in cards)
    return Entry(**known | {"argv": tuple(known["argv"]), "devices": held})


def is_of(data: Mapping[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> bool:
    """Whether every key is there with a value of its kind; true and false are no numbers."""
    return all(key in data and isinstance(data[key], kind) and sound(data[key], kind) for key, kind in kinds.items())


def sound(value: Any, kind: tuple[type, ...]) -> bool:
    """Whether a number is one that an entry can have: finite, not negative."""
    if isinstance(value, bool):
        return bool in kind
    return not isinstance(value, int | float) or 0 <= value < LARGEST
