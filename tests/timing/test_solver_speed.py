"""Issue 4, Show 5: CPU time of the solver, and how it grows with devices and layers, as ratios to the smallest case.

pytest -m bench -s tests/timing/test_solver_speed.py; the whole table: python -m tests.plan.time_table
"""

import pytest

from tests.plan.time_table import worst_ms

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("experts", [0, 8])
def test_growth_with_devices_and_layers(experts: int) -> None:
    small = worst_ms(1, 32, experts)
    print(f"\n{'MoE' if experts else 'dense'}, micro-batch open and fixed; 1 card and 32 layers take {small:.0f} ms")
    for devices, layers in ((1, 128), (2, 128), (4, 128), (8, 32), (8, 128)):
        open_ms, fixed_ms = worst_ms(devices, layers, experts), worst_ms(devices, layers, experts, ubatch_size=512)
        print(
            f"{devices} cards, {layers:3} layers: {open_ms:.0f} ms ({open_ms / small:.1f} x), "
            f"-ub fixed {fixed_ms:.0f} ms ({fixed_ms / small:.1f} x)"
        )
