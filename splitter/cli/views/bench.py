"""A measurement for people and as JSON: medians with their spread."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from splitter.bench.result import BenchResult
from splitter.bench.stats import Spread
from splitter.cli.views.sheet import Column, Row, Sheet, figures
from splitter.printable import printable_lines
from splitter.units import format_rate


def bench_data(result: BenchResult) -> dict[str, Any]:
    return {
        "url": result.url,
        "engine": result.engine,
        "model": result.model,
        "prompt_tokens": result.prompt_tokens,
        "generated_tokens": result.generated_tokens,
        "prompt_tokens_per_s": _spread_data(result.prompt_speed),
        "generation_tokens_per_s": _spread_data(result.generation_speed),
        "first_token_s": _spread_data(result.first_token),
        "runs": [asdict(run) for run in result.runs],
    }


def _spread_data(found: Spread | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)


def bench_view(result: BenchResult) -> Iterator[RenderableType]:
    yield Text(printable_lines(f"{result.engine} at {result.url}: {result.model}"), style="bold")
    rows = (
        (f"prompt, {result.prompt_tokens} tokens (t/s)", result.prompt_speed, 1),
        (f"generation, {result.generated_tokens} tokens (t/s)", result.generation_speed, 1),
        ("time to first token (ms)", result.first_token, 1000),
    )
    columns = (Column("measured"), *figures("median", "min", "max", "deviation (MAD)"))
    yield Sheet(columns, tuple(Row((name, *_cells(found, scale))) for name, found, scale in rows))
    yield Text(f"{len(result.runs)} repetitions, warm-up left out; timed by {_timed_by(result)}")


def _timed_by(result: BenchResult) -> str:
    return "the engine" if all(run.timed_by == "engine" for run in result.runs) else "our clock"


def _cells(found: Spread | None, scale: int) -> tuple[str, ...]:
    if found is None:
        return ("?", "?", "?", "?")
    values = (found.median, found.minimum, found.maximum, found.mad)
    return tuple(format_rate(value * scale, measured=True) for value in values)
