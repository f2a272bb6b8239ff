"""Tune and calibrate through the command line on one small emulated rig, killed once and resumed."""

import time
from pathlib import Path

import psutil
import pytest

from tests.bench.emulated import KILL, World, from_line, small_model
from tests.bench.kill_tune import end_orphans, kept_trials, trial_records

pytestmark = pytest.mark.engine

CARDS = ((30, 100, 200), (30, 400, 500))
FLAGS = ("-c", "512", "-np", "1", "-ub", "32", "-ngl", "9", "--prompt-tokens", "16", "--generate", "4")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, small_model(tmp_path, 8, 256, 512), CARDS, time_scale=2000)


def test_tune_recovers_from_a_bad_start_and_writes_its_evidence(world: World) -> None:
    done = world.run("tune", "--from", from_line(world, ["CUDA0", "CUDA1"], [8, 1]), *FLAGS, "--save-profile", "fast")
    assert done["start"]["layers"] == {"CUDA0": 8, "CUDA1": 1}
    assert done["best"]["layers"].get("CUDA1") == 9
    assert done["gain"] > 0.5
    assert all(trial["record_id"] for trial in done["trials"])
    text = Path(done["profile"]).read_text(encoding="utf-8")
    assert "# Found by `splitter tune`" in text
    assert "device_order: [CUDA1]" in text
    assert "confirmed by measuring both again in turns" in text
    assert done["confirmed"]["verdict"] == "larger"
    assert done["gain"] == pytest.approx(done["confirmed"]["ratio"] - 1)
    plan = world.run("plan", "--profile", "fast")
    spread = done["best"]["generation_tokens_per_s"]
    assert plan["speed"]["basis"] == "measured"
    assert spread["minimum"] <= plan["speed"]["generation_tokens_per_s"] <= spread["maximum"]
    other = world.run("plan", "--profile", "fast", "-c", "256")
    assert other["speed"]["basis"] == "typical", "what was not measured so is not called measured"


def test_what_the_user_fixed_is_never_varied(world: World) -> None:
    done = world.run("tune", *FLAGS, "-dev", "CUDA0,CUDA1", "-ts", "5,4", "-fa", "on", "-ot", "^none$=CPU", "-t", "2")
    assert {trial["label"] for trial in done["trials"]} == {"the start"}


def test_calibrate_lists_and_forgets_and_the_next_plan_uses_it(world: World) -> None:
    done = world.run("calibrate", "--prompt-tokens", "16", "--generate", "4", "-r", "1")
    reached = {card["id"]: card["bandwidth_bytes_per_s"] * world.time_scale / 1e9 for card in done["cards"]}
    assert set(reached) == {"CUDA0", "CUDA1"}
    assert reached["CUDA0"] < reached["CUDA1"]
    plan = world.run("plan", "-c", "512", "-np", "1", "-ngl", "9")  # slowed cards are slower than the host's real RAM
    assert plan["speed"]["basis"] == "calibrated"
    assert any("the speed is calibrated: measured on CUDA" in reason for reason in plan["reasons"])


def test_a_profile_is_where_a_tune_starts(world: World) -> None:
    line = from_line(world, ["CUDA1", "CUDA0"], [3, 6])
    world.run("tune", "--from", line, *FLAGS, "--minutes", "0", "--save-profile", "mine")
    done = world.run("tune", "--profile", "mine", "--minutes", "0", "--prompt-tokens", "16", "--generate", "4")
    assert done["start"]["layers"] == {"CUDA1": 3, "CUDA0": 6}
    assert done["start"]["settings"]["ubatch_size"] == 32
    assert [trial["label"] for trial in done["trials"]] == ["the start"]
    assert done["ended_by"] == "time"


def test_killed_with_9_it_goes_on_from_the_trials_that_were_kept(world: World) -> None:
    words = (*FLAGS, "--from", from_line(world, ["CUDA0", "CUDA1"], [8, 1]))
    process = world.start("tune", *words)
    while kept_trials(world.database()) < 1:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert process.wait() == -KILL, "the tune ended before it could be killed"
    process.communicate()
    assert end_orphans(family) == 0
    kept = trial_records(world.database())
    assert kept
    done = world.run("tune", *words)
    assert [trial["record_id"] for trial in done["trials"]][: len(kept)] == kept
    assert len(done["trials"]) > len(kept)
    assert done["ended_by"] == "nothing better"
    assert kept_trials(world.database()) == 0
