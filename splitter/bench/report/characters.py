"""A Report's charts for a terminal: bars of characters, plain ASCII where the terminal is not UTF-8. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

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

Span = tuple[str, str]  # characters, and their colour

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

    def run(self, part: str, cells: int) -> Span:
        wide, plain, style = LOOKS[part]
        return (wide if self.utf8 else plain) * cells, style

    def bar(self, part: str, share: float, cells: int) -> "Line":
        """`share` of `cells`, padded to them; a share above 0 is at least one cell."""
        drawn = max(round(share * cells), 1) if share > 0 else 0
        return Line((self.run(part, drawn), (" " * (cells - drawn), "")))

    def words(self, text: str) -> str:
        """What the terminal can show, with nothing that could steer it."""
        clean = printable_lines(text).replace("\n", " ").replace("\t", " ")
        return clean if self.utf8 else clean.replace("\N{PLUS-MINUS SIGN}", "+/-").encode("ascii", "replace").decode()


@dataclass(frozen=True, slots=True)
class Line:
    """One line; what is too long for the terminal goes on below it, behind `indent` blanks."""

    spans: tuple[Span, ...] = ()
    indent: int = 0

    def __add__(self, more: "Line | str") -> "Line":
        spans = ((more, ""),) if isinstance(more, str) else more.spans
        return Line((*self.spans, *spans), self.indent)

    def __len__(self) -> int:
        return sum(len(text) for text, _ in self.spans)


def line(text: str, style: str = "", indent: int = 0) -> Line:
    """A line of one style."""
    return Line(((text, style),), indent)


def charts(report: Report, on: Canvas) -> Iterator[Line]:
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


def _titled(title: str, lines: Iterator[Line], on: Canvas) -> Iterator[Line]:
    yield line(on.words(title), "bold")
    yield from lines
    yield Line()


def memory_chart(memory: Memory, on: Canvas) -> Iterator[Line]:
    """One bar per card on one scale, the host on its own; a legend of what is drawn."""
    scale = max((row.extent_bytes() for row in memory.cards), default=0)
    for row in memory.cards:
        yield from _memory_row(row, scale, on)
    if memory.host is not None and memory.host.claimed_bytes():
        yield from _memory_row(memory.host, memory.host.extent_bytes(), on)
    rows = [*memory.cards, *([memory.host] if memory.host else [])]
    shown = {part for row in rows for part, amount, _ in pieces(row) if amount}
    words = [(on.run(part, 2), (f" {PART_WORDS[part].lower()}  ", "")) for part in PART_WORDS if part in shown]
    yield Line((("  ", ""), *(span for pair in words for span in pair)))


def _memory_row(row: MemoryRow, scale: int, on: Canvas) -> Iterator[Line]:
    left = row.headroom_bytes()
    state = "?" if left is None else f"{size(left)} left" if left >= 0 else f"{size(-left)} too much"
    yield from _head(f"{row.name}, {row.layers}", state, on)
    bar, start, drawn = line("  "), 0, 0
    for part, shown, _ in pieces(row):
        start += shown
        cells = round(start / scale * (on.width - 3)) - drawn
        bar += Line((on.run(part, cells),))
        drawn += cells
    yield bar


def _head(name: str, state: str, on: Canvas) -> Iterator[Line]:
    """Both on one line; two lines where that is too narrow."""
    room, said = on.width - len(state) - 2, on.words(name)
    if len(said) <= room:
        yield line(f"{said:<{room}} {state}")
        return
    yield line(said)
    yield line(f"{state:>{on.width - 1}}")


def speed_chart(chart: SpeedByDepth, on: Canvas) -> Iterator[Line]:
    """Each series with one bar per depth."""
    scale = max((value.high for series in chart.series for _, value in series.points), default=0.0) or 1.0
    for series in chart.series:
        yield _indented(series.name, on)
        yield from _depths(series, scale, on)


def _indented(text: str, on: Canvas, style: str = "") -> Line:
    return line(on.words(text), style, 2)


def _depths(series: Series, scale: float, on: Canvas) -> Iterator[Line]:
    part = "predicted" if series.predicted else "measured"
    for depth, value in series.points:
        yield _bar_line(tokens(depth), part, value, scale, on)


def _bar_line(name: str, part: str, value: Value, scale: float, on: Canvas) -> Line:
    said = on.words(measured(value))
    return line(f"  {name:>7} ") + on.bar(part, value.middle / scale, on.width - 28) + f" {said}"


def tune_chart(tune: TuneHistory, on: Canvas) -> Iterator[Line]:
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


def _trial_lines(trial: TrialPoint, scale: float, on: Canvas, *, better: bool) -> Iterator[Line]:
    """One line; two where the words do not fit beside the bar."""
    cells = max(on.width // 3, 10)
    if trial.value is None:
        bar, said = line(" " * cells), "failed"
    else:
        bar, said = on.bar("measured", trial.value.middle / scale, cells), rate(trial.value.middle)
    drawn = line(f"  {trial.launch:>4} ") + bar + f" {said:>7} {'best' if better else '    '} "
    said = on.words(trial.problem or trial.label)
    if len(drawn) + len(said) < on.width:
        yield drawn + said
        return
    yield drawn
    yield line(said, indent=7)


def pairs_chart(chart: Pairs, on: Canvas) -> Iterator[Line]:
    """Two bars per record: measured, and what the plan promised."""
    scale = chart.scale()
    for pair in chart.rows:
        yield from _pair(pair, scale, on)


def _pair(pair: Pair, scale: float, on: Canvas) -> Iterator[Line]:
    difference = "" if pair.error() is None else f"measured {percent(pair.error())}"
    yield from _head(pair.label, difference or ("not measured" if pair.measured is None else ""), on)
    cells = on.width - 30
    if pair.measured is not None:
        said = on.words(measured(pair.measured))
        yield line("  measured  ") + on.bar("measured", pair.measured.middle / scale, cells) + f" {said}"
    if pair.predicted is not None:
        bar = on.bar("predicted", min(pair.predicted / scale, 1.0), cells)
        yield line("  predicted ") + bar + f" {rate(pair.predicted)}"
    if pair.problem:
        yield _indented(pair.problem, on, "red")
