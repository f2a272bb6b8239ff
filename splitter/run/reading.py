"""Reading: everything known of a running instance at one moment, and what its plan promised. Frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from splitter.engine.http import Slots
from splitter.plan.plan import Plan
from splitter.rig.card_reading import CardReading, Readings
from splitter.run.snapshot import Snapshot
from splitter.run.tally import Tally

RATE_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class ExpectedDevice:
    """What the plan puts on one card, its overhead included."""

    id: str
    name: str
    total_bytes: int
    planned_bytes: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What the plan promised: memory per card, and the speed of one request."""

    devices: tuple[ExpectedDevice, ...] = ()
    generation_tokens_per_s: float | None = None
    prompt_tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """A process with its children: resident memory, CPU seconds since its start, and CPUs used just now (1.0 = one)."""

    resident_bytes: int
    cpu_s: float
    cpus: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample. `tokens_per_s` is what all slots generate together now; None where the engine does not tell."""

    snapshot: Snapshot | None = None
    cards: Readings = field(default_factory=Readings)
    slots: Slots | None = None
    tally: Tally = field(default_factory=Tally)
    tokens_per_s: float | None = None
    engine: ProcessUse | None = None
    supervisor: ProcessUse | None = None


def expected_of(plan: Plan) -> Expected:
    """What `plan` promises."""
    devices = tuple(
        ExpectedDevice(p.device.id, p.device.name, p.device.total_bytes, p.used_bytes()) for p in plan.devices
    )
    return Expected(devices, plan.speed.generation_tokens_per_s, plan.speed.prompt_tokens_per_s)


def rows(cards: Sequence[CardReading], expected: Expected) -> tuple[tuple[CardReading, int | None], ...]:
    """Every planned card with its reading, bare where there is none, then cards that the plan leaves alone."""
    read = {card.device_id: card for card in cards}
    planned = tuple(
        (read.pop(d.id, CardReading(d.id, d.name, total_bytes=d.total_bytes)), d.planned_bytes)
        for d in expected.devices
    )
    return (*planned, *((card, None) for card in read.values()))


def rate_now(history: Sequence[tuple[float, int]]) -> float | None:
    """Tokens per second over the last RATE_WINDOW_S of (monotonic seconds, tokens so far); None for one sample."""
    if len(history) < 2:
        return None
    end_s, end = history[-1]
    start_s, start = next(sample for sample in history if end_s - sample[0] <= RATE_WINDOW_S or sample is history[-2])
    return (end - start) / (end_s - start_s) if end_s > start_s else None
