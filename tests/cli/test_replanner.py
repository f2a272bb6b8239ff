"""What a failure teaches, by whose report was wrong: other programs' memory, a rig file's promise, a card's own."""

from dataclasses import replace
from pathlib import Path

import pytest

from splitter.cli import launch_steps
from splitter.cli.launch_steps import Replanner
from splitter.cli.output import Output
from splitter.cli.session import Planned, Task, solve
from splitter.engine.command import EngineRef, Server
from splitter.engine.learnt import keep_lessons, known_lessons, learnt_overhead
from splitter.engine.lessons import OUT_OF_MEMORY, Lesson
from splitter.engine.shortage import Shortage
from splitter.model.load import load_model
from splitter.plan.request import Request
from splitter.rig.device import Rig
from splitter.rig.files import load_rig
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
    task = Task(load_model(str(TINY)), phoenix(source), ENGINE, Request(fixed=FIXED), Server())
    return solve(task, Output("launch", as_json=True))


def after_failure(
    before: Planned, left: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Planned, str]:
    """The plan after the card that held all died while it ran and `left` bytes of it are free; and what was said."""
    (used,) = before.plan.devices
    monkeypatch.setattr(launch_steps, "_free_now", lambda _task, _env: {used.device.id: left})
    replanner = Replanner(before, Output("launch", as_json=False))
    command = replanner(Shortage(used.device.id, 8 * MIB, "running"))
    assert command == replanner.planned.command
    return replanner.planned, " ".join(capsys.readouterr().err.split())


def test_what_other_programs_took_is_planned_around_and_not_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned("engine")
    (used,) = before.plan.devices
    after, said = after_failure(before, 200 * MIB, capsys, monkeypatch)
    assert f"other programs have taken 7.42 GiB of {used.device.id}" in said
    assert used.device.id not in after.plan.settings.device_order
    assert known_lessons() == {}


def test_memory_that_nobody_took_is_a_lesson(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned("engine")
    (used,) = before.plan.devices
    _, said = after_failure(before, used.device.free_bytes, capsys, monkeypatch)
    assert f"{used.device.id} has" in said
    assert "less than reported" in said
    assert len(known_lessons()) == 1


def test_a_rig_files_promise_is_held_against_rig_files_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned("rig file")
    (used,) = before.plan.devices
    _, said = after_failure(before, 200 * MIB, capsys, monkeypatch)
    assert "less than reported" in said
    missing = {source: doubted(phoenix(source), used.device.id) for source in ("rig file", "engine", "nvml")}
    assert missing["rig file"] > 6 * 1024 * MIB
    assert (missing["engine"], missing["nvml"]) == (0, 0)


def test_a_cards_own_lesson_holds_for_rig_files_too() -> None:
    rig = phoenix("engine")
    device = rig.devices[0]
    keep_lessons(rig, ENGINE, {device.id: Lesson(300 * MIB, device.free_bytes)})
    assert [doubted(phoenix(source), device.id) for source in ("engine", "rig file")] == [300 * MIB, 300 * MIB]


def doubted(rig: Rig, device_id: str) -> int:
    """How much of the reported memory the next plan does not believe in."""
    parts = learnt_overhead(load_model(str(TINY)), rig, ENGINE)(rig.device(device_id), rig.host)
    return dict(parts).get(OUT_OF_MEMORY, 0)
