"""A Report's charts for a terminal: bars of characters, plain ASCII where the terminal is not UTF-8."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from splitter.bench.report.svg_bars import PART_WORDS, pieces
from splitter.bench.report.values import (
    Memory,
    MemoryRow,
    Pair,
    Pairs,
    Report,
    Series,
    SpeedByDepth,
    TrialPoint,
    TuneHistory,
    Value,
)
from splitter.bench.report.words import measured, percent, rate, size, tokens
from splitter.printable import printable_lines

WIDEST = 100
# Per part: the character in UTF-8, in ASCII, and the colour. The characters differ, so that colour is never needed.
LOOKS = {
    "taken": ("\N{LOWER HALF BLOCK}", "x", "bright_black"),
    "model": ("\N{FULL BLOCK}", "#", "blue"),
    "context": ("\N{DARK SHADE}", "=", "yellow"),
    "compute": ("\N{MEDIUM SHADE}", "%", "green"),
    "overhead": ("\N{LIGHT SHADE}", "o", "magenta"),
    "margin": ("/", "/", "bright_black"),
    "free": ("\N{MIDDLE DOT}", ".", "bright_black"),
    "over": ("!", "!", "bold red"),
    "measured": ("\N{FULL BLOCK}", "#", "blue"),
    "predicted": ("\N{LIGHT SHADE}", "-", "bright_black"),
}


@dataclass(frozen=True, slots=True)
class Canvas:
    """The terminal: columns to draw in, and whether it knows more than ASCII."""

    width: int
    utf8: bool

    def run(self, part: str, cells: int) -> Text:
        wide, plain, style = LOOKS[part]
        return Text((wide if self.utf8 else plain) * cells, style=style)

    def bar(self, part: str, share: float, cells: int) -> Text:
        """`share` of `cells`, padded to them; a share above 0 is at least one cell."""
        drawn = max(round(share * cells), 1) if share > 0 else 0
        return self.run(part, drawn).append(" " * (cells - drawn))

    def words(self, text: str) -> str:
        """What the terminal can show, with nothing that could steer it."""
        clean = printable_lines(text).replace("\n", " ").replace("\t", " ")
        return clean if self.utf8 else clean.replace("\N{PLUS-MINUS SIGN}", "+/-").encode("ascii", "replace").decode()


def canvas(console: Console) -> Canvas:
    """The console's."""
    return Canvas(max(min(console.width, WIDEST), 30), console.encoding.lower().startswith("utf"))


def charts_view(report: Report, on: Canvas) -> Iterator[RenderableType]:
    """Every chart of the report, one below the other."""
    for memory in report.memories:
        yield from _titled(
            f"memory per card: {memory.title}" if memory.title else "memory per card", memory_chart(memory, on), on
        )
    for speed in report.speeds:
        yield from _titled(f"{speed.what.lower()} by depth, t/s", speed_chart(speed, on), on)
    for tune in report.tunes:
        yield from _titled(f"tune {tune.title}: t/s per launch", tune_chart(tune, on), on)
    for pairs in report.pairs:
        yield from _titled(f"{pairs.what.lower()}: plan against measured, t/s", pairs_chart(pairs, on), on)


def _titled(title: str, lines: Iterator[RenderableType], on: Canvas) -> Iterator[RenderableType]:
    yield Text(on.words(title), style="bold")
    yield from lines
    yield Text("")


def memory_chart(memory: Memory, on: Canvas) -> Iterator[Text]:
    """One bar per card on one scale, the host on its own; a legend of what is drawn."""
    scale = max((row.extent_bytes() for row in memory.cards), default=0)
    for row in memory.cards:
        yield from _memory_row(row, scale, on)
    if memory.host is not None and memory.host.claimed_bytes():
        yield from _memory_row(memory.host, memory.host.extent_bytes(), on)
    rows = [*memory.cards, *([memory.host] if memory.host else [])]
    shown = {part for row in rows for part, amount, _ in pieces(row) if amount}
    legend = Text("  ")
    for part in (part for part in PART_WORDS if part in shown):
        legend.append(on.run(part, 2)).append(f" {PART_WORDS[part].lower()}  ")
    yield legend


