"""Predicted against measured speed: real llama-servers on rigs emulated in real time (issue 4, Show 2)."""

from pathlib import Path

import pytest

from tests.plan.real_time import RIGS, compare, small_model

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("rig", RIGS)
def test_measured_within_ten_percent_and_ours_is_fastest(model: Path, rig: str) -> None:
    results = {m.planner: m for m in compare(model, rig)}
    for m in results.values():
        assert abs(m.error()) < 0.1, m
    fastest = max(results.values(), key=lambda m: m.measured)
    assert fastest.planner == "ours", results
