"""What engines that ran out of memory taught about a card, kept per card and engine for the next plan. Pure.

A lesson says: of the free memory that was reported, so much was not there. It is undone by age (KEPT_DAYS: a driver is
updated, a program that held memory is gone, and one start that fails teaches it again), and it counts only as far as
the report is as high as it was then: a card that now reports less free memory by itself needs none for that part.
What a rig file promised in vain is held against rig files alone: the driver, when it is asked, sees what others hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from splitter.plan.overhead import Overhead
from splitter.rig.device import Device, Host, card_key

KEPT_DAYS = 30
OUT_OF_MEMORY = "learnt from running out of memory"


@dataclass(frozen=True, slots=True)
class Lesson:
    """`missing_bytes` of the `free_bytes` that were reported; `learnt_at` is ISO 8601 text in UTC."""

    missing_bytes: int
    free_bytes: int
    learnt_at: str = ""

    def missing_now(self, free_bytes: int) -> int:
        """How much of `free_bytes`, as reported today, is not believed."""
        return max(0, self.missing_bytes - max(0, self.free_bytes - free_bytes))


def lesson_key(device: Device, engine_kind: str) -> str:
    """The card, which engine it failed, and whose report was wrong."""
    return f"{_asked_key(device, engine_kind)}{'' if device.asked else ' | rig file'}"


def _asked_key(device: Device, engine_kind: str) -> str:
    return f"{engine_kind} | {card_key(device)}"


def with_lessons(overhead: Overhead, lessons: Mapping[str, Lesson], engine_kind: str) -> Overhead:
    """`overhead` and, on a card with a lesson, what is not there."""

    def corrected(device: Device, host: Host) -> tuple[tuple[str, int], ...]:
        keys = {lesson_key(device, engine_kind), _asked_key(device, engine_kind)}
        missing = max(lessons[key].missing_now(device.free_bytes) if key in lessons else 0 for key in keys)
        return (*overhead(device, host), *(((OUT_OF_MEMORY, missing),) if missing else ()))

    return corrected


def fresh(lessons: Mapping[str, Lesson], now: datetime) -> dict[str, Lesson]:
    """The lessons that are not too old; a date that cannot be read is too old, one in the future is not."""
    return {key: lesson for key, lesson in lessons.items() if _age(lesson, now) < timedelta(days=KEPT_DAYS)}


def _age(lesson: Lesson, now: datetime) -> timedelta:
    try:
        return now - datetime.fromisoformat(lesson.learnt_at)
    except (ValueError, TypeError):
        return timedelta.max


def merged(before: Mapping[str, Lesson], key: str, lesson: Lesson) -> dict[str, Lesson]:
    """The larger of the old and the new lesson stays, as far as both speak of the same report."""
    old = before.get(key)
    if old is not None and old.missing_now(lesson.free_bytes) > lesson.missing_bytes:
        return dict(before)
    return {**before, key: lesson}


def read_lesson(value: Any) -> Lesson | None:
    """A lesson from its JSON; None for anything else."""
    if not isinstance(value, dict):
        return None
    missing, free, at = (value.get(name) for name in ("missing_bytes", "free_bytes", "learnt_at"))
    whole = all(type(size) is int and size >= 0 for size in (missing, free))
    return Lesson(missing, free, at) if whole and isinstance(at, str) else None  # type: ignore[arg-type]
