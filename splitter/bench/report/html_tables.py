"""The numbers behind every chart as tables with headers, and the report's own tables."""

from collections.abc import Iterable

from splitter.bench.report.markup import element, text
from splitter.bench.report.values import PARTS, Memory, Pairs, ReportTable, SpeedByDepth, TuneHistory, Value
from splitter.bench.report.words import percent, rate, size

SPREAD = ("median", "min", "max", "MAD", "runs")


def sheet(table: ReportTable, class_: str = "") -> str:
    """A table that scrolls inside its box; the first column heads its row."""
    heads = "".join(_cell("th", name, name in table.words, scope="col") for name in table.columns)
    rows = (_row(row, [name in table.words for name in table.columns]) for row in table.rows)
    caption = element("caption", text(table.title))
    body = element("table", caption, f"<thead><tr>{heads}<tbody>", *rows, **({"class_": class_} if class_ else {}))
    return element("div", body, class_="scroll", tabindex="0", role="region", aria_label=table.title)


def _row(row: tuple[str, ...], words: list[bool]) -> str:
    """Closing tags of rows and cells are left out, as HTML allows: a third of a table's bytes."""
    first, *rest = zip(row, words, strict=True)
    return "<tr>" + _cell("th", first[0], left=False, scope="row") + "".join(_cell("td", *cell) for cell in rest)


def _cell(name: str, words: str, left: bool, scope: str = "") -> str:
    attributes = (" class=w" if left else "") + (f" scope={scope}" if scope else "")
    return f"<{name}{attributes}>{text(words)}"


def numbers(table: ReportTable) -> str:
    """The table behind a chart, folded."""
    return element("details", element("summary", "Numbers behind this chart"), sheet(table))


def memory_table(memory: Memory) -> ReportTable:
    """One row per card, the host last."""
    rows = [*memory.cards, *([memory.host] if memory.host else [])]
    columns = ("device", "layers", *PARTS, "used", "free before", "left", "total")
    return ReportTable(
        memory.title or "Memory per card",
        columns,
        tuple(
            (
                row.name,
                row.layers,
                *(size(part) for part in row.sizes),
                *(size(amount) for amount in (row.used_bytes(), row.free_bytes, row.headroom_bytes(), row.total_bytes)),
            )
            for row in rows
        ),
        frozenset({"device", "layers"}),
    )


def speed_table(chart: SpeedByDepth) -> ReportTable:
    """One row per series and depth."""
    rows = (
        (series.name, str(depth), *spread_cells(value)) for series in chart.series for depth, value in series.points
    )
    return ReportTable(
        f"{chart.what}, tokens per second", ("series", "depth", *SPREAD), tuple(rows), frozenset({"series"})
    )


def tune_table(tune: TuneHistory) -> ReportTable:
    """One row per launch."""
    columns = ("launch", "what was changed", *SPREAD, "best so far", "problem")
    rows = ((str(t.launch), t.label, *spread_cells(t.value), rate(t.best), t.problem or "-") for t in tune.trials)
    return ReportTable(f"Tune {tune.title}", columns, tuple(rows), frozenset({"what was changed", "problem"}))


def pairs_table(chart: Pairs) -> ReportTable:
    """One row per record."""
    columns = ("record", "predicted", "basis", *SPREAD, "difference")
    rows = (
        (p.label, rate(p.predicted), p.basis or "-", *spread_cells(p.measured), percent(p.error())) for p in chart.rows
    )
    return ReportTable(f"{chart.what}, tokens per second", columns, tuple(rows), frozenset({"record", "basis"}))


def spread_cells(value: Value | None) -> Iterable[str]:
    """The cells under SPREAD."""
    if value is None:
        return ("?",) * len(SPREAD)
    if not value.count:
        return (rate(value.middle), "-", "-", "-", "predicted")
    return (rate(value.middle), rate(value.low), rate(value.high), f"{value.mad:.3g}", str(value.count))
