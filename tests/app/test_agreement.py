"""The same question gets the same answer: from plan, launch, check, rank, models, tune, calibrate and the proof, also
where lessons, calibrations and measurements are stored."""

import ast
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from splitter.app import calibrating, listing, ranking, recording, tuning
from splitter.app.checking import evaluate_read
from splitter.app.events import Silent
from splitter.app.planning import Planned, plan_launch, plan_model
from splitter.app.wishes import Wishes
from splitter.bench.calibrate.fit import Fitted
from splitter.bench.calibrate.store import keep_calibration
from splitter.bench.records.records import Records
from splitter.bench.result import RunSample
from splitter.bench.tune.run import Measured, TrialShape
from splitter.bench.tune.trial import Outcome
from splitter.engine.command import EngineRef
from splitter.engine.learnt import keep_lessons, remember
from splitter.engine.lessons import Lesson
from splitter.engine.llama_server import proof
from splitter.engine.reading.command import read_command
from splitter.errors import DoesNotFitError
from splitter.memory.footprint import MemoryUse
from splitter.model.caches import FoundModel
from splitter.plan.plan import Plan
from splitter.rig.files import load_rig
from splitter.units import GIB, MIB
from tests.profile.shapes import shape

ROOT = Path(__file__).parents[2] / "splitter"
ENGINE = EngineRef("llama-server", None, "11434")
SHAPE = TrialShape(64, 16)
QUESTIONS: dict[str, dict[str, Any]] = {
    "open": {},
    "fixed layers": {"settings.gpu_layers": 20, "settings.context_size": 4096},
    "margins": {"settings.context_size": 8192, "margin_mib": (900, 700, 500)},
    "all given": {
        "settings.gpu_layers": 30,
        "settings.context_size": 2048,
        "settings.device_order": ("CUDA1", "CUDA2", "CUDA0"),
        "settings.tensor_split": (18, 8, 4),
        "settings.parallel": 1,
        "settings.ubatch_size": 256,
    },
}


def wishes(question: str) -> Wishes:
    engine = {"engine.kind": ENGINE.kind, "engine.version": ENGINE.version}
    return Wishes({"model": str(shape("qwen2.5-14b-q4_k_m")), "rig.name": "phoenix", **engine, **QUESTIONS[question]})


def learn() -> None:
    """Two cards have less than they report, and dry runs asked for more than was estimated."""
    rig = load_rig("phoenix")
    free = {device.id: device.free_bytes for device in rig.devices}
    missing = {"CUDA1": 3 * GIB, "CUDA2": 2 * GIB}
    keep_lessons(rig, ENGINE, {name: Lesson(size, free[name]) for name, size in missing.items()})
    remember(plan_model(wishes("open"), Silent()).plan.facts, rig, ENGINE, {"CUDA0": 300 * MIB})


def calibrate() -> None:
    speeds = (("CUDA0", 61e9), ("CUDA1", 245e9), ("CUDA2", 122e9))
    flops = (("CUDA0", 1.1e12), ("CUDA1", 2.2e13), ("CUDA2", 2.4e12))
    with Records() as records:
        fitted = Fitted(speeds, flops, 0.0002, 0.00006, 31e9, 0.01)
        keep_calibration(records, load_rig("phoenix"), ENGINE, fitted, driver=None, now=datetime.now(UTC))


STATES = {"nothing": (), "lessons": (learn,), "calibration": (calibrate,), "both": (learn, calibrate)}


@dataclass(frozen=True)
class Answer:
    """What must be the same."""

    used: tuple[tuple[str, MemoryUse, int], ...]
    fits: bool
    speed: tuple[float | None, float | None, str]


def answer(plan: Plan) -> Answer:
    used = tuple((d.device.id, d.memory, d.headroom_bytes()) for d in plan.devices)
    speed = plan.speed
    return Answer(used, plan.fits(), (speed.generation_tokens_per_s, speed.prompt_tokens_per_s, speed.basis))


def checked(planned: Planned, question: str) -> Plan:
    read = read_command(list(planned.command.argv), kind=ENGINE.kind, version=ENGINE.version)
    asked = {key: value for key, value in wishes(question).values.items() if not key.startswith(("settings.", "model"))}
    return evaluate_read(read, Wishes(asked), Silent()).plan


def ranked(question: str, folder: Path) -> Plan | None:
    folder.mkdir()
    (folder / "m.gguf").symlink_to(shape("qwen2.5-14b-q4_k_m"))
    choice = ranking.several_models(Wishes({**wishes(question).values, "model": str(folder)}), Silent())
    assert choice is not None
    (only,) = ranking.rank(choice, Silent()).advice.files
    return only.candidate.plan


def listed(planned: Planned) -> Plan | None:
    found = FoundModel("m", planned.plan.facts.path, "folder", 1)
    return listing.look_at(found, planned.task.planner, planned.task.request).plan


