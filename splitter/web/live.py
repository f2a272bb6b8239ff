"""What the page of a running instance shows: its state, its cards, its speed, its story."""

import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import escape

from splitter.app.instances import log_lines
from splitter.app.launching import OWN_WORDS, launched_before
from splitter.errors import SplitterError
from splitter.printable import printable, printable_lines
from splitter.rig.card_reading import CardReading
from splitter.run.entry import Entry
from splitter.run.reading import Reading
from splitter.run.registry import Registry
from splitter.units import format_bytes, format_rate
from splitter.web.drawing import drawn, lines_over_time
from splitter.web.watching import Watched, Watches, planned_bytes

LOG_LINES, SEARCHED, STORY = 200, 20_000, 60
PHASES = {"starting": "loading", "ready": "ready", "degraded": "answers too late", "waiting": "waits before a restart",
          "replanning": "plans again: memory ran out", "stopping": "stops"}  # fmt: skip
SERVES = {"ready", "degraded"}


class Live:
    """Instances as the pages show them."""

    def __init__(self) -> None:
        self._watches = Watches()

    def instances(self) -> list[dict[str, Any]]:
        """One row each."""
        return [{**asdict(entry), "up": duration(time.time() - entry.started_at)} for entry in _entries()]

    def of(self, name: str) -> dict[str, Any]:
        """Everything about one; `entry` is None where it does not run."""
        entry = next((found for found in _entries() if found.name == name), None)
        story = _story(name)
        if entry is None:
            return {"name": printable(name), "entry": None, "story": story}
        watched = self._watches.of(entry)
        reading = watched.latest
        return {
            "name": name,
            "entry": entry,
            "up": duration(time.time() - entry.started_at),
            "phase_words": PHASES.get(entry.phase, entry.phase),
            "loading": None if entry.phase in SERVES else _loaded(entry, reading),
            "restartable": launched_before(name),
            "speed_lines": drawn(_lines(watched)),
            "tally": _tally(reading),
            "slots": reading.slots,
            "use": _use(reading),
            "cards": [_card(card, planned_bytes(entry).get(card.device_id)) for card in reading.cards.cards]
            or [{"name": f"{card.id} {card.name}", "total": None, "words": f"planned {format_bytes(card.used_bytes)}; "
                 "the card itself cannot be asked here"} for card in entry.devices],
            "no_cards": "It uses no card.",
            "story": story,
        }  # fmt: skip

    def log(self, name: str, find: str) -> str:
        """The last lines, or those that hold `find`, as markup."""
        try:
            lines = log_lines(name, SEARCHED if find else LOG_LINES)[3]
        except SplitterError as error:
            return str(escape(f"{error.message}. {error.hint}"))
        wanted = find.lower()
        shown = [line for line in lines if wanted in line.lower()][-LOG_LINES:]
        if not shown:
            return str(escape(f"No line holds {find!r}." if find else "Nothing was written yet."))
        return "\n".join(_marked(printable_lines(line), wanted) for line in shown)


def _entries() -> tuple[Entry, ...]:
    try:
        return Registry().entries()
    except SplitterError:
        return ()


def _marked(line: str, wanted: str) -> str:
    if not wanted:
        return str(escape(line))
    at = line.lower().find(wanted)
    parts = line[:at], line[at : at + len(wanted)], line[at + len(wanted) :]
    return f"{escape(parts[0])}<mark>{escape(parts[1])}</mark>{escape(parts[2])}"


def _story(name: str) -> list[str]:
    """What the supervisor itself said: restarts, memory that ran out, new plans."""
    try:
        lines = log_lines(name, SEARCHED)[3]
    except SplitterError:
        return []
    said = (line.partition(OWN_WORDS)[2].strip() for line in lines if OWN_WORDS in line)
    return [printable(line, 400) for line in said if line][-STORY:]


def _loaded(entry: Entry, reading: Reading) -> int:
    """Percent of the model's file that the engine holds in memory; the cards' share does not show there."""
    try:
        size = Path(entry.model_path).stat().st_size
    except OSError:
        return 0
    held = reading.engine.resident_bytes if reading.engine else 0
    return min(99, 100 * held // max(size, 1))


def _lines(watched: Watched) -> str:
    return lines_over_time("generated together", "t/s", tuple(watched.history))


def _tally(reading: Reading) -> str:
    tally = reading.tally
    if not tally.requests and not tally.generated_tokens:
        return "No request yet."
    last = format_rate(tally.last_generation_tokens_per_s, measured=True)
    return f"{tally.requests} requests, {tally.generated_tokens} tokens generated; the last request at {last} t/s."


def _use(reading: Reading) -> str:
    if reading.engine is None:
        return ""
    cpus = "" if reading.engine.cpus is None else f", {reading.engine.cpus:.1f} CPUs busy"
    return f"The engine holds {format_bytes(reading.engine.resident_bytes)} of RAM{cpus}."


def _card(card: CardReading, planned: int | None) -> dict[str, Any]:
    return {
        "name": f"{card.device_id} {card.name}",
        "used": card.used_bytes,
        "total": card.total_bytes,
        "words": ", ".join(_card_words(card, planned)),
    }


def _card_words(card: CardReading, planned: int | None) -> Iterator[str]:
    if card.used_bytes is not None:
        yield f"{format_bytes(card.used_bytes)} of {format_bytes(card.total_bytes)} used"
    if planned is not None:
        yield f"planned {format_bytes(planned)}"
    if card.utilization is not None:
        yield f"load {100 * card.utilization:.0f} %"
    if card.temperature_c is not None:
        yield f"{card.temperature_c:.0f} °C"
    if card.power_w is not None:
        yield f"{card.power_w:.0f} W"
    if card.throttled:
        yield f"slowed down by {', '.join(card.throttled)}"


def duration(seconds: float) -> str:
    """The two largest units."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
