"""A Reading as Prometheus metrics: https://prometheus.io/docs/practices/naming/ (base units, counters end in _total).

What is unknown has no sample; it is never 0.
"""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from splitter.rig.card_reading import CardReading
from splitter.rig.throttle import ALL_WORDS
from splitter.run.reading import Expected, Reading, rows
from splitter.run.snapshot import Snapshot

MHZ = 1e6
Row = tuple[CardReading, int | None]

# name, help, value of one card (None: no sample). All carry the labels device and name.
CARD_GAUGES: tuple[tuple[str, str, Callable[[Row], float | None]], ...] = (
    ("memory_used_bytes", "Memory in use on the card, by every program", lambda row: row[0].used_bytes),
    ("memory_total_bytes", "Memory of the card", lambda row: row[0].total_bytes),
    ("memory_planned_bytes", "Memory that the plan gives the engine on the card", lambda row: row[1]),
    ("utilization_ratio", "Share of time in which the card computed, 0 to 1", lambda row: row[0].utilization),
    ("temperature_celsius", "Temperature of the card", lambda row: row[0].temperature_c),
    ("power_watts", "Power drawn by the card", lambda row: row[0].power_w),
    ("power_limit_watts", "Power the card may draw", lambda row: row[0].power_limit_w),
    ("sm_clock_hertz", "Clock of the card's processors", lambda row: _hertz(row[0].sm_clock_mhz)),
    ("memory_clock_hertz", "Clock of the card's memory", lambda row: _hertz(row[0].memory_clock_mhz)),
)


class ReadingCollector(Collector):
    """Gives prometheus-client the newest reading at every scrape."""

    def __init__(self, latest: Callable[[], Reading], expected: Callable[[], Expected]) -> None:
        self._latest = latest
        self._expected = expected

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not read."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """All metrics of the newest reading."""
        return metrics(self._latest(), self._expected())


def metrics(reading: Reading, expected: Expected) -> Iterator[Metric]:
    """The reading as metric families."""
    yield from device_metrics(rows(reading.cards.cards, expected))
    yield from engine_metrics(reading.snapshot)
    yield from work_metrics(reading)
    yield from predicted_metrics(expected)
    yield from process_metrics(reading)


def device_metrics(cards: tuple[Row, ...]) -> Iterator[Metric]:
    """One family per quantity, one sample per card."""
    labels = ("device", "name")
    for name, text, value_of in CARD_GAUGES:
        family = GaugeMetricFamily(f"splitter_device_{name}", text, labels=labels)
        for row in cards:
            _add(family, (row[0].device_id, row[0].name), value_of(row))
        yield family
    energy = CounterMetricFamily("splitter_device_energy_joules", "Energy used by the card", labels=labels)
    throttled = GaugeMetricFamily(
        "splitter_device_throttled", "1 while the card's clock is reduced for this reason", labels=(*labels, "reason")
    )
    for card, _ in cards:
        _add(energy, (card.device_id, card.name), card.energy_j)
        for reason in ALL_WORDS if card.throttled is not None else ():
            _add(throttled, (card.device_id, card.name, reason), float(reason in (card.throttled or ())))
    yield energy
    yield throttled


def engine_metrics(snapshot: Snapshot | None) -> Iterator[Metric]:
    """Whether it serves, how often it was restarted, since when it runs."""
    up = snapshot is not None and snapshot.phase in {"ready", "degraded"}
    yield GaugeMetricFamily("splitter_engine_up", "1 while the engine is ready to serve", value=float(up))
    if snapshot is None:
        return
    yield CounterMetricFamily("splitter_engine_restarts", "Restarts of the engine", value=snapshot.restarts)
    started = "Unix time of the engine's latest start"
    yield GaugeMetricFamily("splitter_engine_start_time_seconds", started, value=snapshot.started_at)
    command = snapshot.command
    info = GaugeMetricFamily("splitter_engine_info", "What runs; always 1", labels=("kind", "version", "model"))
    _add(info, (command.engine.kind, command.engine.version or "", command.model_path), 1)
    yield info


def work_metrics(reading: Reading) -> Iterator[Metric]:
    """Slots, requests, tokens."""
    slots, tally = reading.slots, reading.tally
    if slots is not None:
        yield GaugeMetricFamily("splitter_engine_slots", "Requests the engine can work on at once", value=slots.total)
        yield GaugeMetricFamily("splitter_engine_slots_busy", "Slots that work on a request", value=slots.busy)
    if reading.tokens_per_s is not None:
        text = "Tokens generated per second now, by all slots together"
        yield GaugeMetricFamily("splitter_engine_tokens_per_second", text, value=reading.tokens_per_s)
    counters = (
        ("requests", "Requests that the engine finished", tally.requests),
        ("generated_tokens", "Tokens generated", tally.generated_tokens),
        ("generation_seconds", "Seconds of generation, added up over finished requests", tally.generation_s),
        ("prompt_tokens", "Prompt tokens processed, cached ones not counted", tally.prompt_tokens),
        ("prompt_seconds", "Seconds of prompt processing, added up over requests", tally.prompt_s),
    )
    for name, text, value in counters:
        yield CounterMetricFamily(f"splitter_engine_{name}", text, value=value)


def predicted_metrics(expected: Expected) -> Iterator[Metric]:
    """What the plan promised for one request."""
    text = "Tokens per second of one request that the plan predicts"
    family = GaugeMetricFamily("splitter_predicted_tokens_per_second", text, labels=("stage",))
    _add(family, ("generation",), expected.generation_tokens_per_s)
    _add(family, ("prompt",), expected.prompt_tokens_per_s)
    yield family


def process_metrics(reading: Reading) -> Iterator[Metric]:
    """Memory and CPU of the engine and of its supervisor."""
    memory = GaugeMetricFamily(
        "splitter_process_resident_memory_bytes", "Resident memory, children included", labels=("process",)
    )
    cpu = CounterMetricFamily("splitter_process_cpu_seconds", "CPU seconds used", labels=("process",))
    for process, use in (("engine", reading.engine), ("supervisor", reading.supervisor)):
        _add(memory, (process,), None if use is None else use.resident_bytes)
        _add(cpu, (process,), None if use is None else use.cpu_s)
    yield memory
    yield cpu


def _hertz(mhz: int | None) -> float | None:
    return None if mhz is None else mhz * MHZ


def _add(family: GaugeMetricFamily | CounterMetricFamily, labels: tuple[str, ...], value: float | None) -> None:
    if value is not None:
        family.add_metric(tuple(map(_text, labels)), value)


def _text(label: str) -> str:
    """A file's name may hold bytes that are no text: they must not break the whole page."""
    return label.encode("utf-8", "replace").decode("utf-8")
