"""Which device had no room, for what, and what it held by then: read from the log of a dead engine. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from splitter.engine.log.events import BufferAllocated, DeviceFree, Event, events
from splitter.engine.log.last_words import most_telling, shortages

Stage = Literal["model", "context", "compute", "running"]

# The step that failed, in llama.cpp's words (`src/llama-model.cpp`, `src/llama-kv-cache.cpp`, `src/llama-context.cpp`).
STAGES: tuple[tuple[re.Pattern[str], Stage], ...] = (
    (re.compile(r"failed to allocate compute \w+ buffers|failed to allocate compute buffers"), "compute"),
    (re.compile(r"failed to allocate buffer for (?:kv|rs) cache"), "context"),
    (re.compile(r"unable to allocate \S+ buffer"), "model"),
)


@dataclass(frozen=True, slots=True)
class Shortage:
    """`device` and `size_bytes` None where the log does not tell. `held_bytes` are the buffers that the log says the
    device had by then (None: it lists none), `free_bytes` what the engine found free there before it allocated."""

    device: str | None
    size_bytes: int | None
    stage: Stage
    held_bytes: int | None = None
    free_bytes: Mapping[str, int] = field(default_factory=dict)


def shortage(lines: Iterable[str], names: Mapping[str, str] | None = None, *, loading: bool) -> Shortage | None:
    """The shortage that ended an engine, None when its log blames none. `names`: see `last_words`."""
    lines = tuple(lines)
    return shortage_of(tuple(events(lines)), lines, names or {}, loading=loading)


def shortage_of(
    found: Sequence[Event], lines: Sequence[str], names: Mapping[str, str], *, loading: bool
) -> Shortage | None:
    """`shortage` of a log whose events are `found`."""
    short = shortages(found)
    if not short:
        return None
    worst = most_telling(short)
    held: dict[str, int] = defaultdict(int)
    for event in found:
        if isinstance(event, BufferAllocated):
            held[event.device] += event.size_bytes
    free: dict[str, int] = {}
    for event in found:
        if isinstance(event, DeviceFree):  # a draft model tells again, when the main one holds its part already
            free.setdefault(names.get(event.device, event.device), event.free_bytes)
    device = worst.device
    return Shortage(
        device=names.get(device, device) if device else None,
        size_bytes=worst.size_bytes,
        stage=stage_of(lines, loading=loading),
        held_bytes=(held.get(device, 0) if device else None) if held else None,
        free_bytes=free,
    )


def stage_of(lines: Iterable[str], *, loading: bool) -> Stage:
    """What was being allocated; the last complaint counts, because engines try again with less."""
    if not loading:
        return "running"
    said = [stage for line in lines for pattern, stage in STAGES if pattern.search(line)]
    return said[-1] if said else "model"
