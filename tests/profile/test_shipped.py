"""The shipped profiles plan: with the true shapes of their model, or of the nearest that the skeletons hold."""

import pytest

from splitter.engine.commands import build_command
from splitter.model.load import load_model
from splitter.plan.solve import solve
from splitter.profile.files import load_profile, shipped
from splitter.profile.profile import to_request
from splitter.rig.files import load_rig
from tests.engine.oracle import skeleton

# Own models but for two-unequal-cards and team-server (14B) and two-old-cards (3B), which have no skeleton.
SHAPES = {
    "phoenix": "qwen2.5-32b-q4_k_m",
    "one-card-offload": "qwen2.5-32b-q4_k_m",
    "two-unequal-cards": "llama-3.1-8b-q4_k_m",
    "moe-in-ram": "qwen3-30b-a3b-q4_k_m",
    "long-context": "llama-3.1-8b-q4_k_m",
    "two-old-cards": "qwen3-4b-q4_k_m",
    "team-server": "llama-3.1-8b-q4_k_m",
}


def test_every_shipped_profile_is_tried() -> None:
    assert {profile.name for profile in shipped()} == {*SHAPES, "demo"}
    assert [profile for profile in shipped() if profile.error or not profile.description] == []


@pytest.mark.parametrize("name", SHAPES)
def test_a_shipped_profile_plans_and_becomes_a_command(name: str) -> None:
    task = to_request(load_profile(name))
    assert task.rig.name
    plan = solve(load_model(str(skeleton(SHAPES[name]))), load_rig(task.rig.name), task.request)
    assert plan.fits()
    assert build_command(plan, task.engine, task.server).argv
    if name == "team-server":
        assert (plan.settings.parallel, plan.settings.kv_unified, task.server.host) == (8, False, "0.0.0.0")
    if name == "moe-in-ram":
        assert plan.footprint.host.model_bytes > plan.devices[0].memory.model_bytes
    if name == "long-context":
        assert plan.settings.context_size > 60000
        assert len(plan.settings.device_order) == 2
