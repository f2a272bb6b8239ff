"""Records for people: the points as tables, a comparison with its verdicts."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from splitter.bench.points import Shape
from splitter.bench.records.figures import milliseconds, percent, speed
from splitter.bench.records.record import Point, Record
from splitter.bench.result import acceptance_text
from splitter.bench.verdict import PointRatio, Ratio
from splitter.cli.views.sheet import Column, Row, Sheet, figures, words
from splitter.printable import SENTENCE, printable
from splitter.units import format_rate

ENDED = {
    "spread": "the results agree closely",
    "budget": "the time is up",
    "repetitions": "all repetitions are done",
    "": "?",
}


def minute(moment: str) -> str:
    """An ISO time without its seconds and its zone (records are in UTC)."""
    return moment[:16].replace("T", " ")


def title(record: Record) -> str:
    """One line that names a record."""
    engine = " ".join(part for part in (record.engine.kind, record.engine.version) if part)
    number = f"#{record.id} " if record.id is not None else ""
    label = f" [{record.label}]" if record.label else ""
    return printable(f"{number}{engine}: {record.model.name or record.model.path or '?'}{label}")


def record_view(record: Record) -> Iterator[RenderableType]:
    """What was measured, and how."""
    yield Text(title(record), style="bold")
    if record.error:
        yield Text(printable(f"not measured: {record.error}", SENTENCE), style="bold red")
    yield points_sheet(record.points)
    yield latency_sheet(record.points)
    for point in record.points:
        yield from point_words(point)
    if record.predicted and record.predicted.generation_tokens_per_s:
        predicted = format_rate(record.predicted.generation_tokens_per_s)
        yield Text(f"the plan predicted {predicted} t/s for generation ({record.predicted.basis})")


def points_sheet(points: Sequence[Point]) -> Sheet:
    """Speeds: median (range), and how far the mean of the generation speeds may be off (95 % confidence)."""
    columns = figures("depth", "at once", "prompt t/s", "generation t/s", "95 % interval", "each t/s", "runs")
    return Sheet(columns, tuple(Row(_speed_cells(point)) for point in points))


def _speed_cells(point: Point) -> tuple[str, ...]:
    each = speed(point.request_generation_tokens_per_s) if point.concurrency > 1 else ""
    speeds = (speed(point.prompt_tokens_per_s), speed(point.generation_tokens_per_s))
    return (*place_cells(point), *speeds, f"+/- {percent(point.half_width)}", each, str(point.repetitions))


def place_cells(point: Point | Shape) -> tuple[str, str]:
    """Which point it is."""
    return str(point.depth), str(point.concurrency)


def latency_sheet(points: Sequence[Point]) -> Sheet:
    """Latencies: p50/p95/p99."""
    columns = figures("depth", "at once", "first token ms p50/p95/p99", "between tokens ms", "J per token")
    return Sheet(columns, tuple(Row(_latency_cells(point)) for point in points))


def _latency_cells(point: Point) -> tuple[str, ...]:
    joules = "?" if point.energy_j_per_token is None else f"{point.energy_j_per_token:.2f} ({point.energy_from})"
    return (*place_cells(point), milliseconds(point.first_token_s), milliseconds(point.inter_token_s), joules)


def point_words(point: Point) -> Iterator[RenderableType]:
    """Why there are no more repetitions, who took the time, and the warnings."""
    timed = "the engine" if all(run.timed_by == "engine" for run in point.samples) else "our clock"
    where = f"depth {point.depth}, {point.concurrency} at once"
    asked = f"{point.n_prompt} prompt tokens, {point.n_generate} generated"
    because = ENDED.get(point.ended_by, printable(point.ended_by))
    yield Text(f"{where}: {asked}; timed by {timed}; stopped because {because}")
    if drafted := acceptance_text(point.samples):
        yield Text(f"{where}: {drafted}")
    for warning in point.warnings:
        yield Text(printable(f"warning: {warning}", SENTENCE), style="yellow")


def list_view(records: Sequence[Record]) -> Iterator[RenderableType]:
    """One line per record."""
    if not records:
        yield Text("nothing has been measured yet: run `splitter bench MODEL`")
        return
    columns = (*figures("id"), *words("when (UTC)", "kind", "model", "label"), *figures("generation t/s"))
    yield Sheet(columns, tuple(Row(_list_cells(record)) for record in records))


def _list_cells(record: Record) -> tuple[str, ...]:
    first = record.points[0] if record.points else None
    found = speed(first.generation_tokens_per_s) if first else "not measured"
    name = printable(record.model.name or record.model.path or "?")
    return str(record.id), minute(record.created_at), record.kind, name, printable(record.label), found


def ratio_cells(ratio: Ratio | None) -> tuple[str, str, str]:
    """Ratio, interval, verdict."""
    if ratio is None:
        return "?", "?", "unknown"
    interval = "too few runs" if ratio.low is None else f"{ratio.low:.3f}-{ratio.high:.3f}"
    return f"{ratio.ratio:.3f}", interval, ratio.verdict


def comparison_view(first: Record, second: Record, ratios: Sequence[PointRatio]) -> Iterator[RenderableType]:
    """The first over the second, point by point."""
    yield Text(f"{title(first)}  over  {title(second)}", style="bold")
    rows = (
        Row((*place_cells(item.shape), name, *ratio_cells(ratio)))
        for item in ratios
        for name, ratio in (("prompt", item.prompt), ("generation", item.generation))
    )
    columns = figures("depth", "at once", "speed", "ratio", "95 % interval", "verdict")
    yield Sheet(columns, tuple(rows))
    if not ratios:
        yield Text("they share no measurement: measure both with the same tokens, depths and concurrencies")


def duel_view(records: Sequence[Record], ratios: Sequence[Sequence[PointRatio]]) -> Iterator[RenderableType]:
    """The alternatives of one comparison: `ratios` are the first record's over each."""
    yield Text(title(records[0]), style="bold")
    numbers = figures("depth", "at once", "generation t/s", "plan / it", "95 % interval", "verdict")
    for record in records:
        if record.error:
            yield Text(printable(f"{record.label}: {record.error}", SENTENCE), style="bold red")
    rows = (row for record, found in zip(records, ratios, strict=True) for row in _duel_rows(record, found, records[0]))
    yield Sheet((Column("alternative"), *numbers), tuple(rows))
    for record in records:
        for point in record.points:
            yield from (
                Text(printable(f"{record.label}: warning: {w}", SENTENCE), style="yellow") for w in point.warnings
            )


def _duel_rows(record: Record, ratios: Sequence[PointRatio], plan: Record) -> Iterator[Row]:
    by_place = {place_cells(item.shape): item.generation for item in ratios}
    for point in record.points:
        place = place_cells(point)
        cells = ("", "", "") if record is plan else ratio_cells(by_place.get(place))
        yield Row((printable(record.label), *place, speed(point.generation_tokens_per_s), *cells))
