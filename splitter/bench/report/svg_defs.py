"""What every chart of a report shares: the patterns that tell parts apart without colour, and the lines' marks."""

from splitter.bench.report.markup import element, percent, void

# On top of a part's colour, so that a bar reads without it: model stays plain.
PATTERNS = {
    "context": (8, '<path d="M-2 10L10-2M-2 2L2-2M6 10L10 6"/>'),
    "compute": (7, '<circle cx="2" cy="2" r="1.1"/><circle cx="5.5" cy="5.5" r="1.1"/>'),
    "overhead": (7, '<path d="M0 3.5H7M3.5 0V7"/>'),
    "margin": (7, '<path d="M-2 -2L9 9M-2 5L2 9M5 -2L9 2"/>'),
    "taken": (6, '<path d="M0 3H6"/>'),
    "over": (6, '<path d="M-2 8L8-2M-2 2L2-2M4 8L8 4M-2-2L8 8M-2 4L2 8M4-2L8 2"/>'),
    "predicted": (6, '<path d="M3 0V6"/>'),
}
MARKS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "M-3.6 -3.6H3.6V3.6H-3.6Z",
    "M0 -4.8L4.6 3.4H-4.6Z",
    "M0 -5L5 0L0 5L-5 0Z",
    "M0 4.8L4.6 -3.4H-4.6Z",
    "M-1.5 -4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z",
)
LINES = len(MARKS)


def definitions() -> str:
    """The hidden drawing that the charts refer to."""
    patterns = (
        element(
            "pattern", shape, id=f"p-{name}", width=size, height=size, patternUnits="userSpaceOnUse", class_="hatch"
        )
        for name, (size, shape) in PATTERNS.items()
    )
    marks = (void("path", id=f"mark{number}", d=shape) for number, shape in enumerate(MARKS))
    cross = void("path", id="cross", d="M-4 -4L4 4M-4 4L4 -4")
    return element("svg", element("defs", *patterns, *marks, cross), class_="defs", aria_hidden="true")


def box(part: str, start: float, width: float, height: float, *, y: float = 0, hover: str = "") -> str:
    """One part of a bar from `start`, `width` wide (shares of the plot); its pattern on top. `hover` is markup."""
    place: dict[str, str | float] = {"x": percent(start), "width": percent(width), "y": y, "height": height}
    title = element("title", hover) if hover else ""
    drawn = element("rect", title, class_=f"f-{part}", **place)
    if part in PATTERNS:
        drawn += void("rect", fill=f"url(#p-{part})", class_="p", **place)
    return drawn


def swatch(part: str) -> str:
    """The part's colour and pattern for a legend."""
    return element("svg", box(part, 0, 1, 14), class_="swatch", aria_hidden="true")


def line_swatch(number: int, dashed: bool = False) -> str:
    """A line with its mark for a legend."""
    style = f"l{number % LINES}" + (" dash" if dashed else "")
    line = void("line", x1=0, x2=30, y1=7, y2=7, class_=f"line {style}")
    mark = "" if dashed else void("use", href=f"#mark{number % LINES}", x=15, y=7, class_=f"mark m{number % LINES}")
    return element("svg", line, mark, class_="swatch wide", aria_hidden="true")


def sign(shape: str) -> str:
    """The cross of a failed launch, or the ring of the winner, for a legend."""
    drawn = {"failed": void("use", href="#cross", x=7, y=7, class_="failed")}
    return element(
        "svg", drawn.get(shape, void("circle", cx=7, cy=7, r=6, class_="ring")), class_="swatch", aria_hidden="true"
    )


def legend(*items: tuple[str, str]) -> str:
    """Swatch and words (both markup) side by side."""
    return element("ul", *(element("li", drawn, words) for drawn, words in items), class_="legend")
