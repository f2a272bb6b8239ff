"""How long the solver takes, and how that grows with devices and layers (issue 4, Show 5).

    python -m tests.plan.time_table

The turn is `chat`, the constants are the typical ones, `-sm tensor` is looked at where it may pay. Milliseconds of this
process, the best of three, over three fillings (half, nine tenths and 1.3 times of what the model needs): the worst of
them. `one -ub` solves with the micro-batch fixed, `open` leaves that to the solver as well.
"""

import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from splitter.model.facts import ModelFacts
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.workload import CHAT
from splitter.rig.device import Rig
from splitter.units import MIB
from tests.plan.builders import card, model, plan, rig

FILLS = (0.5, 0.9, 1.3)
DEVICES, LAYERS = (1, 2, 4, 8), (16, 32, 64, 128)


def big_rig(devices: int, free_mib: float) -> Rig:
    """Cards of different sizes and speeds."""
    rnd = random.Random(5)
    return rig(*(card(i, int(free_mib * rnd.uniform(0.5, 1.5)), rnd.randint(100, 1800)) for i in range(devices)))


def spent_s(facts: ModelFacts, devices: int, fill: float, **fixed: Any) -> float:
    """Seconds of this process for one plan, the best of three (others may be using the machine's caches)."""
    on = big_rig(devices, facts.file_bytes / MIB * fill / devices + 60)
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        found = plan(facts, on, context_size=8192, workload=CHAT, constants=TYPICAL, **fixed)
        best = min(best, time.process_time() - begin)
        assert found.fits()
    return best


def worst_ms(devices: int, layers: int, experts: int, **fixed: Any) -> float:
    """The slowest filling."""
    facts = model(layers, experts=experts)
    return 1000 * max(spent_s(facts, devices, fill, **fixed) for fill in FILLS)


def render() -> Iterator[str]:
    yield f"{'devices':>7} {'layers':>6} {'dense, one -ub':>14} {'open':>6} {'MoE, one -ub':>14} {'open':>6}   ms"
    for devices, layers in ((d, n) for d in DEVICES for n in LAYERS if d == max(DEVICES) or n == max(LAYERS)):
        cells = [worst_ms(devices, layers, e, **fixed) for e in (0, 8) for fixed in ({"ubatch_size": 512}, {})]
        yield f"{devices:7} {layers:6} {cells[0]:14.0f} {cells[1]:6.0f} {cells[2]:14.0f} {cells[3]:6.0f}"


if __name__ == "__main__":
    for line in render():
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
