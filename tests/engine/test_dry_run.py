"""Plans proven by the real llama-fit-params on emulated rigs."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splitter.engine.command import EngineRef
from splitter.engine.llama_server.dry_run import dry_run, find_dry_run, verify
from splitter.engine.llama_server.dry_run_rows import DryRunRow, compare, seen_dry
from splitter.errors import EngineError, EngineNotFoundError
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.plan.plan import Plan
from splitter.rig.device import Device, Host, Rig
from splitter.units import MIB, from_mib
from tests.engine.oracle import RIGS, RigRow, engine_dir, skeleton

pytestmark = pytest.mark.engine
TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"


def emulated(monkeypatch: pytest.MonkeyPatch, name: str) -> Rig:
    """The rig as splitter sees it, and the environment in which the engine sees the same."""
    rows: Sequence[RigRow] = RIGS[name]
    for key, value in engine_dir().env(rows).items():
        monkeypatch.setenv(key, value)
    cards = tuple(
        Device(f"CUDA{i}", card, from_mib(total), from_mib(free), bandwidth_bytes_per_s=gb * 1e9)
        for i, (card, total, free, gb) in enumerate(rows)
    )
    return Rig(name, Host(), cards)


def engine() -> EngineRef:
    return EngineRef("llama-server", str(engine_dir().binary("llama-server")), "11434")


def planned(rig: Rig, model: Path, **settings: Any) -> Plan:
    order = tuple(device.id for device in rig.devices)
    own = {"context_size": 4096, "gpu_layers": 999, "device_order": order, "tensor_split": (1.0,) * len(order)}
    return evaluate(load_model(str(model)), rig, Settings(**{**own, **settings}), margin_bytes=(0,))


def agrees(plan: Plan, rows: Sequence[DryRunRow]) -> bool:
    """Every figure of the plan, seen as the dry run sees it, is the engine's, rounded down or one MiB up."""
    by_name = {row.device: row for row in rows}
    pairs = [(use, by_name[d.device.id]) for use, d in zip(seen_dry(plan).devices, plan.devices, strict=True)]
    return all(
        0 <= ours - from_mib(theirs) < MIB
        for use, row in pairs
        for ours, theirs in (
            (use.model_bytes, row.model_mib),
            (use.context_bytes, row.context_mib),
            (use.compute_bytes, row.compute_mib),
        )
    )


def test_forty_random_plans_agree_after_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(11)
    rig, model = emulated(monkeypatch, "phoenix"), skeleton("qwen2.5-32b-q4_k_m")
    for _ in range(40):
        order = tuple(rng.sample(["CUDA0", "CUDA1", "CUDA2"], rng.randint(1, 3)))
        kind = rng.choice(["f16", "q8_0"])
        made = planned(
            rig, model, device_order=order, tensor_split=tuple(float(rng.randint(1, 9)) for _ in order),
            gpu_layers=rng.randint(1, 65), context_size=rng.choice([2048, 8192]), cache_type_k=kind, cache_type_v=kind,
            ubatch_size=rng.choice([128, 512]), parallel=1, flash_attention="on",
        )  # fmt: skip
        proven = verify(made, engine())
        assert proven.verified is not None
        assert (proven.verified.by, proven.verified.engine_version) == ("llama-fit-params", "11434")
        rows = dry_run(made, engine())
        assert agrees(proven, rows)
        assert not any(difference.total_bytes() for difference in compare(proven, rows)[:-1])
        assert [d.memory.breakdown_bytes() for d in proven.devices] == [
            u.breakdown_bytes() for u in proven.footprint.devices
        ]


def test_a_wrong_estimate_is_replaced_and_shows_that_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, model = emulated(monkeypatch, "phoenix"), skeleton("qwen2.5-32b-q4_k_m")
    made = planned(rig, model, gpu_layers=60, tensor_split=(12.0, 25.0, 23.0), parallel=1)
    uses = tuple(replace(use, model_bytes=use.model_bytes // 4) for use in made.footprint.devices)
    devices = tuple(replace(d, memory=replace(d.memory, model_bytes=d.memory.model_bytes // 4)) for d in made.devices)
    wrong = replace(made, footprint=replace(made.footprint, devices=uses), devices=devices)
    assert wrong.fits()
    proven = verify(wrong, engine())
    assert not proven.fits()
    assert proven.verified is not None
    assert proven.verified.max_difference_bytes > from_mib(2000)


def test_four_slots_over_one_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama-fit-params knows no unified cache: what it says of one slot is carried over."""
    rig = emulated(monkeypatch, "phoenix")
    proven = verify(planned(rig, TINY, context_size=4096), engine())
    assert agrees(proven, dry_run(planned(rig, TINY, context_size=4096, parallel=1), engine()))


def test_a_card_left_out_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = emulated(monkeypatch, "phoenix")
    rows = dry_run(planned(rig, TINY, device_order=("CUDA2", "CUDA1"), tensor_split=(2.0, 1.0)), engine())
    assert [row.device for row in rows] == ["CUDA2", "CUDA1", "Host"]


def test_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = emulated(monkeypatch, "phoenix")
    proven = verify(planned(rig, TINY, device_order=(), tensor_split=(), gpu_layers=0), engine())
    assert proven.verified is not None
    assert proven.verified.max_difference_bytes == 0


def test_tensor_mode_cannot_be_proven_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planned(emulated(monkeypatch, "phoenix"), TINY, split_mode="tensor", flash_attention="on")
    proven = verify(made, engine())
    assert proven.verified is None
    assert proven.footprint == made.footprint
    assert [notice.code for notice in proven.warnings][-1] == "not_verified"


def test_failures_have_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rig = emulated(monkeypatch, "phoenix")
    made = planned(rig, TINY)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TINY.read_bytes()[:100_000])
    with pytest.raises(EngineError, match="corrupted or incomplete"):
        verify(replace(made, facts=replace(made.facts, path=str(broken))), engine())
    with pytest.raises(EngineError, match="is not here"):
        verify(replace(made, facts=replace(made.facts, path="hf:owner/repo")), engine())
    with pytest.raises(EngineError, match="CUDA7"):
        verify(replace(made, settings=replace(made.settings, device_order=("CUDA7", "CUDA0", "CUDA1"))), engine())
    with pytest.raises(EngineNotFoundError, match="llama-fit-params"):
        verify(made, EngineRef("llama-server", "/nowhere/llama-server"))
    assert find_dry_run(EngineRef("koboldcpp", "/opt/koboldcpp")) is None
