"""The shipped profiles plan, with the true shapes of their models."""

import pytest

from splitter.engine.commands import build_command
from splitter.plan.solve import solve
from splitter.profile.files import load_profile, shipped
from splitter.profile.profile import to_request
from splitter.rig.files import load_rig
from tests.profile.shapes import SHAPES, profile_facts


def test_every_shipped_profile_is_tried() -> None:
    assert {profile.name for profile in shipped()} == {*SHAPES, "demo"}
    assert [profile for profile in shipped() if profile.error or not profile.description] == []


@pytest.mark.parametrize("name", SHAPES)
def test_a_shipped_profile_plans_and_becomes_a_command(name: str) -> None:
    task = to_request(load_profile(name))
    assert task.rig.name
    plan = solve(profile_facts(name), load_rig(task.rig.name), task.request)
    assert plan.fits()
    assert build_command(plan, task.engine, task.server).argv
    if name == "team-server":
        assert (plan.settings.parallel, plan.settings.kv_unified, task.server.host) == (8, False, "0.0.0.0")
    if name == "moe-in-ram":
        assert plan.footprint.host.model_bytes > plan.devices[0].memory.model_bytes
    if name == "long-context":
        assert plan.settings.context_size > 60000
        assert len(plan.settings.device_order) == 2