def _memory_row(row: MemoryRow, scale: int, on: Canvas) -> Iterator[Text]:
    left = row.headroom_bytes()
    state = "?" if left is None else f"{size(left)} left" if left >= 0 else f"{size(-left)} too much"
    yield from _head(f"{row.name}, {row.layers}", state, on)
    bar, start, drawn = Text("  "), 0, 0
    for part, shown, _ in pieces(row):
        start += shown
        cells = round(start / scale * (on.width - 3)) - drawn
        bar.append(on.run(part, cells))
        drawn += cells
    yield bar


def _head(name: str, state: str, on: Canvas) -> Iterator[Text]:
    """Both on one line; two lines where that is too narrow."""
    room, said = on.width - len(state) - 2, on.words(name)
    if len(said) <= room:
        yield Text(f"{said:<{room}} {state}")
        return
    yield Text(said, overflow="fold")
    yield Text(f"{state:>{on.width - 1}}")


def speed_chart(chart: SpeedByDepth, on: Canvas) -> Iterator[RenderableType]:
    """Each series with one bar per depth."""
    scale = max((value.high for series in chart.series for _, value in series.points), default=0.0) or 1.0
    for series in chart.series:
        yield _indented(series.name, on)
        yield from _depths(series, scale, on)


def _indented(text: str, on: Canvas, style: str = "") -> Padding:
    return Padding(Text(on.words(text), style, overflow="fold"), (0, 0, 0, 2))


def _depths(series: Series, scale: float, on: Canvas) -> Iterator[Text]:
    part = "predicted" if series.predicted else "measured"
    for depth, value in series.points:
        yield _bar_line(tokens(depth), part, value, scale, on)


def _bar_line(name: str, part: str, value: Value, scale: float, on: Canvas) -> Text:
    said = on.words(measured(value))
    return Text(f"  {name:>7} ").append(on.bar(part, value.middle / scale, on.width - 28)).append(f" {said}")


def tune_chart(tune: TuneHistory, on: Canvas) -> Iterator[RenderableType]:
    """One line per launch; `best` marks each that beat all before it."""
    scale = max((trial.value.middle for trial in tune.trials if trial.value), default=0.0) or 1.0
    best: float | None = None
    for trial in tune.trials:
        yield from _trial_lines(trial, scale, on, better=trial.best != best)
        best = trial.best
    won, gain = tune.winner(), tune.gain()
    if won is not None and won.value is not None:
        said = f"best {rate(won.value.middle)} t/s at launch {won.launch} ({percent(gain)} over the first): {won.label}"
        yield _indented(said, on)


def _trial_lines(trial: TrialPoint, scale: float, on: Canvas, *, better: bool) -> Iterator[RenderableType]:
    """One line; two where the words do not fit beside the bar."""
    cells = max(on.width // 3, 10)
    if trial.value is None:
        bar, said = Text(" " * cells), "failed"
    else:
        bar, said = on.bar("measured", trial.value.middle / scale, cells), rate(trial.value.middle)
    line = Text(f"  {trial.launch:>4} ").append(bar).append(f" {said:>7} {'best' if better else '    '} ")
    said = on.words(trial.problem or trial.label)
    if len(line) + len(said) < on.width:
        yield line.append(said)
        return
    yield line
    yield Padding(Text(said, overflow="fold"), (0, 0, 0, 7))


def pairs_chart(chart: Pairs, on: Canvas) -> Iterator[RenderableType]:
    """Two bars per record: measured, and what the plan promised."""
    scale = chart.scale()
    for pair in chart.rows:
        yield from _pair(pair, scale, on)


def _pair(pair: Pair, scale: float, on: Canvas) -> Iterator[RenderableType]:
    difference = "" if pair.error() is None else f"measured {percent(pair.error())}"
    yield from _head(pair.label, difference or ("not measured" if pair.measured is None else ""), on)
    cells = on.width - 30
    if pair.measured is not None:
        said = on.words(measured(pair.measured))
        yield Text("  measured  ").append(on.bar("measured", pair.measured.middle / scale, cells)).append(f" {said}")
    if pair.predicted is not None:
        said = f"{rate(pair.predicted)}"
        yield (
            Text("  predicted ").append(on.bar("predicted", min(pair.predicted / scale, 1.0), cells)).append(f" {said}")
        )
    if pair.problem:
        yield _indented(pair.problem, on, "red")
