"""A running instance as it is now: state, speed against the plan, a line per card, the end of the log.

Lines of words that wrap, not a table: a narrow terminal keeps every figure.
"""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from splitter.cli.views.words import duration, rate
from splitter.printable import printable_lines
from splitter.rig.card_reading import CardReading
from splitter.run.reading import Expected, ProcessUse, Reading, rows
from splitter.run.snapshot import Snapshot
from splitter.run.tally import Tally
from splitter.units import format_bytes, to_mib

BAR_CELLS = 20
LEAST_LOG_LINES, MOST_LOG_LINES = 3, 12
PHASE_STYLES = {
    "ready": "bold green",
    "failed": "bold red",
    "degraded": "bold yellow",
    "waiting": "bold yellow",
    "replanning": "bold yellow",
}


class LiveView:
    """What rich shows, made anew for the width and height at hand. `now` is the wall clock (`time.time()`)."""

    def __init__(self, reading: Reading, expected: Expected, log: Sequence[str], now: float) -> None:
        self.reading, self.expected, self.log, self.now = reading, expected, log, now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        figures = list(figure_lines(self.reading, self.expected, self.now, ascii_only=options.ascii_only))
        used = sum(len(line.wrap(console, options.max_width)) for line in figures)
        room = (console.size.height or 24) - used - 2
        yield from figures
        count = min(MOST_LOG_LINES, used, max(LEAST_LOG_LINES, room))  # never more of it than of figures
        yield from log_lines(self.log, count, options.max_width)


def figure_lines(reading: Reading, expected: Expected, now: float, *, ascii_only: bool) -> Iterator[Text]:
    """Every figure, most important first."""
    if reading.snapshot is not None:
        yield state_line(reading.snapshot, now)
    yield speed_line(reading, expected)
    yield work_line(reading)
    for card, planned in rows(reading.cards.cards, expected):
        yield card_line(card, planned, ascii_only=ascii_only)
    if reading.cards.note:
        yield Text(printable_lines(f"cards: {reading.cards.note}"), style="yellow")
    yield process_line(reading.engine, reading.supervisor)


def state_line(snapshot: Snapshot, now: float) -> Text:
    """The phase, where it listens, how long its process runs."""
    up = [] if snapshot.pid is None else [f"up {duration(now - snapshot.started_at)}"]
    words = [printable_lines(snapshot.url), *up, f"restarts {snapshot.restarts}"]
    if snapshot.failure:
        words.append(f"last failure: {snapshot.failure.replace('_', ' ')}")
    return Text.assemble((snapshot.phase, PHASE_STYLES.get(snapshot.phase, "bold")), "  ", "  ".join(words))


def speed_line(reading: Reading, expected: Expected) -> Text:
    """Tokens per second: all slots now, one request, and what the plan predicts for one."""
    tally = reading.tally
    last, promised = tally.last_generation_tokens_per_s, expected.generation_tokens_per_s
    share = f" = {last / promised:.0%} of it" if last and promised else ""
    prompt = f"prompt {_measured(tally.last_prompt_tokens_per_s)} (plan {rate(expected.prompt_tokens_per_s)})"
    mean = _measured(tally.generation_tokens_per_s())
    one = f"last request {_measured(last)} (plan {rate(promised)}{share}), mean {mean}"
    return Text.assemble("generation ", (f"{_measured(reading.tokens_per_s)} now", "bold"), f"; {one}; {prompt}")


def _measured(tokens_per_s: float | None) -> str:
    return rate(tokens_per_s, measured=True)


def work_line(reading: Reading) -> Text:
    """Slots, requests, tokens."""
    slots, tally = reading.slots, reading.tally
    busy = "slots ?" if slots is None else f"slots {slots.busy}/{slots.total} busy"
    queued = f"  {slots.queued} queued" if slots and slots.queued else ""
    done = f"requests {tally.requests}  generated {tally.generated_tokens} tokens  prompts {tally.prompt_tokens} tokens"
    return Text(f"{busy}{queued}  {done}")


def card_line(card: CardReading, planned_bytes: int | None, *, ascii_only: bool) -> Text:
    """Memory used, planned and in all, then load, heat, power, and what slows it."""
    planned = "" if planned_bytes is None else f" (plan {to_mib(planned_bytes):.0f})"
    memory = f"{_mib(card.used_bytes)}{planned} / {_mib(card.total_bytes)} MiB"
    bar = memory_bar(card.used_bytes, planned_bytes, card.total_bytes, ascii_only=ascii_only)
    words = [memory, _percent(card.utilization), _with_unit(card.temperature_c, "C"), _power(card)]
    line = Text.assemble(
        (printable_lines(card.device_id), "bold"), f" {printable_lines(card.name)} {bar} {'  '.join(words)}"
    )
    if card.throttled:
        line.append(f"  slowed: {', '.join(card.throttled)}", style="bold yellow")
    return line


def memory_bar(used: int | None, planned: int | None, total: int | None, *, ascii_only: bool) -> str:
    """Used memory filled, a mark where the plan ends; empty when the total is unknown."""
    if not total:
        return ""
    full, empty, mark = "#-|" if ascii_only else "\N{FULL BLOCK}\N{LIGHT SHADE}\N{BOX DRAWINGS HEAVY VERTICAL}"
    filled = min(BAR_CELLS, round(BAR_CELLS * (used or 0) / total))
    cells = [full] * filled + [empty] * (BAR_CELLS - filled)
    if planned:
        cells[min(BAR_CELLS - 1, BAR_CELLS * planned // total)] = mark
    return "".join(cells)


def process_line(engine: ProcessUse | None, supervisor: ProcessUse | None) -> Text:
    """What the engine and splitter use of the host."""
    return Text(f"host: engine {_use(engine)}; splitter {_use(supervisor)}")


def log_lines(log: Sequence[str], count: int, width: int) -> Iterator[Text]:
    """The last lines, each cut to the width: the log is context, not a figure."""
    for line in list(log)[-count:]:
        text = Text(printable_lines(line.expandtabs(4)), style="dim", no_wrap=True, overflow="crop")
        text.truncate(width, overflow="crop")
        yield text


def goodbye(port: int, seconds: float, totals: Tally | None) -> str:
    """The last words for an engine that was stopped."""
    words = f"stopped after {duration(seconds)}, port {port} is free"
    if totals is None or not (totals.requests or totals.generated_tokens):
        return words
    return f"{words}, {totals.generated_tokens:,} tokens generated for {totals.requests:,} requests"


def _mib(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{to_mib(size_bytes):.0f}"


def _percent(share: float | None) -> str:
    return "load ?" if share is None else f"load {share:.0%}"


def _with_unit(value: float | None, unit: str) -> str:
    return f"? {unit}" if value is None else f"{value:.0f} {unit}"


def _power(card: CardReading) -> str:
    limit = "" if card.power_limit_w is None else f"/{card.power_limit_w:.0f}"
    return f"{'?' if card.power_w is None else f'{card.power_w:.0f}'}{limit} W"


def _use(use: ProcessUse | None) -> str:
    if use is None:
        return "?"
    cpus = "?" if use.cpus is None else f"{use.cpus:.0%}"
    return f"{format_bytes(use.resident_bytes)} RAM, {cpus} CPU"
