"""Issue 4, Show 5: CPU time of the solver, and how it grows with devices and layers; the aim is 300 ms for 8 x 128.

pytest -m bench -s tests/bench/test_solver_speed.py
"""

import pytest

from splitter.units import MIB
from tests.bench.clock import cpu_ms
from tests.plan.builders import model, plan
from tests.plan.test_exact import big_rig

pytestmark = pytest.mark.bench

FILLS = (0.5, 0.9, 1.3)  # of the rig's memory, as a share of what the model needs


@pytest.mark.parametrize("experts", [0, 8])
def test_growth_with_devices_and_layers(experts: int) -> None:
    small = worst(1, 32, experts)
    print(f"\n{'MoE' if experts else 'dense'}: CPU ms (1 card, 32 layers: {small:.0f} ms = 1)")
    for layers in (32, 64, 128):
        row = [worst(devices, layers, experts) for devices in (1, 2, 4, 8)]
        print(f"{layers:4} layers, 1/2/4/8 cards: " + ", ".join(f"{t:.0f} ms ({t / small:.1f} x)" for t in row))


def worst(devices: int, layers: int, experts: int) -> float:
    """The slowest of the fills."""
    facts = model(layers, experts=experts)
    times = []
    for fill in FILLS:
        on = big_rig(devices, facts.file_bytes / MIB * fill / devices + 60)
        assert plan(facts, on, context_size=2048, ubatch_size=512).fits()
        times.append(cpu_ms(lambda on=on: plan(facts, on, context_size=2048, ubatch_size=512), rounds=3))  # type: ignore[misc]
    return max(times)
