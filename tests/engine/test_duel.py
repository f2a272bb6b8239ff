"""The real llama-server: alternatives measured in turn, and the reported speed against the engine's own log."""

from dataclasses import replace
from pathlib import Path

import pytest

from splitter.bench.alternatives import Alternative, alternatives
from splitter.bench.duel import Duel, duel
from splitter.bench.measure import Sweep
from tests.bench.honest import errors, measured
from tests.engine.oracle import RIGS
from tests.engine.test_launch import command

pytestmark = pytest.mark.engine


def test_alternatives_in_turn_and_one_that_does_not_load() -> None:
    plan = command(RIGS["phoenix"], "-ts", "1,4,4", "-c", "512", "-np", "1")
    broken = Alternative("broken", replace(plan, argv=(*plan.argv, "--bogus")))
    found = duel([*alternatives(plan), broken], Duel(Sweep(8, 4), rounds=2, repetitions=1))
    assert [outcome.alternative.name for outcome in found] == ["plan", "fit", "proportional", "broken"]
    assert [outcome.error is None for outcome in found] == [True, True, True, False]
    assert "--bogus" in str(found[3].error)
    for outcome in found[:3]:
        (point,) = outcome.points
        assert (point.launches, point.repetitions) == (2, 2)
        assert {run.timed_by for run in point.samples} == {"engine"}


def test_the_reported_speed_is_the_engines_own(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    point = measured(command(RIGS["phoenix"], "-ts", "3,3,3", "-c", "512", "-np", "1"), log, 2)
    assert max(map(abs, errors(point, log.read_text(encoding="utf-8", errors="replace")))) < 0.03
