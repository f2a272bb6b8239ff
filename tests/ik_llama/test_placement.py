"""ik_llama.cpp's own rule for layers: by bytes, one device after the other; and its inverse."""

import random

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import rules_of
from splitter.engine.ik_llama.placement import ByBytes, layer_sizes, split_layers
from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.evaluate import evaluate
from splitter.plan.request import Request
from splitter.plan.solve import solve
from tests.plan.builders import card, model, rig

MODELS = {"dense": model(layers=24), "experts": model(layers=16, experts=8)}


def settings(devices: int, **more: object) -> Settings:
    order = tuple(f"CUDA{number}" for number in range(devices))
    return Settings(context_size=4096, gpu_layers=999, device_order=order, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shares", "owners"),
    [
        ((1, 1), (0, 0, 0, 0, 1, 1, 1, 1, 1)),  # the fifth would overshoot by just half of itself
        ((3, 1), (0, 0, 0, 0, 0, 0, 0, 1, 1)),  # the seventh overshoots by less
        ((1, 0), (0, 0, 0, 0, 0, 0, 0, 0, 0)),
        ((1, 8), (0, 1, 1, 1, 1, 1, 1, 1, 1)),
    ],
)
def test_the_rule_by_hand(shares: tuple[float, ...], owners: tuple[int, ...]) -> None:
    """Eight layers and an output of 100 bytes each; a device's compute need of 10 counts as held."""
    assert split_layers((100.0,) * 9, 10.0, 99, shares) == owners


def test_layers_on_the_host_come_first() -> None:
    """-ngl 5 here is -ngl 4 there: four layers, and the output behind the last of them."""
    assert split_layers((100.0,) * 9, 0.0, 5, (1, 1)) == (None,) * 4 + (0, 0, 1, 1, 1)


@pytest.mark.parametrize("of", MODELS)
@pytest.mark.parametrize("seed", range(60))
def test_the_shares_of_a_placement_give_it_back(of: str, seed: int) -> None:
    rng, facts = random.Random(seed), MODELS[of]
    devices, count = rng.randint(2, 5), facts.layers + 1
    held = rng.randint(devices, count)
    cuts = sorted(rng.sample(range(1, held), devices - 1))
    sizes = [end - start for start, end in zip((0, *cuts), (*cuts, held), strict=True)]
    on_devices = [device for device, size in enumerate(sizes) for _ in range(size)]
    placement = Placement((None,) * (count - held) + tuple(on_devices), devices)
    chosen = settings(devices, ubatch_size=rng.choice((64, 512, 2048)), cache_type_k=rng.choice(("f16", "q8_0")))
    shares = ByBytes().shares(facts, chosen, placement)
    asked = Settings(**{**{f: getattr(chosen, f) for f in chosen.__dataclass_fields__}, "gpu_layers": held,
                        "tensor_split": shares})  # fmt: skip
    assert ByBytes().place(facts, asked, ()).layers == placement.layers


@pytest.mark.parametrize("of", MODELS)
def test_a_plan_says_what_the_engine_will_do(of: str) -> None:
    """The command read again and placed by the fork's rule is the plan."""
    on = rig(card(0, 300), card(1, 200, 500), card(2, 150, 250), ram_free_mib=64000)
    rules = rules_of("ik-llama", "0")
    plan = solve(MODELS[of], on, Request(engine=rules, margin_bytes=(0,)))
    command = build_command(plan, EngineRef("ik-llama", None, "0"), Server())
    read = read_command(list(command.argv), command.env, kind="ik-llama")
    assert not read.refusals
    completed = complete_settings(read, MODELS[of], on, "0")
    again = evaluate(MODELS[of], on, completed.settings, margin_bytes=(0,), engine=rules)
    assert again.placement.layers == plan.placement.layers
    pairs = zip(again.devices, plan.devices, strict=True)
    assert all(a.memory.model_bytes == b.memory.model_bytes for a, b in pairs)


def test_a_tied_output_counts_as_the_embedding() -> None:
    facts: ModelFacts = model(layers=4)
    tied = tuple(tensor for tensor in facts.tensors if tensor.name != "output.weight")
    from dataclasses import replace

    sizes, compute = layer_sizes(replace(facts, tensors=tied), settings(2))
    embedding = next(t.size_bytes for t in facts.tensors if t.name == "token_embd.weight")
    logits = facts.vocabulary * 512 * 4
    assert sizes[-1] == embedding + max(logits - compute, 0)
