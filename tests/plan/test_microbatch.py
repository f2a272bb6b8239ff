"""The micro-batch that makes the turn shortest, against all of them."""

import random

import pytest

from splitter.plan.fastest import find_fastest
from splitter.plan.microbatch import AS_GOOD, SIZES, best_at, ubatch
from splitter.plan.overhead import no_overhead
from splitter.plan.scene import Scene
from splitter.plan.task import Task
from splitter.plan.workload import WORKLOADS
from splitter.units import MIB
from tests.plan.builders import card, model, rig

CONTEXT = 16384


def random_task(seed: int) -> Task:
    """1-4 cards that together hold a fifth of the model up to a little more than all of it."""
    rnd = random.Random(seed)
    facts = model(rnd.choice([8, 12, 24]), experts=rnd.choice([0, 8]))
    count = rnd.randint(1, 4)
    share = (facts.file_bytes / MIB * rnd.uniform(0.2, 1.1)) / count + 60
    cards = (card(i, int(share * rnd.uniform(0.5, 1.5)), rnd.choice([60, 112, 300, 448, 1000])) for i in range(count))
    on = rig(*cards, ram_gb_per_s=rnd.choice([40, 150]))
    workload = WORKLOADS[rnd.choice(sorted(WORKLOADS))]
    scene = Scene(facts, on, margin_bytes=(0,), overhead=no_overhead, workload=workload)
    return Task(scene, {"context_size": CONTEXT})


@pytest.mark.parametrize("block", range(4))
def test_no_other_micro_batch_makes_the_turn_much_shorter(block: int) -> None:
    """40 random rigs: what is not tried would not have paid."""
    for seed in range(block * 10, block * 10 + 10):
        task = random_task(seed)
        chosen = best_at(task, CONTEXT)
        tried = [find_fastest(task, CONTEXT, **ubatch(task, size)) for size in SIZES]
        least = min((found.seconds for found in tried if found), default=None)
        assert (chosen is None) == (least is None), seed
        if chosen is not None and least is not None:
            assert chosen.seconds <= least * (1 + 2 * AS_GOOD), seed
