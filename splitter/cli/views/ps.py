"""The running instances as a table."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from splitter.printable import printable_lines
from splitter.run.entry import Entry
from splitter.units import format_bytes

NOTHING = "No instance runs. Start one with `splitter launch MODEL --detach`."
UNBROKEN = {"phase", "url", "pid"}  # people copy an address: it stays on one line where there is room at all
PHASE_STYLES = {"ready": "green", "failed": "red", "degraded": "yellow"}


def ps_view(entries: Sequence[Entry], now: float) -> Iterator[RenderableType]:
    if not entries:
        yield Text(NOTHING)
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("name", "phase", "engine", "model", "url", "pid", "uptime", "restarts", "memory"):
        right = column in {"pid", "uptime", "restarts"}
        table.add_column(column, overflow="fold", justify="right" if right else "left", no_wrap=column in UNBROKEN)
    for entry in entries:
        table.add_row(*_cells(entry, now))
    yield table


def _cells(entry: Entry, now: float) -> tuple[Text, ...]:
    words = (
        entry.name,
        entry.phase,
        f"{entry.engine_kind} {entry.engine_version or ''}".strip(),
        entry.model_name,
        entry.url,
        str(entry.engine_pid or "-"),
        duration(now - entry.started_at),
        str(entry.restarts),
        memory(entry),
    )
    styles = ("", PHASE_STYLES.get(entry.phase, ""), *[""] * 7)
    return tuple(Text(printable_lines(word), style=style) for word, style in zip(words, styles, strict=True))


def memory(entry: Entry) -> str:
    """The planned bytes per card."""
    return ", ".join(f"{card.id} {format_bytes(card.used_bytes)}" for card in entry.devices) or "RAM only"


def duration(seconds: float) -> str:
    """The two largest units: 3d 4h, 12m 5s; a clock that was set back counts as 0 s."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def detached_view(entry: Entry) -> Iterator[RenderableType]:
    name = printable_lines(entry.name)
    yield Text(f"{name} is ready at {printable_lines(entry.url)} and runs in the background")
    yield Text(f"  log:  splitter logs -f {name}")
    yield Text(f"  stop: splitter stop {name}")
