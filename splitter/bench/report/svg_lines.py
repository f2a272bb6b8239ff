"""Charts with two axes as inline SVG: speed by depth, and the history of a tune.

Across, everything is a share of the width; the margins are the drawing's CSS padding. So letters keep their size.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from splitter.bench.report.markup import element, percent, text, void
from splitter.bench.report.svg_defs import LINES, legend, line_swatch, sign
from splitter.bench.report.values import Series, SpeedByDepth, TrialPoint, TuneHistory, Value
from splitter.bench.report.words import rate, tokens

HEIGHT = 220.0


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high` with a tick every `step`."""

    low: float
    high: float
    step: float

    def ticks(self) -> list[float]:
        return [self.low + n * self.step for n in range(round((self.high - self.low) / self.step) + 1)]

    def share(self, value: float) -> float:
        """Where `value` lies, 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def axis(low: float, high: float, most: int = 5) -> Axis:
    """Round ticks around `low` to `high`; at least one step long."""
    raw = max(high - low, abs(high) * 1e-3, 1e-9) / most
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(scale * n for n in (1, 2, 2.5, 5, 10) if scale * n >= raw * (1 - 1e-9))
    start, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Axis(start * step, max(end, start + 1) * step, step)


def depth_axis(deepest: int) -> Axis:
    """Ticks at powers of two times 1024 (or less), as contexts are counted."""
    step = 2 ** math.ceil(math.log2(max(deepest, 4) / 4))
    return Axis(0, max(math.ceil(deepest / step), 1) * step, step)


def speed_lines(chart: SpeedByDepth) -> str:
    """One line per record, at most as many as there are marks; the table below has all."""
    shown = chart.series[:LINES]
    values = [value for series in shown for _, value in series.points]
    across = depth_axis(max(depth for series in shown for depth, _ in series.points))
    up = axis(0.0, max(value.high for value in values))
    lines = "".join(_line(series, number, across, up) for number, series in enumerate(shown))
    about = f"{chart.what} speed by depth: " + "; ".join(_spoken(series) for series in shown)
    drawing = _plot(about, _grid(across, up, [tokens(round(tick)) for tick in across.ticks()]), lines)
    items = [(line_swatch(number, series.predicted), text(series.name)) for number, series in enumerate(shown)]
    left_out = len(chart.series) - len(shown)
    more = element("p", f"{left_out} more in the table.", class_="detail") if left_out else ""
    return legend(*items) + _titled("tokens per second", drawing, "depth: tokens already in the context") + more


def _spoken(series: Series) -> str:
    return f"{series.name}: " + ", ".join(f"{rate(value.middle)} t/s at {depth}" for depth, value in series.points)


def _line(series: Series, number: int, across: Axis, up: Axis) -> str:
    style = f"line l{number % LINES}" + (" dash" if series.predicted else "")
    places = [(across.share(depth), value, depth) for depth, value in series.points]
    ends = [(x, value.middle) for x, value, _ in places]
    drawn = [_segment(up, start, end, style) for start, end in pairwise(ends)]
    for x, value, depth in places:
        drawn.append(_mark(up, x, value, f"{series.name}, depth {depth}", number=number, predicted=series.predicted))
    return "".join(drawn)


def _segment(up: Axis, start: tuple[float, float], end: tuple[float, float], style: str) -> str:
    """From (share of the width, value) to another."""
    (x1, a), (x2, b) = start, end
    return void("line", x1=percent(x1), x2=percent(x2), y1=_y(up, a), y2=_y(up, b), class_=style)


def _mark(up: Axis, x: float, value: Value, name: str, *, number: int = 0, predicted: bool = False) -> str:
    """The middle with its smallest and largest repetition."""
    said = f"{name}: {rate(value.middle)} t/s"
    spread = ""
    if value.high > value.low:
        said += f", {rate(value.low)} to {rate(value.high)} in {value.count} repetitions"
        spread = void("line", x1=percent(x), x2=percent(x), y1=_y(up, value.low), y2=_y(up, value.high),
                      class_=f"spread l{number % LINES}")  # fmt: skip
    title = element("title", text(said))
    style = f"mark m{number % LINES}" + (" hollow" if predicted else "")
    return spread + element(
        "use", title, href=f"#mark{number % LINES}", x=percent(x), y=_y(up, value.middle), class_=style
    )


def _y(up: Axis, value: float) -> float:
    return HEIGHT * (1 - up.share(value))


def _grid(across: Axis, up: Axis, names: Sequence[str]) -> str:
    drawn = []
    for tick in up.ticks():
        y = _y(up, tick)
        drawn.append(void("line", x1="0%", x2="100%", y1=y, y2=y, class_="base" if tick == up.low else "grid"))
        drawn.append(element("text", _short(tick, up.step), x=-8, y=y + 4, text_anchor="end"))
    for tick, name in zip(across.ticks(), names, strict=True):
        drawn.append(element("text", name, x=percent(across.share(tick)), y=HEIGHT + 20, text_anchor="middle"))
    return "".join(drawn)


def _short(tick: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step))) if step < 1 else 1 if step % 1 else 0
    return f"{tick:.{digits}f}"


def _plot(description: str, *content: str) -> str:
    title = element("title", text(description))
    return element("svg", title, *content, class_="plot", role="img", width="100%", height=HEIGHT)


def _titled(above: str, drawing: str, below: str) -> str:
    up = element("p", above, class_="axis")
    return up + drawing + element("p", below, class_="axis below")


def tune_lines(tune: TuneHistory) -> str:
    """Every launch as a mark, the best so far as steps; a launch without a value is a cross on the floor."""
    values = [trial.value for trial in tune.trials if trial.value]
    if not values:
        return element("p", "No launch was measured.", class_="detail")
    low, high = min(value.low for value in values), max(value.high for value in values)
    up = axis(low - (high - low) * 0.1, high) if low > high / 2 else axis(0.0, high)
    count = len(tune.trials)
    across = Axis(0.5, count + 0.5, 1)
    every = max(1, math.ceil(count / 8))
    names = [str(n) for n in range(1, count + 1) if n % every == 0 or n == 1]
    content = _grid_up(up) + "".join(
        element("text", n, x=percent(across.share(int(n))), y=HEIGHT + 20, text_anchor="middle") for n in names
    )
    content += "".join(_steps(tune.trials, across, up)) + "".join(_trial(t, tune, across, up) for t in tune.trials)
    won, gain = tune.winner(), tune.gain()
    best = f"best {rate(won.value.middle)} t/s at launch {won.launch}" if won and won.value else ""
    drawing = _plot(f"Tune history, {count} launches, {best}", content)
    items = [
        (line_swatch(0), "Launch, with smallest and largest repetition"),
        (line_swatch(1, True), "Best so far"),
        (sign("winner"), "Winner"),
    ]
    if len(values) < count:
        items.append((sign("failed"), "Failed"))
    note = "" if up.low == 0 else f" (axis starts at {_short(up.low, up.step)})"
    said = element(
        "p", text(f"{best}, {(gain or 0) * 100:+.1f} % over the first: {won.label if won else ''}"), class_="detail"
    )
    return legend(*items) + _titled(f"tokens per second of a whole request{note}", drawing, "launch") + said


def _grid_up(up: Axis) -> str:
    return _grid(Axis(0, 1, 1), up, ["", ""])


def _steps(trials: Sequence[TrialPoint], across: Axis, up: Axis) -> Iterator[str]:
    """Level as long as a best lasts, then up to the next."""
    known = [(trial.launch, trial.best) for trial in trials if trial.best is not None]
    changes = [known[0], *(after for before, after in pairwise(known) if after[1] != before[1])]
    for (start, best), (end, better) in pairwise([*changes, known[-1]]):
        yield _segment(up, (across.share(start), best), (across.share(end), best), "line l1 dash")
        if better != best:
            yield _segment(up, (across.share(end), best), (across.share(end), better), "line l1 dash")


def _trial(trial: TrialPoint, tune: TuneHistory, across: Axis, up: Axis) -> str:
    x = across.share(trial.launch)
    if trial.value is None:
        title = element("title", text(f"launch {trial.launch}, {trial.label}: {trial.problem}"))
        return element("use", title, href="#cross", x=percent(x), y=HEIGHT - 8, class_="failed")
    ring = ""
    if trial == tune.winner():
        ring = void("circle", cx=percent(x), cy=_y(up, trial.value.middle), r=9, class_="ring")
    return ring + _mark(up, x, trial.value, f"launch {trial.launch}, {trial.label}")
