"""What the page draws beside the report's charts: lines over time, and the smallest page there is. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from splitter.bench.report.markup import element, percent, text, void
from splitter.bench.report.svg_lines import Axis, axis
from splitter.bench.report.words import rate

HEIGHT = 150.0
SPAN_S = 300.0  # what the width stands for


def lines_over_time(name: str, unit: str, samples: Sequence[tuple[float, float | None]], style: int = 0) -> str:
    """(seconds, value) as a line; the right edge is now. Nothing is drawn where a value is unknown."""
    known = [value for _, value in samples if value is not None]
    now_s = samples[-1][0] if samples else 0.0
    up = axis(0.0, max(known, default=1.0) or 1.0, 3)
    parts = [_level(up, tick) for tick in up.ticks()]
    for (start_s, a), (end_s, b) in pairwise(samples):
        if a is not None and b is not None:
            parts.append(
                void("line", x1=percent(_across(start_s, now_s)), x2=percent(_across(end_s, now_s)),
                     y1=_y(up, a), y2=_y(up, b), class_=f"line l{style}")
            )  # fmt: skip
    said = f"{name}: now {rate(known[-1])} {unit}" if known else f"{name}: unknown"
    drawing = element("svg", element("title", text(said)), *parts, class_="plot small", role="img",
                      width="100%", height=HEIGHT)  # fmt: skip
    return element("figure", element("figcaption", text(said)), drawing, element("p", "the last five minutes",
                                                                                 class_="axis below"))  # fmt: skip


def _across(moment_s: float, now_s: float) -> float:
    return max(0.0, 1.0 - (now_s - moment_s) / SPAN_S)


def _y(up: Axis, value: float) -> float:
    return HEIGHT * (1 - up.share(value))


def _level(up: Axis, tick: float) -> str:
    y = _y(up, tick)
    line = void("line", x1="0%", x2="100%", y1=y, y2=y, class_="base" if tick == up.low else "grid")
    return line + element("text", f"{tick:g}", x=-8, y=y + 4, text_anchor="end")


def drawn(markup: str) -> Markup:
    """Markup that our own drawing made: `bench.report.markup` escapes every text and every attribute in it."""
    return Markup(markup)  # noqa: S704 - see above


def small_page(message: str, hint: str, *, login: bool = False) -> str:
    """A page with one sentence; with `login` a field for the key."""
    field = element(
        "form",
        element("label", "Key", for_="key"),
        void("input", id="key", name_="key", type="password", autocomplete="current-password", required="required"),
        element("button", "Open", type="submit"),
        method="post",
        action="/login",
    )
    said = element("h1", text(f"{message[:1].upper()}{message[1:]}.")) + element("p", text(hint))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += "<title>splitter</title>" + '<link rel="stylesheet" href="/static/report.css">'
    head += '<link rel="stylesheet" href="/static/ui.css">'
    body = element("main", said, field if login else "", class_="alone")
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'
