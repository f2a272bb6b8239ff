"""Why an engine died, from the last lines of its log: one sentence and the next step. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from splitter.engine.log.events import (
    BadModel,
    ErrorDevice,
    Event,
    InvalidArgument,
    MissingFile,
    OutOfMemory,
    PortBusy,
    PortTaken,
    events,
)
from splitter.printable import printable
from splitter.units import format_bytes

LONGEST_SENTENCE = 300

FailureKind = Literal["out_of_memory", "port_taken", "invalid_argument", "bad_model", "missing_file"]


@dataclass(frozen=True, slots=True)
class EngineFailure:
    """`kind` is stable, for programs; `sentence` and `hint` are for people."""

    kind: FailureKind
    sentence: str
    hint: str


def last_words(lines: Iterable[str], names: Mapping[str, str] | None = None) -> EngineFailure | None:
    """What the log of a dead engine blames, None when it blames nothing known.

    `names` are the plan's names of devices that the log calls otherwise (see koboldcpp/devices.py). Memory
    counts before the "failed to load model" that follows from it; of several shortages the last one that names device
    and size, because engines try again with less.
    """
    return blamed_by(tuple(events(lines)), names or {})


def blamed_by(found: Sequence[Event], names: Mapping[str, str]) -> EngineFailure | None:
    """`last_words` of a log whose events are `found`."""
    short = shortages(found)
    if short:
        return _out_of_memory(most_telling(short), names)
    busy = next((event.port for event in found if isinstance(event, PortBusy)), None)
    failure = next(filter(None, (_other_failure(event, busy) for event in found)), None)
    return replace(failure, sentence=printable(failure.sentence, LONGEST_SENTENCE)) if failure else None


def shortages(found: Sequence[Event]) -> list[OutOfMemory]:
    """Every shortage; a CUDA error names its device on the line after it."""
    named = []
    for event, following in pairwise((*found, None)):
        if isinstance(event, OutOfMemory):
            told = following.device if isinstance(following, ErrorDevice) else None
            named.append(replace(event, device=event.device or told))
    return named


def most_telling(short: Sequence[OutOfMemory]) -> OutOfMemory:
    """The last of those that name most of device and size."""

    def telling(event: OutOfMemory) -> int:
        return (event.device is not None) + (event.size_bytes is not None)

    best = max(map(telling, short))
    return [event for event in short if telling(event) == best][-1]


def _out_of_memory(event: OutOfMemory, names: Mapping[str, str]) -> EngineFailure:
    where = printable(names.get(event.device, event.device)) if event.device else "a device"
    what = "more memory" if event.size_bytes is None else f"another {format_bytes(event.size_bytes)}"
    hint = "close what else uses the card, or plan with a larger --margin or a smaller -c"
    return EngineFailure("out_of_memory", f"{where} had no room for {what}", hint)


def _other_failure(event: Event, busy: int | None) -> EngineFailure | None:
    """What `event` is to blame for; `busy` is the port at which the engine met another program."""
    match event:
        case PortTaken(port):
            port = port or busy
            which = "the port" if port is None else f"port {port}"
            return EngineFailure("port_taken", f"{which} is taken by another program", "use another --port")
        case MissingFile(path):
            return EngineFailure("missing_file", f"there is no file {path}", "check the path")
        case InvalidArgument(text):
            hint = "state the engine's real version with --engine-version, or update the engine"
            return EngineFailure("invalid_argument", f"the engine does not accept {text}", hint)
        case BadModel(reason):
            hint = "download the model again; a newer engine may know it"
            return EngineFailure("bad_model", f"the engine cannot read the model: {reason}", hint)
    return None
