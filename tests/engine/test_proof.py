"""A plan that a wrong estimate made too big is corrected by the dry run, and the lesson is kept."""

from dataclasses import replace
from pathlib import Path

import pytest

from splitter.engine.command import EngineRef
from splitter.engine.learnt import LEARNT, learnt_overhead
from splitter.engine.llama_server.proof import proven_plan
from splitter.memory.footprint import Footprint, MemoryUse, Placement
from splitter.memory.model import MemoryModel
from splitter.model.load import load_model
from splitter.plan.planner import Planner
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.files import load_rig
from splitter.units import from_mib
from tests.engine.oracle import RIGS, engine_dir, skeleton

pytestmark = pytest.mark.engine

FORGOTTEN_BYTES = from_mib(150)


@pytest.fixture
def low_estimate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every estimate forgets 150 MiB of compute buffer per card."""
    honest = MemoryModel.footprint

    def forgetful(self: MemoryModel, placement: Placement) -> Footprint:
        found = honest(self, placement)
        return replace(found, devices=tuple(low(use) for use in found.devices))

    def low(use: MemoryUse) -> MemoryUse:
        return replace(use, compute_bytes=max(0, use.compute_bytes - FORGOTTEN_BYTES))

    monkeypatch.setattr(MemoryModel, "footprint", forgetful)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in engine_dir().env(RIGS["phoenix"]).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("low_estimate")
def test_the_overflow_is_corrected_and_remembered() -> None:
    model = skeleton("qwen2.5-32b-q4_k_m")
    engine = EngineRef("llama-server", str(engine_dir().binary("llama-server")), "11434")
    facts, rig, request = load_model(str(model)), load_rig("phoenix"), Request(margin_bytes=(0,))
    first = solve(facts, rig, request)
    planner = Planner(rig, request.engine, lessons=lambda facts, on: learnt_overhead(facts, on, engine))
    proven = proven_plan(first, request, engine, planner)
    assert proven.fits()
    assert proven.verified
    assert proven.verified.max_difference_bytes >= FORGOTTEN_BYTES - from_mib(2)
    assert "plan_corrected" in {notice.code for notice in proven.warnings}
    assert proven.settings != first.settings
    assert all(name != LEARNT for device in proven.devices for name, _ in device.memory.overhead)
    taught = solve(facts, rig, request, overhead=learnt_overhead(facts, rig, engine))
    again = proven_plan(taught, request, engine, planner)
    assert "plan_corrected" not in {notice.code for notice in again.warnings}
