"""The running instances as a table."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from splitter.cli.views.sheet import Column, Row, Sheet, figures, words
from splitter.cli.views.words import duration
from splitter.printable import printable_lines
from splitter.run.entry import Entry
from splitter.units import format_bytes

NOTHING = "No instance is running. Start one with `splitter launch MODEL --detach`."
PHASE_STYLES = {"ready": "green", "failed": "red", "degraded": "yellow"}


def ps_view(entries: Sequence[Entry], now: float) -> Iterator[RenderableType]:
    if not entries:
        yield Text(NOTHING)
        return
    columns = (
        *words("name", "phase", "engine", "model", "url"),
        *figures("pid", "uptime", "restarts"),
        Column("memory", wraps=True),
    )
    yield Sheet(columns, tuple(Row(_cells(entry, now), PHASE_STYLES.get(entry.phase, "")) for entry in entries))


def _cells(entry: Entry, now: float) -> tuple[str, ...]:
    cells = (
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
    return tuple(map(printable_lines, cells))


def memory(entry: Entry) -> str:
    """The planned bytes per card."""
    return ", ".join(f"{card.id} {format_bytes(card.used_bytes)}" for card in entry.devices) or "RAM only"


def detached_view(entry: Entry) -> Iterator[RenderableType]:
    name = printable_lines(entry.name)
    yield Text(f"{name} is ready at {printable_lines(entry.url)} and runs in the background")
    yield Text(f"  log:  splitter logs -f {name}")
    yield Text(f"  stop: splitter stop {name}")
