"""Records for people: the points as tables, a comparison with its verdicts."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from splitter.bench.records.figures import milliseconds, percent, speed
from splitter.bench.records.record import Point, Record, to_dict
from splitter.bench.verdict import PointRatio, Ratio
from splitter.printable import SENTENCE, printable

ENDED = {
    "spread": "the spread is small",
    "budget": "the time is spent",
    "repetitions": "the repetitions are done",
    "": "?",
}


def table(*columns: str, left: int = 1) -> Table:
    """Names left, numbers right."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < left else "right", overflow="fold")
    return made


def minute(moment: str) -> str:
    """An ISO time without its seconds and its zone (records are in UTC)."""
    return moment[:16].replace("T", " ")


def title(record: Record) -> str:
    """One line that names a record."""
    engine = " ".join(part for part in (record.engine.kind, record.engine.version) if part)
    number = f"#{record.id} " if record.id is not None else ""
    label = f" [{record.label}]" if record.label else ""
    return printable(f"{number}{engine}: {record.model.name or record.model.path or '?'}{label}")


def bench_data(record: Record) -> dict[str, Any]:
    """The record as JSON, with the figures of its first point in front."""
    data = to_dict(record)
    if not record.points:
        return data
    names = ("prompt_tokens_per_s", "generation_tokens_per_s", "first_token_s")
    return {name: data["points"][0][name] for name in names} | data


def record_view(record: Record) -> Iterator[RenderableType]:
    """What was measured, and how."""
    yield Text(title(record), style="bold")
    if record.error:
        yield Text(printable(f"not measured: {record.error}", SENTENCE), style="bold red")
    yield points_table(record.points)
    yield latency_table(record.points)
    for point in record.points:
        yield from point_words(point)
    if record.predicted and record.predicted.generation_tokens_per_s:
        text = f"the plan predicted {record.predicted.generation_tokens_per_s:.1f} t/s ({record.predicted.basis})"
        yield Text(f"{text} for generation")


def points_table(points: Sequence[Point]) -> Table:
    """Speeds: median (range)."""
    made = table("depth", "at once", "prompt t/s", "generation t/s", "+/- 95 %", "each t/s", "runs", left=0)
    for point in points:
        each = speed(point.request_generation_tokens_per_s) if point.concurrency > 1 else ""
        speeds = (speed(point.prompt_tokens_per_s), speed(point.generation_tokens_per_s), percent(point.half_width))
        made.add_row(str(point.depth), str(point.concurrency), *speeds, each, str(point.repetitions))
    return made


def latency_table(points: Sequence[Point]) -> Table:
    """Latencies: p50/p95/p99."""
    made = table("depth", "at once", "first token ms p50/p95/p99", "between tokens ms", "J per token", left=0)
    for point in points:
        joules = "?" if point.energy_j_per_token is None else f"{point.energy_j_per_token:.2f} ({point.energy_from})"
        times = (milliseconds(point.first_token_s), milliseconds(point.inter_token_s))
        made.add_row(str(point.depth), str(point.concurrency), *times, joules)
    return made


def point_words(point: Point) -> Iterator[RenderableType]:
    """Why there are no more repetitions, who took the time, and the warnings."""
    timed = "the engine" if all(run.timed_by == "engine" for run in point.samples) else "our clock"
    where = f"depth {point.depth}, {point.concurrency} at once"
    asked = f"{point.n_prompt} tokens read, {point.n_generate} written"
    because = ENDED.get(point.ended_by, printable(point.ended_by))
    yield Text(f"{where}: {asked}; timed by {timed}; ended because {because}")
    for warning in point.warnings:
        yield Text(printable(f"warning: {warning}", SENTENCE), style="yellow")


def list_view(records: Sequence[Record]) -> Iterator[RenderableType]:
    """One line per record."""
    if not records:
        yield Text("nothing has been measured yet: `splitter bench MODEL` does")
        return
    made = table("id", "when (UTC)", "kind", "model", "label", "generation t/s", left=5)
    for record in records:
        first = record.points[0] if record.points else None
        found = speed(first.generation_tokens_per_s) if first else "not measured"
        name = record.model.name or record.model.path or "?"
        made.add_row(
            str(record.id), minute(record.created_at), record.kind, printable(name), printable(record.label), found
        )
    yield made


def ratio_cells(ratio: Ratio | None) -> tuple[str, str, str]:
    """Ratio, interval, verdict."""
    if ratio is None:
        return "?", "?", "unknown"
    interval = "too few runs" if ratio.low is None else f"{ratio.low:.3f}-{ratio.high:.3f}"
    return f"{ratio.ratio:.3f}", interval, ratio.verdict


def ratio_data(item: PointRatio) -> dict[str, Any]:
    """One point of a comparison as JSON."""
    return asdict(item)


def comparison_view(first: Record, second: Record, ratios: Sequence[PointRatio]) -> Iterator[RenderableType]:
    """The first over the second, point by point."""
    yield Text(f"{title(first)}  over  {title(second)}", style="bold")
    made = table("depth", "at once", "speed", "ratio", "95 %", "verdict", left=0)
    for item in ratios:
        for name, ratio in (("prompt", item.prompt), ("generation", item.generation)):
            made.add_row(str(item.shape.depth), str(item.shape.concurrency), name, *ratio_cells(ratio))
    yield made
    if not ratios:
        yield Text("they have no point in common: measure both with the same tokens, depths and concurrencies")


def duel_view(records: Sequence[Record], ratios: Sequence[Sequence[PointRatio]]) -> Iterator[RenderableType]:
    """The alternatives of one comparison: `ratios` are the first record's over each."""
    yield Text(title(records[0]), style="bold")
    made = table("alternative", "depth", "at once", "generation t/s", "plan / it", "95 %", "verdict")
    for record, found in zip(records, ratios, strict=True):
        name = record.label
        if record.error:
            yield Text(printable(f"{name}: {record.error}", SENTENCE), style="bold red")
        by_shape = {(r.shape.depth, r.shape.concurrency): r.generation for r in found}
        for point in record.points:
            ratio = by_shape.get((point.depth, point.concurrency))
            cells = ("", "", "") if record is records[0] else ratio_cells(ratio)
            where = (str(point.depth), str(point.concurrency))
            made.add_row(printable(name), *where, speed(point.generation_tokens_per_s), *cells)
    yield made
    for record in records:
        for point in record.points:
            yield from (
                Text(printable(f"{record.label}: warning: {w}", SENTENCE), style="yellow") for w in point.warnings
            )
