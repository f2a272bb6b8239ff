"""Why an engine died, from the last lines of its log: one sentence and the next step. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from splitter.engine.log_events import BadModel, Event, InvalidArgument, OutOfMemory, PortTaken, events
from splitter.units import format_bytes

FailureKind = Literal["out_of_memory", "port_taken", "invalid_argument", "bad_model"]


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """`kind` is stable, for programs; `sentence` and `hint` are for people."""

    kind: FailureKind
    sentence: str
    hint: str


def last_words(lines: Iterable[str]) -> EngineFailure | None:
    """What the log of a dead engine blames, None when it blames nothing known.

    Memory counts before the "failed to load model" that follows from it; of several shortages the last one that names
    device and size, because engines try again with less.
    """
    found = list(events(lines))
    shortages = [event for event in found if isinstance(event, OutOfMemory)]
    if shortages:
        return _out_of_memory(_most_telling(shortages))
    for event in found:
        failure = _other_failure(event)
        if failure:
            return failure
    return None


def _most_telling(shortages: list[OutOfMemory]) -> OutOfMemory:
    def telling(event: OutOfMemory) -> int:
        return (event.device is not None) + (event.size_bytes is not None)

    best = max(map(telling, shortages))
    return [event for event in shortages if telling(event) == best][-1]


def _out_of_memory(event: OutOfMemory) -> EngineFailure:
    where = event.device or "a device"
    what = "more memory" if event.size_bytes is None else f"another {format_bytes(event.size_bytes)}"
    hint = "close what else uses the card, or plan with a larger --margin or a smaller -c"
    return EngineFailure("out_of_memory", f"{where} had no room for {what}", hint)


def _other_failure(event: Event) -> EngineFailure | None:
    match event:
        case PortTaken(port):
            which = "the port" if port is None else f"port {port}"
            return EngineFailure("port_taken", f"{which} is taken by another program", "use another --port")
        case InvalidArgument(text):
            hint = "state the engine's real version with --engine-version, or update the engine"
            return EngineFailure("invalid_argument", f"the engine does not accept {text}", hint)
        case BadModel(reason):
            hint = "download the model again; a newer engine may know it"
            return EngineFailure("bad_model", f"the engine cannot read the model: {reason}", hint)
    return None