def tuned(planned: Planned) -> tuning.TuneJob:
    asked = tuning.TuneWishes(SHAPE, 1, resume=False, allow_lossy_kv=False, own_plan=True, line=None)
    return tuning.prepare(planned, {}, asked, Silent())


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("state", STATES)
def test_one_answer(state: str, question: str, tmp_path: Path) -> None:
    for store in STATES[state]:
        store()
    planned = plan_model(wishes(question), Silent())
    told = answer(planned.plan)
    assert told.fits
    assert answer(plan_launch(wishes(question), Silent()).plan) == told
    assert answer(checked(planned, question)) == told
    other = ranked(question, tmp_path / "models")
    assert other is not None
    assert (other.settings, answer(other)) == (planned.plan.settings, told)
    shown = listed(planned)
    assert shown is not None
    assert (shown.settings, answer(shown)) == (planned.plan.settings, told)
    job = tuned(planned)
    assert answer(job.space.evaluate(job.start)) == told
    again = job.space.solved()
    assert again is not None
    assert answer(again) == answer(job.space.evaluate(again.settings))


@pytest.mark.parametrize("state", ["nothing", "both"])
def test_a_load_of_calibrate_is_what_the_planner_says_of_it(state: str) -> None:
    for store in STATES[state]:
        store()
    small = {**wishes("open").values, "model": str(shape("qwen2.5-3b-q4_k_m"))}
    task = plan_model(Wishes(small), Silent()).task
    loads = calibrating.loads_of(task, 512)
    assert loads
    for load in loads:
        said = task.planner.evaluate(load.plan.facts, load.plan.settings)
        assert answer(load.plan) == answer(said), load.label


@pytest.mark.parametrize("state", ["nothing", "both"])
def test_a_corrected_plan_is_what_the_planner_says_of_it(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for store in STATES[state]:
        store()
    planned = plan_model(wishes("margins"), Silent())
    task, dry_runs = planned.task, []

    def refuses_once(plan: Plan, _engine: EngineRef) -> Plan:
        """A dry run that finds 2 GiB more on the fullest card of the first plan, and agrees with every later one."""
        dry_runs.append(plan)
        if len(dry_runs) > 1:
            return plan
        fullest = max(plan.devices, key=lambda device: device.used_bytes())
        more = replace(fullest, memory=replace(fullest.memory, compute_bytes=fullest.memory.compute_bytes + 2 * GIB))
        return replace(plan, devices=tuple(more if device is fullest else device for device in plan.devices))

    monkeypatch.setattr(proof, "verify", refuses_once)
    found = proof.proven_plan(planned.plan, task.request, task.engine, task.planner)
    assert len(dry_runs) == 2
    assert found.settings != planned.plan.settings
    said = task.planner.evaluate(found.facts, found.settings, margin_bytes=task.request.margin_bytes)
    assert answer(found) == answer(said)


def test_what_lacks_memory_fits_nowhere(tmp_path: Path) -> None:
    """Issue 11: the plan said no (exit 3), check said yes, and the ranking recommended all layers on GPUs."""
    rig = load_rig("phoenix")
    gone = {device.id: Lesson(device.free_bytes - 64 * MIB, device.free_bytes) for device in rig.devices}
    fixed = Wishes({**wishes("open").values, "settings.gpu_layers": 9, "settings.context_size": 4096})
    before = plan_model(fixed, Silent())
    keep_lessons(rig, ENGINE, gone)
    with pytest.raises(DoesNotFitError):
        plan_model(fixed, Silent())
    assert checked(before, "open").fits() is False
    best = ranked("open", tmp_path / "models")
    assert best is not None
    assert all(owner is None for owner in best.placement.layers)


def test_a_measured_speed_is_told_by_all(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "m.gguf").symlink_to(shape("qwen2.5-14b-q4_k_m"))
    asked = Wishes({**wishes("all given").values, "model": str(folder / "m.gguf")})
    planned = plan_model(asked, Silent())
    run = RunSample(prompt_tokens=64, generated_tokens=16, prompt_s=0.5, generation_s=2, first_token_s=0.5,
                    total_s=2.5, timed_by="engine", timed_tokens=15)  # fmt: skip
    done = Measured(planned.command, Outcome((7.5,), (128.0,)), (run,))
    with Records() as records:
        records.add(recording.trial_record("tune", planned.plan, ENGINE, done, SHAPE, group="g", label="l"))
    told = answer(plan_model(asked, Silent()).plan)
    assert told.speed == (7.5, 128.0, "measured")
    assert answer(checked(planned, "all given")) == told
    choice = ranking.several_models(Wishes({**asked.values, "model": str(folder)}), Silent())
    assert choice is not None
    (only,) = ranking.rank(choice, Silent()).advice.files
    assert only.candidate.plan is not None
    assert answer(only.candidate.plan) == told


def test_nobody_else_builds_a_solver() -> None:
    """Whatever plans or evaluates goes through the Planner: the modules behind it are the plan room's own."""
    own = {"splitter.plan.solve", "splitter.plan.evaluate", "splitter.plan.scene"}
    outside = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for path in sorted(ROOT.rglob("*.py"))
        if path.parent.name != "plan"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in own
    ]
    assert outside == []
