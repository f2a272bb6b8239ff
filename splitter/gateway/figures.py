"""Figures: what an answer says of its own tokens and times, in each engine's words. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

TAIL = 16384  # bytes of a stream's end in which the figures stand
LARGEST = 10**9


@dataclass(frozen=True, slots=True)
class Figures:
    """Tokens, and milliseconds of llama.cpp's own clock; None: not told."""

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    prompt_ms: float | None = None
    output_ms: float | None = None
    reason: str | None = None

    def data(self) -> dict[str, Any]:
        """As voices take it."""
        return asdict(self)


def figures_of(answer: Mapping[str, Any], reason: str | None = None) -> Figures:
    """From `usage` (OpenAI) and `timings` (llama.cpp) of an answer or of a stream's last events."""
    usage, timings = _mapping(answer.get("usage")), _mapping(answer.get("timings"))
    details = _mapping(usage.get("prompt_tokens_details"))
    fresh, cached = _count(timings.get("prompt_n")), _count(timings.get("cache_n"))
    whole = None if fresh is None else fresh + (cached or 0)
    return Figures(
        _first(_count(usage.get("prompt_tokens")), whole),
        _first(cached, _count(details.get("cached_tokens"))),
        _first(_count(usage.get("completion_tokens")), _count(timings.get("predicted_n"))),
        _number(timings.get("prompt_ms")),
        _number(timings.get("predicted_ms")),
        reason,
    )


def figures_of_tail(tail: bytes, events: int) -> Figures:
    """From the end of a stream; `events` were counted in it, a token each where nothing better is said."""
    merged: dict[str, Any] = {}
    reason = None
    for line in tail.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        try:
            event = json.loads(line[6:])
        except (ValueError, RecursionError):
            continue
        merged |= {key: event[key] for key in ("usage", "timings") if event.get(key)}
        choices = event.get("choices")
        reason = (choices[0].get("finish_reason") if choices and isinstance(choices[0], dict) else None) or reason
    told = figures_of(merged, reason)
    return told if told.output_tokens is not None else Figures(output_tokens=max(events - 2, 1), reason=reason)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < LARGEST else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
