"""`-sm graph` of ik_llama.cpp: what each device holds, what is refused, planned and written. It needs two CUDA cards to
run: the cut is compared with the fork's own function, the rest with its source by hand."""

import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import rules_of
from splitter.engine.ik_llama.graph_cut import GraphCut, refusal
from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.evaluate import evaluate
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.units import MIB
from tests.ik_llama.real import CACHE, HERE, server
from tests.plan.builders import card, model, rig

DENSE, EXPERTS = model(layers=8), model(layers=8, experts=8)
RIG = rig(card(0, 2000, 900), card(1, 2000, 400), ram_free_mib=64000)
IK = rules_of("ik-llama", "0")


def shared(facts: ModelFacts, *split: float, context: int = 4096, **more: object) -> Settings:
    order = tuple(f"CUDA{number}" for number in range(len(split)))
    values = {"context_size": context, "gpu_layers": 999, "device_order": order, "tensor_split": split, **more}
    return Settings(split_mode="tensor", swa_full=True, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("facts", [DENSE, EXPERTS], ids=["dense", "experts"])
def test_equal_shares_hold_the_same_and_norms_twice(facts: ModelFacts) -> None:
    plan = evaluate(facts, RIG, shared(facts, 1, 1), engine=IK)
    first, second = (device.memory for device in plan.devices)
    assert first.model_bytes == second.model_bytes
    assert first.context_bytes == second.context_bytes
    halves = sum(t.size_bytes for t in facts.tensors if len(t.shape) > 1 and "embd" not in t.name) / 2
    assert halves <= first.model_bytes <= halves + 2 * MIB * (facts.layers * 7 + 1)  # parts take whole pages
    whole = evaluate(facts, RIG, replace(shared(facts, 1, 1), split_mode="layer"), engine=IK)
    kept = sum(device.memory.context_bytes for device in whole.devices)
    assert first.context_bytes + second.context_bytes == kept


def test_heads_stay_whole_and_what_lies_on_a_device_moves_the_next_cut() -> None:
    """Shares of 3 to 1 of eight heads: the first norm, all that lies on either device by then, moves the first cut to
    8 + 0; then 6 + 2 follow, once the weights lie as they should."""
    cut = GraphCut(DENSE, (3, 1)).cutter_of(DENSE.tensors)
    assert cut.heads[0] == ((1.0, 1.0), (0.0, 0.0))
    assert all(keys * 8 == round(keys * 8) for layer in cut.heads.values() for keys, _ in layer)
    assert 0.7 < cut.used[0] / sum(cut.used) < 0.8
    plan = evaluate(DENSE, RIG, shared(DENSE, 3, 1, context=16384), engine=IK)  # 4 MiB a head: whole pages
    held = sum(layer[0][0] for layer in cut.heads.values())
    whole = sum(device.memory.context_bytes for device in plan.devices)
    assert plan.devices[0].memory.context_bytes == whole * held / DENSE.layers


def test_experts_that_stay_in_ram_are_on_no_device() -> None:
    settings = shared(EXPERTS, 1, 1)
    with_all, without = (evaluate(EXPERTS, RIG, replace(settings, n_cpu_moe=n), engine=IK) for n in (0, 3))
    moved = sum(t.size_bytes for t in EXPERTS.tensors if "_exps" in t.name and int(t.name.split(".")[1]) < 3)
    gone = sum(
        a.memory.model_bytes - b.memory.model_bytes for a, b in zip(with_all.devices, without.devices, strict=True)
    )
    assert moved <= gone <= moved + 2 * MIB * 3 * 3 * 2
    assert without.footprint.host.model_bytes - with_all.footprint.host.model_bytes == moved


def renamed(facts: ModelFacts, name: str) -> ModelFacts:
    old = facts.architecture
    return replace(facts, architecture=name, metadata={k.replace(old, name): v for k, v in facts.metadata.items()})


@pytest.mark.parametrize(
    ("facts", "more", "words"),
    [
        (DENSE, {}, ""),
        (renamed(DENSE, "gemma2"), {}, "does not divide gemma2"),
        (DENSE, {"device_order": ("Vulkan0", "Vulkan1")}, "needs CUDA"),
        (DENSE, {"kv_offload": False}, "-nkvo"),
        (DENSE, {"gpu_layers": 4}, "all layers"),
        (model(layers=2, width=1012), {}, "cannot cut 4048 in pieces of 32"),
    ],
)
def test_what_is_no_plan(facts: ModelFacts, more: dict[str, object], words: str) -> None:
    said = refusal(facts, replace(shared(facts, 1, 1), **more))  # type: ignore[arg-type]
    assert (said is None) if not words else said is not None and words in said


def test_it_is_planned_where_asked_for_offered_else_and_read_back() -> None:
    facts, on = model(layers=24, width=2048), rig(card(0, 2400, 900), card(1, 1700, 400), ram_free_mib=64000)
    asked = solve(facts, on, Request(fixed={"split_mode": "tensor"}, engine=IK, margin_bytes=(0,)))
    command = build_command(asked, EngineRef("ik-llama", None, "0"), Server())
    assert command.argv[command.argv.index("-sm") + 1] == "graph"
    read = read_command(list(command.argv), command.env, kind="ik-llama")
    settings = complete_settings(read, facts, on, "0").settings
    again = evaluate(facts, on, settings, margin_bytes=(0,), engine=IK)
    assert [d.memory for d in again.devices] == [d.memory for d in asked.devices]
    unasked = solve(facts, on, Request(engine=IK, margin_bytes=(0,)))
    assert unasked.settings.split_mode == "layer"
    assert any(other.settings.split_mode == "tensor" for other in unasked.alternatives)
    with pytest.raises(UsageError, match="does not divide gemma2"):
        solve(renamed(DENSE, "gemma2"), RIG, Request(fixed={"split_mode": "tensor"}, engine=IK))


@pytest.mark.ik
def test_the_cut_is_the_forks_own(tmp_path: Path) -> None:
    server()
    program = tmp_path / "create_split"
    subprocess.run(["bash", str(HERE / "create_split.sh"), str(CACHE / "ik_llama.cpp"), str(program)], check=True)
    rng, cases = random.Random(16), []
    for _ in range(2000):
        devices, grain = rng.randint(2, 6), rng.choice((16, 32, 128, 256, 512))
        used = [rng.choice((0, rng.randint(0, 10**10))) for _ in range(devices)]
        cases.append((grain * rng.randint(1, 128), grain, [rng.randint(1, 1000) for _ in range(devices)], used))
    asked = "".join(f"{a} {b} {len(c)} {' '.join(map(str, [*c, *d]))}\n" for a, b, c, d in cases)
    answered = subprocess.run([str(program)], input=asked, capture_output=True, text=True, check=True).stdout
    for (size, grain, shares, used), line in zip(cases, answered.splitlines(), strict=True):
        cut = GraphCut(DENSE, [float(share) for share in shares]).cutter_of([])
        cut.used = used
        assert list(cut.cut(size, grain)) == [int(part) for part in line.split()], (size, grain, shares, used)
