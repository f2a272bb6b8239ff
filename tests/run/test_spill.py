"""A card that spills into RAM is noticed in the engine's log and at the driver, said once, and never from one alone."""

from dataclasses import replace
from pathlib import Path

from splitter.model.load import load_model
from splitter.plan.plan import Plan, Speed
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.card_reading import CardReading, Readings
from splitter.rig.files import load_rig
from splitter.run.spill_warner import WARNING, SpillWarner
from splitter.units import GIB

TINY = str(Path(__file__).parents[2] / "examples" / "tiny.gguf")
SLOW = (
    "slot print_timing: id 0 | task 7 | eval time = 20000.00 ms / 64 tokens (312 ms per token, 3.20 tokens per second)"
)
FULL = Readings((CardReading("CUDA0", "RTX 4090", used_bytes=24 * GIB - 1, total_bytes=24 * GIB),))
HALF_FULL = Readings((CardReading("CUDA0", "RTX 4090", used_bytes=12 * GIB, total_bytes=24 * GIB),))


def plan_of(tokens_per_s: float | None) -> Plan:
    request = Request(fixed={"parallel": 1, "context_size": 512})
    return replace(solve(load_model(TINY), load_rig("phoenix"), request), speed=Speed(tokens_per_s, None))


def warned(plan: Plan, cards: Readings, lines: int) -> list[str]:
    said: list[str] = []
    warner = SpillWarner(plan, said.append, lambda: cards)
    for _ in range(lines):
        warner.on_line(SLOW)
    return said


def test_said_once() -> None:
    assert warned(plan_of(40), FULL, 12) == [WARNING]


def test_slow_alone_or_too_few_is_no_spill() -> None:
    assert warned(plan_of(40), HALF_FULL, 12) == []
    assert warned(plan_of(40), Readings(note="the driver is gone"), 12) == []
    assert warned(plan_of(40), FULL, 2) == []


def test_as_planned_is_no_spill() -> None:
    assert warned(plan_of(4), FULL, 12) == []
    assert warned(plan_of(None), FULL, 12) == []
