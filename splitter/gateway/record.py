"""Record: one request from its arrival to its end, as the history keeps it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from splitter.gateway.figures import Figures

Status = Literal["waiting", "running", "completed", "failed", "refused", "left", "cut"]


@dataclass(slots=True)
class RequestRecord:
    """Seconds are of the monotonic clock between moments; `at` is `time.time()`. None: unknown."""

    at: float
    gateway: str
    route: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    key: str | None = None
    model: str | None = None
    backend: str | None = None
    priority: str | None = None
    status: Status = "waiting"
    code: int | None = None
    error: str | None = None
    attempts: int = 0
    queue_s: float | None = None
    expected_queue_s: float | None = None
    expected_s: float | None = None
    first_byte_s: float | None = None
    total_s: float | None = None
    figures: Figures = field(default_factory=Figures)
    prompt: str | None = None
    answer: str | None = None
    result: Any = None

    def row(self) -> dict[str, Any]:
        """As the history has it."""
        told = self.figures
        fresh = None if told.prompt_tokens is None else told.prompt_tokens - (told.cached_tokens or 0)
        return {
            **{name: getattr(self, name) for name in COPIED},
            "prompt_tokens": told.prompt_tokens,
            "cached_tokens": told.cached_tokens,
            "output_tokens": told.output_tokens,
            "prompt_tokens_per_s": speed(fresh, told.prompt_ms),
            "generation_tokens_per_s": speed(told.output_tokens, told.output_ms),
        }

    def state(self) -> Mapping[str, Any]:
        """As /inference/ID/status says it."""
        row = {name: value for name, value in self.row().items() if name not in {"prompt", "answer"}}
        return row if self.result is None else {**row, "result": self.result}


COPIED = (
    *("id", "at", "gateway", "key", "route", "model", "backend", "priority", "status", "code", "error", "attempts"),
    *("queue_s", "expected_queue_s", "expected_s", "first_byte_s", "total_s", "prompt", "answer"),
)


def speed(tokens: int | None, ms: float | None) -> float | None:
    """Tokens per second; None where too little was measured."""
    return tokens / ms * 1000 if tokens and tokens > 1 and ms else None
