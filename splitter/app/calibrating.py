"""The steps of `splitter calibrate`: the loads, their measurements, the fit, what is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from splitter.app.events import Events
from splitter.app.planner import driver_version
from splitter.app.planning import Job, no_device, resolve
from splitter.app.recording import trial_record
from splitter.app.wishes import Wishes, ask
from splitter.bench.calibrate.fit import Fitted, Run, fit
from splitter.bench.calibrate.runs import Load, Solve, launch_loads, loads
from splitter.bench.calibrate.store import Kept, all_calibrations, forget_calibrations, keep_calibration
from splitter.bench.records.records import Records
from splitter.bench.tune.run import Measured, TrialShape, run_trial
from splitter.engine.engines import ENGINES
from splitter.errors import DoesNotFitError, EngineError, UsageError
from splitter.model.load import load_model
from splitter.plan.calibrated import card_work
from splitter.plan.plan import Plan
from splitter.rig.device import Rig
from splitter.shipped import shipped_folder

SPARE_TOKENS = 64  # of context beside the prompt and the answer
LIGHT, LIGHT_CONTEXT = TrialShape(32, 64), 512  # of the tiny model, which was trained on 4096 tokens


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What was measured and what came of it."""

    runs: tuple[tuple[Load, Measured], ...]
    fitted: Fitted


def calibrate_model(wishes: Wishes, shape: TrialShape, repetitions: int, events: Events) -> tuple[Rig, Calibrated]:
    """Measures the rig that is wished for with its model. UsageError for an engine that computes on the CPU."""
    kind = ask(wishes).task.engine.kind
    if ENGINES[kind].cpu_only:
        raise UsageError(f"the {kind} engine computes on the CPU: no card to calibrate", "name another --engine")
    task = resolve(wishes, events, fetches=True)
    context_size = shape.n_prompt + shape.n_generate + SPARE_TOKENS
    return task.rig, calibrate_rig(task, shape, repetitions, context_size, events)


def kept_calibrations() -> tuple[Kept, ...]:
    """Those that were measured on this machine."""
    with Records() as records:
        return all_calibrations(records)


def forget_kept() -> int:
    """Deletes all calibrations; how many there were."""
    with Records() as records:
        return forget_calibrations(records)


def calibrate_rig(task: Job, shape: TrialShape, repetitions: int, context_size: int, events: Events) -> Calibrated:
    """Measures the rig of `task` and keeps the constants. EngineError when too little could be measured."""
    if not task.rig.devices:
        raise no_device(task.rig)
    wanted = loads_of(task, context_size)
    if not wanted:
        raise DoesNotFitError(
            f"{task.facts.name} does not fit on any card of {task.rig.name}", "calibrate with a smaller model"
        )
    group = f"calibrate {datetime.now(UTC).isoformat()}"
    done = []
    with Records() as records:
        for number, load in enumerate(wanted, 1):
            with events.step(f"measuring {load.label} ({number} of {len(wanted)})"):
                used = shape if load.heavy else LIGHT
                found = run_trial(load.plan, task.engine, used, repetitions)
            done.append((load, found))
            record = trial_record("calibrate", load.plan, task.engine, found, used, group=group, label=load.label)
            records.add(record)
            events.say(f"{load.label}: {found.outcome.failed or _speed(found)}")
        fitted = fit_measured(done)
        now = datetime.now(UTC)
        keep_calibration(records, task.rig, task.engine, fitted, driver=driver_version(task.rig), now=now)
    return Calibrated(tuple(done), fitted)


def loads_of(task: Job, context_size: int) -> tuple[Load, ...]:
    """The model's own loads and, where it fits at all, those that tell a layer's launch from its bytes."""
    found = loads(task.rig, task.facts.layers + 1, _planner(task, context_size))
    if not found:
        return ()
    tiny = replace(task, facts=load_model(str(shipped_folder("examples") / "tiny.gguf")))
    return found + launch_loads(tiny.rig, tiny.facts.layers + 1, _planner(tiny, LIGHT_CONTEXT))


def _planner(task: Job, context_size: int) -> Solve:
    base = {"context_size": context_size, "parallel": 1}
    kept = {k: v for k, v in task.request.fixed.items() if k in {"flash_attention", "ubatch_size", "mmap", "threads"}}

    def planned(fixed: Mapping[str, Any]) -> Plan:
        request = replace(task.request, fixed={**base, **kept, **fixed}, context_max=False, draft=None, projector=None)
        return task.planner.solve(task.facts, request, details=False)

    return planned


def fit_measured(done: Sequence[tuple[Load, Measured]]) -> Fitted:
    """The constants, from the loads that were measured; a card whose own load failed is told nothing by a tiny one.
    EngineError where only tiny ones were measured."""
    measured = [(load, found, card_work(load.plan)) for load, found in done if found.outcome.failed is None]
    known = {name for load, _, work in measured if load.heavy for name, _ in work.bytes_read}
    if not known:
        raise EngineError("no load could be measured", "see why above; `splitter launch` shows the engine's whole log")
    return fit(
        [
            Run(work, 1 / median(found.outcome.generation), _prompt_s(found) if load.heavy else None, not load.heavy)
            for load, found, work in measured
            if load.heavy or {name for name, _ in work.bytes_read} <= known
        ]
    )


def _prompt_s(found: Measured) -> float | None:
    known = [value for value in found.outcome.prompt if value > 0]
    return 1 / median(tuple(known)) if known else None


def _speed(found: Measured) -> str:
    return f"{median(found.outcome.generation):.2f} t/s"
