"""What a failure teaches, by whose report was wrong: other programs' memory, a rig file's promise, a card's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from splitter.app import replanning
from splitter.app.planner import planner_for
from splitter.app.planning import Job, Planned, solve
from splitter.app.replanning import Replanner, looked_again
from splitter.cli.output import Output
from splitter.engine.command import EngineRef, Server
from splitter.engine.learnt import keep_lessons, known_lessons, learnt_overhead
from splitter.engine.lessons import OUT_OF_MEMORY, Lesson, lesson_key
from splitter.engine.log.shortage import Shortage
from splitter.model.load import load_model
from splitter.plan.request import Request
from splitter.rig import listing
from splitter.rig.card_reading import CardReading, Readings
from splitter.rig.device import Rig
from splitter.rig.files import load_rig
from splitter.rig.listed import ListedDevice
from splitter.run.replan import learn
from splitter.units import MIB
from tests.cli.conftest import TINY

ENGINE = EngineRef("llama-server", None, "11434")
FIXED = {"context_size": 4096, "gpu_layers": 9}


@pytest.fixture(autouse=True)
def nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("CONFIG", "CACHE", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))


def phoenix(source: str) -> Rig:
    rig = load_rig("phoenix")
    devices = (replace(device, sources={**device.sources, "free_bytes": source}) for device in rig.devices)
    return replace(rig, devices=tuple(devices))


def planned(source: str) -> Planned:
    task = Job(load_model(str(TINY)), ENGINE, planner_for(phoenix(source), ENGINE), Request(fixed=FIXED), Server())
    return solve(task, Output("launch", as_json=True))


def after_failure(before: Planned, free: dict[str, int], capsys: pytest.CaptureFixture[str]) -> tuple[Planned, str]:
    """The plan after the card that held all died while it ran and the engine finds so much free; and what was said."""
    (used,) = before.plan.devices
    replanner = Replanner(before, Output("launch", as_json=False))
    command = replanner(Shortage(used.device.id, 8 * MIB, "running", None, free))
    assert command == replanner.planned.command
    return replanner.planned, " ".join(capsys.readouterr().err.split())


def free_of(rig: Rig, **now: int) -> dict[str, int]:
    """Each card's free memory as reported, but MiB as given by name."""
    return {device.id: now.get(device.id, device.free_bytes // MIB) * MIB for device in rig.devices}


def test_what_other_programs_took_is_planned_around_and_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    """On all cards at once: the new plan does not walk from one full card to the next."""
    before = planned("engine")
    assert before.plan.settings.device_order == ("CUDA1",)
    after, said = after_failure(before, free_of(before.task.rig, CUDA1=200, CUDA2=150), capsys)
    assert "other programs have taken 7.42 GiB of CUDA1" in said
    assert after.plan.settings.device_order == ("CUDA0",)
    assert [device.free_bytes // MIB for device in after.task.rig.devices] == [3900, 200, 150]
    assert known_lessons() == {}


def test_memory_that_nobody_took_is_a_lesson_and_what_they_took_elsewhere_is_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = planned("engine")
    _, said = after_failure(before, free_of(before.task.rig, CUDA0=500), capsys)
    assert "CUDA1 has" in said
    assert "CUDA0" not in said.split(":")[1]
    assert list(known_lessons()) == [lesson_key(before.task.rig.device("CUDA1"), ENGINE.kind)]


def test_the_drivers_figures_are_compared_with_the_drivers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an engine finds from inside its own context is less, and says nothing about other programs."""
    before = planned("nvml")
    free = free_of(before.task.rig)
    cards = tuple(CardReading(name, name, free_bytes=size) for name, size in free.items())
    monkeypatch.setattr(replanning, "read_cards", lambda _rig: Readings(cards))
    _, said = after_failure(before, free_of(before.task.rig, CUDA1=100), capsys)
    assert "CUDA1 has" in said
    assert "other programs" not in said
    silent, telling = (Shortage("CUDA1", 8 * MIB, "running", None, told) for told in ({}, {"CUDA0": 5, "CUDA1": 100}))
    assert learn(before.plan, telling) == learn(before.plan, silent)
    monkeypatch.setattr(replanning, "read_cards", lambda _rig: Readings((CardReading("CUDA1", "", free_bytes=0),)))
    _, said = after_failure(before, {}, capsys)
    assert "other programs have taken 7.62 GiB of CUDA1" in said


def test_a_rig_files_promise_is_held_against_rig_files_alone(capsys: pytest.CaptureFixture[str]) -> None:
    before = planned("rig file")
    _, said = after_failure(before, free_of(before.task.rig, CUDA1=200), capsys)
    assert "less than reported" in said
    missing = {source: doubted(phoenix(source), "CUDA1") for source in ("rig file", "engine", "nvml")}
    assert missing["rig file"] > 6 * 1024 * MIB
    assert (missing["engine"], missing["nvml"]) == (0, 0)


def test_the_engine_is_asked_again_when_it_ran_and_the_lower_figure_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ListedDevice("CUDA0", "a", 8 * MIB, 5 * MIB), ListedDevice("CUDA1", "b", 8 * MIB, 7 * MIB)]
    monkeypatch.setattr(listing, "list_devices", lambda _path, _env: rows)
    task = replace(planned("engine").task, engine=replace(ENGINE, path="llama-server"))
    told = {"CUDA0": 6 * MIB, "CUDA1": 4 * MIB}
    now = {"CUDA0": 5 * MIB, "CUDA1": 4 * MIB}
    assert looked_again(task, Shortage("CUDA0", 1, "running", None, told), {}).free_bytes == now
    assert looked_again(task, Shortage("CUDA0", 1, "model", None, told), {}).free_bytes == told
    assert looked_again(task, Shortage("CUDA0", 1, "model"), {}).free_bytes == {"CUDA0": 5 * MIB, "CUDA1": 7 * MIB}


def test_a_cards_own_lesson_holds_for_rig_files_too() -> None:
    rig = phoenix("engine")
    device = rig.devices[0]
    keep_lessons(rig, ENGINE, {device.id: Lesson(300 * MIB, device.free_bytes)})
    assert [doubted(phoenix(source), device.id) for source in ("engine", "rig file")] == [300 * MIB, 300 * MIB]


def doubted(rig: Rig, device_id: str) -> int:
    """How much of the reported memory the next plan does not believe in."""
    parts = learnt_overhead(load_model(str(TINY)), rig, ENGINE)(rig.device(device_id), rig.host)
    return dict(parts).get(OUT_OF_MEMORY, 0)
