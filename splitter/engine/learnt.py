"""What dry runs taught: by how much an estimate was too low, kept per engine build, rig and architecture.

The next estimate on the same three starts from it. The file is a cache: lost or damaged, it is simply empty.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from splitter.engine.command import EngineRef
from splitter.folders import cache_folder
from splitter.model.facts import ModelFacts
from splitter.plan.overhead import Overhead, driver_overhead
from splitter.plan.plan import Plan
from splitter.rig.device import Device, Host, Rig
from splitter.whole_file import write_whole

LEARNT = "learnt from dry runs"
KEPT = 500  # entries; the oldest go first


def cache_file() -> Path:
    """`learnt.json` in the user's cache folder."""
    return cache_folder() / "learnt.json"


def key_of(facts: ModelFacts, rig: Rig, engine: EngineRef) -> str:
    """What the lesson holds for."""
    cards = "+".join(f"{device.name}:{device.total_bytes}" for device in rig.devices)
    return f"{engine.kind} {engine.version or '?'} | {cards} | {facts.architecture}"


def shortfalls(estimate: Plan, proven: Plan) -> dict[str, int]:
    """Bytes by which each device's estimate was too low, by device id; devices of good estimates are left out."""
    pairs = zip(estimate.devices, proven.devices, strict=True)
    lacking = {a.device.id: b.memory.breakdown_bytes() - a.memory.breakdown_bytes() for a, b in pairs}
    return {device: size for device, size in lacking.items() if size > 0}


def learnt_overhead(facts: ModelFacts, rig: Rig, engine: EngineRef) -> Overhead:
    """The driver's overhead and, where a dry run once asked for more than the estimate, that too."""
    known = _read().get(key_of(facts, rig, engine), {})

    def overhead(device: Device, host: Host) -> tuple[tuple[str, int], ...]:
        extra = known.get(device.id, 0)
        return (*driver_overhead(device, host), *(((LEARNT, extra),) if extra else ()))

    return overhead


def remember(facts: ModelFacts, rig: Rig, engine: EngineRef, found: Mapping[str, int]) -> None:
    """Keeps the largest shortfall seen per device; nothing is written when there is nothing new to say."""
    lessons = _read()
    key = key_of(facts, rig, engine)
    before = lessons.pop(key, {})
    lessons[key] = {device: max(before.get(device, 0), found.get(device, 0)) for device in {*before, *found}}
    if lessons[key] != before:
        _write(dict(list(lessons.items())[-KEPT:]))


def _read() -> dict[str, dict[str, int]]:
    try:
        found = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: lesson for key, lesson in found.items() if _is_lesson(lesson)}


def _is_lesson(lesson: Any) -> bool:
    return isinstance(lesson, dict) and all(type(size) is int and size >= 0 for size in lesson.values())


def _write(lessons: Mapping[str, Mapping[str, int]]) -> None:
    """Whole or not at all; a folder that cannot be written costs the lesson, not the plan."""
    target = cache_file()
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, json.dumps(lessons, indent=1))
