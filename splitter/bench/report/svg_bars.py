"""Horizontal bars as HTML with inline SVG: memory per card, predicted beside measured."""

from collections.abc import Iterator

from splitter.bench.report.markup import element, percent, text, void
from splitter.bench.report.svg_defs import box, legend, swatch
from splitter.bench.report.values import PARTS, Memory, MemoryRow, Pair, Pairs
from splitter.bench.report.words import percent as signed
from splitter.bench.report.words import rate, size
from splitter.units import GIB

PART_WORDS = {
    "model": "Model",
    "context": "Context (KV)",
    "compute": "Compute",
    "overhead": "Overhead",
    "margin": "Margin kept",
    "free": "Free",
    "taken": "In use before",
    "over": "Too much",
}
BAR = 30.0
LABEL_FROM = 0.13  # a narrower part has no room for its number on a telephone


def memory_bars(memory: Memory) -> str:
    """One bar per card on one scale; the host below, on its own."""
    scale = max((row.extent_bytes() for row in memory.cards), default=0)
    rows = [_memory_row(row, scale) for row in memory.cards]
    if memory.host is not None and memory.host.claimed_bytes():
        rows.append(_memory_row(memory.host, memory.host.extent_bytes(), "own scale"))
    return legend(*_memory_legend(memory)) + element("div", *rows, class_="bars")


def _memory_legend(memory: Memory) -> Iterator[tuple[str, str]]:
    rows = [*memory.cards, *([memory.host] if memory.host else [])]
    shown = {part for row in rows for part, amount, _ in pieces(row) if amount}
    for part, words in PART_WORDS.items():
        if part in shown:
            yield swatch(part), words


def pieces(row: MemoryRow) -> list[tuple[str, int, int]]:
    """(part, bytes drawn, bytes meant) from left to right: what is beyond the free memory is drawn as "over"."""
    free = row.claimed_bytes() if row.free_bytes is None else row.free_bytes
    drawn, start = [("taken", row.taken_bytes(), row.taken_bytes())], 0
    for part, amount in zip(PARTS, row.sizes, strict=True):
        inside = max(min(amount, free - start), 0)
        drawn.append((part, inside, amount))
        start += amount
    drawn.append(("free", max(free - start, 0), max(free - start, 0)))
    return [*drawn, ("over", max(start - free, 0), max(start - free, 0))]


def _memory_row(row: MemoryRow, scale: int, note: str = "") -> str:
    left = row.headroom_bytes()
    state = "" if left is None else f"{size(left)} left" if left >= 0 else f"does not fit: {size(-left)} too much"
    of = "" if row.free_bytes is None else f" of {size(row.free_bytes)} free"
    detail = f"{row.layers} \N{MIDDLE DOT} {size(row.used_bytes())} used{of}" + (f" ({note})" if note else "")
    head = element("b", text(row.name)) + element("span", text(state), class_="bad" if (left or 0) < 0 else "good")
    drawn, start = [], 0
    for part, shown, amount in pieces(row):
        if shown:
            drawn.append(_piece(part, start / scale, shown / scale, amount))
        start += shown
    words = ", ".join(f"{PART_WORDS[part]} {size(amount)}" for part, _, amount in pieces(row) if amount)
    drawing = _svg(f"{row.name}: {words}", BAR, *drawn)
    return element(
        "div", element("p", head, class_="head"), drawing, element("p", text(detail), class_="detail"), class_="bar"
    )


def _piece(part: str, start: float, width: float, amount: int) -> str:
    drawn = box(part, start, width, BAR, hover=text(f"{PART_WORDS[part]}: {size(amount)}"))
    if width < LABEL_FROM:
        return drawn
    label = f"{amount / GIB:.2f}"
    return drawn + element(
        "text", label, x=percent(start + width / 2), y=BAR / 2 + 4, class_=f"in t-{part}", text_anchor="middle"
    )


def _svg(description: str, height: float, *content: str) -> str:
    return element(
        "svg", element("title", text(description)), *content, class_="row", role="img", width="100%", height=height
    )


def pair_bars(chart: Pairs) -> str:
    """Per record a measured bar with its smallest and largest repetition, and the promise below it."""
    scale = chart.scale()
    promised = any(row.predicted is not None for row in chart.rows)
    items = [(swatch("measured"), "Measured, with smallest and largest repetition")]
    if promised:
        items.append((swatch("predicted"), "Predicted by the plan"))
    return legend(*items) + element("div", *(_pair_row(row, scale) for row in chart.rows), class_="bars")


def _pair_row(row: Pair, scale: float) -> str:
    found = row.measured
    state = f"{rate(found.middle)} t/s" if found else "not measured"
    detail = row.problem
    if row.predicted is not None:
        off = f", measured {signed(row.error())}" if row.error() is not None else ""
        cut = ", beyond this scale" if row.predicted > scale else ""
        detail = f"predicted {rate(row.predicted)} t/s ({row.basis}){off}{cut}" + (f"; {row.problem}" if detail else "")
    drawn, height = [], 16.0
    if found:
        hover = f"measured {rate(found.middle)} t/s, {rate(found.low)} to {rate(found.high)}, {found.count} repetitions"
        drawn.append(box("measured", 0, found.middle / scale, 16, hover=text(hover)))
        if found.high > found.low:
            drawn.append(_whisker(found.low / scale, found.high / scale, 8))
    if row.predicted:
        drawn.append(
            box(
                "predicted",
                0,
                min(row.predicted / scale, 1.0),
                8,
                y=height + 2,
                hover=text(f"predicted {rate(row.predicted)} t/s"),
            )
        )
        height += 10
    head = element("b", text(row.label)) + element("span", text(state))
    parts = [element("p", head, class_="head"), *([_svg(f"{row.label}: {state}", height, *drawn)] if drawn else [])]
    if detail:
        parts.append(element("p", text(detail), class_="bad detail" if row.problem else "detail"))
    return element("div", *parts, class_="bar pair")


def _whisker(low: float, high: float, y: float) -> str:
    """A light edge below keeps it visible on the bar."""
    drawn = void("line", x1=percent(low), x2=percent(high), y1=y, y2=y)
    drawn += "".join(void("line", x1=percent(x), x2=percent(x), y1=y - 4, y2=y + 4) for x in (low, high))
    return element("g", drawn, class_="whisker edge") + element("g", drawn, class_="whisker")
