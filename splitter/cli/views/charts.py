"""A Report's charts on the terminal."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from splitter.bench.report.characters import Canvas, charts
from splitter.bench.report.values import Report

WIDEST = 100


def canvas(console: Console) -> Canvas:
    """The console's."""
    return Canvas(max(min(console.width, WIDEST), 30), console.encoding.lower().startswith("utf"))


def charts_view(report: Report, on: Canvas) -> Iterator[RenderableType]:
    """Every chart of the report, one below the other."""
    for line in charts(report, on):
        text = Text.assemble(*line.spans, overflow="fold")
        yield Padding(text, (0, 0, 0, line.indent)) if line.indent else text
