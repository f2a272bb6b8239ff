"""The bound that spares the search of a micro-batch."""

import random

import pytest

from splitter.plan.fastest import find_fastest, least_seconds
from splitter.plan.microbatch import LEAST, SMALLER_UBATCH_GAIN, ubatch
from splitter.plan.overhead import no_overhead
from splitter.plan.scene import Scene
from splitter.plan.task import Task
from splitter.units import MIB
from tests.plan.builders import card, model, rig

CONTEXT = 2048


def random_task(seed: int) -> Task:
    """1-4 cards that together hold a fifth of the model up to a little more than all of it."""
    rnd = random.Random(seed)
    facts = model(rnd.choice([8, 12, 24]), experts=rnd.choice([0, 8]))
    count = rnd.randint(1, 4)
    share = (facts.file_bytes / MIB * rnd.uniform(0.2, 1.1)) / count + 60
    cards = (card(i, int(share * rnd.uniform(0.5, 1.5)), rnd.choice([60, 112, 300, 448, 1000])) for i in range(count))
    scene = Scene(facts, rig(*cards, ram_gb_per_s=rnd.choice([40, 150])), margin_bytes=(0,), overhead=no_overhead)
    return Task(scene, {"context_size": CONTEXT})


@pytest.mark.parametrize("block", range(4))
def test_what_the_bound_rules_out_the_search_would_not_have_found(block: int) -> None:
    """60 random rigs; nearly all of them leave something in RAM, so that the bound is asked."""
    spared = 0
    for seed in range(block * 15, block * 15 + 15):
        task = random_task(seed)
        least = find_fastest(task, CONTEXT, **ubatch(task, LEAST))
        assert least is not None, seed
        enough = least.seconds * (1 + SMALLER_UBATCH_GAIN)
        for size in (256, 512):
            bound, found = least_seconds(task, least, ubatch_size=size), find_fastest(task, CONTEXT, ubatch_size=size)
            if bound > enough:
                spared += 1
                assert found is None or found.seconds > enough, (seed, size)
            assert found is None or bound <= found.seconds * 1.08, (seed, size)
    assert spared >= 5  # and it is no idle bound


def test_a_model_that_stays_in_ram_has_a_bound() -> None:
    """No device holds a layer of the smallest plan."""
    scene = Scene(model(8), rig(card(0, 2)), margin_bytes=(0,), overhead=no_overhead)
    task = Task(scene, {"context_size": CONTEXT})
    least = find_fastest(task, CONTEXT, **ubatch(task, LEAST))
    assert least is not None
    assert not least.settings.device_order
    assert 0 < least_seconds(task, least, ubatch_size=512) <= least.seconds
