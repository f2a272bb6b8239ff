"""What a running engine answers over HTTP, read: llama-server's /slots, koboldcpp's /api/extra/perf. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body's value; None when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class Slots:
    """`total` slots of which `busy` work; `generated` tokens so far by task, None where the engine does not tell;
    `queued` requests wait for a slot."""

    total: int
    busy: int
    generated: Mapping[int, int] | None = field(default=None)
    queued: int | None = None


def read_slots(answer: Any) -> Slots | None:
    """llama-server's /slots; None for anything else (an error object of a build without it)."""
    if not isinstance(answer, list) or not all(isinstance(slot, dict) for slot in answer):
        return None
    busy = [slot for slot in answer if _works(slot)]
    return Slots(len(answer), len(busy), {_task(slot): _decoded(slot) for slot in busy if _task(slot) >= 0})


def read_perf(answer: Any, total: int = 1) -> Slots | None:
    """koboldcpp's /api/extra/perf with `total` slots: `idle` 1 when all are free."""
    if not isinstance(answer, dict) or not isinstance(answer.get("idle"), int):
        return None
    queued = answer.get("queue")
    return Slots(total, 0 if answer["idle"] else 1, None, queued if isinstance(queued, int) else None)


def _works(slot: Mapping[str, Any]) -> bool:
    """Older builds tell a state instead: 0 is idle."""
    return bool(slot.get("is_processing", slot.get("state", 0)))


def _task(slot: Mapping[str, Any]) -> int:
    task = slot.get("id_task")
    return task if isinstance(task, int) else -1


def _decoded(slot: Mapping[str, Any]) -> int:
    """`next_token` is a list of one; older builds: an object."""
    told = slot.get("next_token")
    first = told[0] if isinstance(told, list) and told else told
    count = first.get("n_decoded") if isinstance(first, dict) else None
    return count if isinstance(count, int) and count > 0 else 0
