"""The whole solver against brute force with the real memory model."""

import random
from dataclasses import replace
from itertools import combinations, pairwise, permutations

import pytest

from splitter.memory.rules import LLAMA_CPP
from splitter.memory.settings import Settings
from splitter.plan.costs import block_placement, turn_seconds
from splitter.plan.engine_rules import EngineRules
from splitter.plan.finder import PIPELINE_OFF_GAIN, Finder, fits
from splitter.plan.overhead import no_overhead
from splitter.plan.placement import PIPELINE_OFF
from splitter.plan.scene import Scene
from splitter.plan.search import TIE_S
from splitter.plan.speed import BOUND
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.task import Task
from splitter.plan.workload import CHAT
from splitter.units import MIB
from tests.plan.builders import ONE_TOKEN, card, model, plan, rig
from tests.plan.time_table import FILLS, big_rig

CONTEXT = 1024
# The search takes a device's compute buffer to depend on its role and on the length of its block alone. That is so
# where logits are reserved for a whole micro-batch; a server's block that ends before a lone output layer needs less.
DRY = EngineRules(memory=LLAMA_CPP)


def every_plan(task: Task, base: Settings) -> list[tuple[float, bool]]:
    """(seconds of a turn, pipeline) of every placement that fits: ordered subsets, counts, -ncmoe, pipeline or not."""
    scene, layers = task.scene, task.scene.facts.layers + 1
    experts = bool(task.scene.facts.hparam("expert_count"))
    found = []
    orders = [o for k in range(len(scene.rig.devices) + 1) for o in permutations(scene.rig.devices, k)]
    variants = [(n, ()) for n in range(layers if experts else 1)] + [(0, (PIPELINE_OFF,))]
    for order in orders:
        for cut in combinations(range(layers), len(order)):
            bounds = (*cut, layers)
            counts = [b - a for a, b in pairwise(bounds)] if order else []
            placement = block_placement(bounds[0], counts)
            for n, override in variants:
                ids = tuple(device.id for device in order)
                settings = replace(base, device_order=ids, n_cpu_moe=n, override_tensors=override)
                memory = scene.memory(settings)
                footprint = memory.footprint(placement)
                if fits(scene, settings, footprint):
                    found.append((turn_seconds(scene, settings, placement), footprint.pipeline))
    return found


def random_case(seed: int) -> tuple[Task, Settings]:
    rnd = random.Random(seed)
    facts = model(rnd.randint(2, 4), experts=rnd.choice([0, 0, 4]), width=rnd.choice([512, 1024]))
    need = facts.file_bytes / MIB + 60
    count = rnd.randint(1, 3)
    cards = (card(i, int(need * rnd.uniform(0.1, 1.1)), rnd.choice([60, 112, 300, 448])) for i in range(count))
    workload, constants = rnd.choice([(CHAT, TYPICAL), (ONE_TOKEN, BOUND)])
    scene = Scene(
        facts, rig(*cards), DRY, margin_bytes=(0,), overhead=no_overhead, constants=constants, workload=workload
    )
    task = Task(scene, {"context_size": CONTEXT, "ubatch_size": rnd.choice([128, 512])})
    return task, task.settings()


@pytest.mark.parametrize("block", range(4))
def test_equals_brute_force_over_real_footprints(block: int) -> None:
    """500 random rigs with small models: no placement that llama.cpp's memory rules allow is faster."""
    for seed in range(block * 125, block * 125 + 125):
        task, base = random_case(seed)
        found = Finder(task, base).run()
        everything = every_plan(task, base)
        best = min(everything)[0] if everything else None
        assert (found is None) == (best is None), seed
        if found is not None and best is not None:
            hops = TIE_S * len(found.settings.device_order)
            keeping = min((s for s, pipeline in everything if pipeline), default=best)
            allowed = max(best, min(keeping, best * (1 + PIPELINE_OFF_GAIN)))
            assert best * (1 - 1e-9) <= found.seconds - hops <= allowed * (1 + 1e-6), seed


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("experts", [0, 8])
def test_eight_devices_and_128_layers_are_planned(experts: int, fill: float) -> None:
    """The largest case of issue 4; its time is measured in tests/timing/test_solver_speed.py."""
    facts = model(128, experts=experts)
    on = big_rig(8, facts.file_bytes / MIB * fill / 8 + 60)
    assert plan(facts, on, context_size=2048, ubatch_size=512).fits()
