"""What dry runs and failures taught, in two files of the user's cache folder: lost or damaged, they are simply empty.

`learnt.json`: by how much an estimate was too low, per engine build, rig and architecture; the next estimate on the
same three starts from it. `lessons.json`: memory that a card reports but does not have, per card and engine.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from splitter.engine.command import EngineRef
from splitter.engine.lessons import Lesson, fresh, lesson_key, merged, read_lesson, with_lessons
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
    """The driver's overhead, what running out of memory taught, and what dry runs asked for beyond the estimate."""
    known = _read().get(key_of(facts, rig, engine), {})
    base = with_lessons(driver_overhead, known_lessons(), engine.kind)

    def overhead(device: Device, host: Host) -> tuple[tuple[str, int], ...]:
        extra = known.get(device.id, 0)
        return (*base(device, host), *(((LEARNT, extra),) if extra else ()))

    return overhead


def remember(facts: ModelFacts, rig: Rig, engine: EngineRef, found: Mapping[str, int]) -> None:
    """Keeps the largest shortfall seen per device; nothing is written when there is nothing new to say."""
    lessons = _read()
    key = key_of(facts, rig, engine)
    before = lessons.pop(key, {})
    lessons[key] = {device: max(before.get(device, 0), found.get(device, 0)) for device in {*before, *found}}
    if lessons[key] != before:
        _write(cache_file(), dict(list(lessons.items())[-KEPT:]))


def lessons_file() -> Path:
    """`lessons.json` in the user's cache folder."""
    return cache_folder() / "lessons.json"


def known_lessons() -> dict[str, Lesson]:
    """What failures taught, by `lessons.lesson_key`; old lessons are left out."""
    read = {key: read_lesson(value) for key, value in _object(lessons_file()).items()}
    return fresh({key: lesson for key, lesson in read.items() if lesson}, datetime.now(UTC))


def keep_lessons(rig: Rig, engine: EngineRef, found: Mapping[str, Lesson]) -> None:
    """Keeps what a failure taught, by device id of `rig`."""
    lessons = known_lessons()
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for device, lesson in found.items():
        lessons = merged(lessons, lesson_key(rig.device(device), engine.kind), replace(lesson, learnt_at=now))
    put_lessons(lessons)


def put_lessons(lessons: Mapping[str, Lesson]) -> None:
    """These and no others."""
    _write(lessons_file(), {key: asdict(lesson) for key, lesson in lessons.items()})


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read() -> dict[str, dict[str, int]]:
    return {key: lesson for key, lesson in _object(cache_file()).items() if _is_lesson(lesson)}


def _is_lesson(lesson: Any) -> bool:
    return isinstance(lesson, dict) and all(type(size) is int and size >= 0 for size in lesson.values())


def _write(target: Path, lessons: Mapping[str, Any]) -> None:
    """Whole or not at all; a folder that cannot be written costs the lesson, not the plan."""
    with suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, json.dumps(lessons, indent=1))
