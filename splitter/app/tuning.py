"""The steps of `splitter tune`: its start, what may be varied, the trials, the winner's profile."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from splitter.app.events import Events
from splitter.app.grouping import with_workers
from splitter.app.planning import Job, Planned, resolve, solve
from splitter.app.profiles import rig_values
from splitter.app.recording import now, trial_record
from splitter.app.wishes import Wishes
from splitter.bench.calibrate.store import rig_key
from splitter.bench.plain import from_plain, to_plain
from splitter.bench.records.records import Records
from splitter.bench.stats import spread
from splitter.bench.tune.neighbours import Space
from splitter.bench.tune.run import Measured, TrialShape, run_trial
from splitter.bench.tune.store import begin_tune, forget_tune, keep_trial, saved_tune
from splitter.bench.tune.trial import Candidate, Outcome, Trial, candidate
from splitter.bench.tune.tune import Tuned, tune
from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.errors import DoesNotFitError, UsageError
from splitter.memory.settings import Settings
from splitter.plan.extra_models import ExtraModels
from splitter.plan.plan import Plan
from splitter.profile.files import save_profile
from splitter.profile.write import plan_values, render_profile

# What a request means: the same in every trial, whatever else is varied.
MEANT = (
    "context_size", "parallel", "kv_unified", "cache_type_k", "cache_type_v", "swa_full", "kv_offload", "mmap",
    "mmproj", "mmproj_device", "draft_model", "draft_gpu_layers", "draft_device_order",
    "spec_type", "spec_draft_n_max", "draft_cache_type_k", "draft_cache_type_v",
    "cache_ram_mib", "ctx_checkpoints",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TuneWishes:
    """What the command line says about the tune itself."""

    shape: TrialShape
    minutes: float
    resume: bool
    allow_lossy_kv: bool
    own_plan: bool
    line: str | None


@dataclass(frozen=True, slots=True)
class TuneJob:
    """A tune that can begin or go on."""

    task: Job
    space: Space
    start: Settings
    wishes: TuneWishes
    key: str


def tune_model(
    wishes: Wishes, asked: TuneWishes, save_profile: str | None, events: Events
) -> tuple[TuneJob, Tuned, Path | None]:
    """Plans what is wished for, measures its neighbours, and keeps the winner as a profile (default: MODEL-tuned);
    None for the profile where nothing could be measured."""
    with with_workers(resolve(wishes, events, fetches=True), events) as task:
        planned = solve(task, events)
        job = prepare(planned, wishes.settings(), asked, events)
        tuned = run(job, events)
    name = save_profile or f"{Path(wishes.profile or planned.plan.facts.path).stem}-tuned"
    measured = tuned.scores(tuned.best.key)
    return job, tuned, save_winner(job, tuned, rig_values(wishes), name) if measured else None


def prepare(planned: Planned, given: Mapping[str, Any], wishes: TuneWishes, events: Events) -> TuneJob:
    """The job whose start is `planned`, or the command of --from; `given` are the settings of the command line."""
    task = planned.task
    start = _whole_rig(planned).settings if wishes.line is None else _settings_of_line(wishes.line, task, events)
    meant = {name: value for name in MEANT if (value := getattr(start, name)) is not None}
    space = _space(task, {**meant, **given}, frozenset(given), wishes)
    said = (task.facts.path, task.facts.file_bytes, rig_key(task.rig), task.engine.kind, task.engine.version)
    request = (task.request.fixed, task.request.goal, task.request.margin_bytes, to_plain(wishes.shape), wishes.line)
    switches = (wishes.allow_lossy_kv, wishes.own_plan)
    text = json.dumps([*said, *request, *switches], default=str, sort_keys=True)
    return TuneJob(task, space, start, wishes, hashlib.sha256(text.encode()).hexdigest())


def _whole_rig(planned: Planned) -> Plan:
    """The plan on a rig that keeps the other machines' cards it leaves out: in every trial a name means the same."""
    task, plan = planned.task, planned.plan
    if len(plan.rig.devices) == len(task.rig.devices):
        return plan
    return task.planner.solve(task.facts, task.request, details=False, whole_rig=True)


def _settings_of_line(line: str, task: Job, events: Events) -> Settings:
    read = read_command(line, kind=task.engine.kind, version=task.engine.version)
    if read.kind != task.engine.kind:
        raise UsageError(f"--from is a command of {read.kind}", f"tune it with --engine {read.kind}")
    completed = complete_settings(read, task.facts, task.rig, task.engine.version)
    for notice in (*read.refusals, *read.notices):
        events.say(f"--from: {notice.message}")
    return completed.settings


def _space(task: Job, held: Mapping[str, Any], fixed: frozenset[str], wishes: TuneWishes) -> Space:
    request, others = task.request, ExtraModels(task.request.draft, task.request.projector)

    def solved(more: Mapping[str, Any]) -> Plan:
        asked = replace(request, fixed={**held, **more}, context_max=False)
        return task.planner.solve(task.facts, asked, details=False, whole_rig=True)

    return Space(
        task.planner.evaluator(task.facts, margin_bytes=request.margin_bytes, extra=others, workload=request.workload),
        solved,
        fixed,
        task.rig.host.cores,
        lossy_kv=wishes.allow_lossy_kv,
        own_plan=wishes.own_plan,
        n_prompt=wishes.shape.n_prompt,
    )


def run(job: TuneJob, events: Events) -> Tuned:
    """All trials, kept one by one. DoesNotFitError for a start that does not fit."""
    with Records() as records:
        state = saved_tune(records, job.key) if job.wishes.resume else None
        settings = from_plain(Settings, json.loads(state.start)) if state else job.start
        start_plan = job.space.evaluate(settings)
        if not start_plan.fits():
            message = "the settings to start from do not fit"
            raise DoesNotFitError(message, "`splitter check` says where; or tune without --from")
        if state:
            events.say(f"continuing after {len(state.trials)} trials (--fresh starts over)")
        else:
            group = f"tune {now()} {job.key[:8]}"
            begin_tune(records, job.key, group, json.dumps(to_plain(settings)), now())
            state = saved_tune(records, job.key)
        assert state is not None  # noqa: S101 - it was just written
        keeper = _Keeper(job, records, state.group, state.spent_s, events)
        start = candidate(start_plan, "the start", "start")
        until_s = time.monotonic() + 60 * job.wishes.minutes
        tuned = tune(
            job.space,
            start,
            keeper.measure,
            keeper.keep,
            history=state.trials,
            time_left=lambda: time.monotonic() < until_s,
        )
        if tuned.ended_by != "time":
            forget_tune(records, job.key)
    return tuned


class _Keeper:
    """Measures a candidate and keeps its trial with its record."""

    def __init__(self, job: TuneJob, records: Records, group: str, spent_s: float, events: Events) -> None:
        self.job, self.records, self.group, self.events = job, records, group, events
        self.begun_s = time.monotonic() - spent_s
        self.last: tuple[Plan, Measured] | None = None

    def measure(self, wanted: Candidate, repetitions: int) -> Outcome:
        plan = self.job.space.evaluate(wanted.settings)
        with self.events.step(f"measuring {wanted.label}"):
            done = run_trial(plan, self.job.task.engine, self.job.wishes.shape, repetitions)
        self.last = plan, done
        return done.outcome

    def keep(self, wanted: Candidate, outcome: Outcome, position: int) -> Trial:
        if self.last is None:
            raise UsageError("nothing was measured", "report this")
        plan, done = self.last
        record = trial_record(
            "tune",
            plan,
            self.job.task.engine,
            done,
            self.job.wishes.shape,
            group=self.group,
            label=wanted.label,
        )
        trial = Trial(wanted.key, wanted.label, outcome)
        spent_s = time.monotonic() - self.begun_s
        self.events.say(f"{wanted.label}: {outcome.failed or speed_text(outcome)}")
        return keep_trial(self.records, self.job.key, position, trial, record, spent_s=spent_s)


def speed_text(outcome: Outcome) -> str:
    """The middle of the generation speeds."""
    found = spread(outcome.generation)
    return f"{found.median:.2f} t/s" if found else "?"


def save_winner(job: TuneJob, tuned: Tuned, kept: Mapping[str, Any], name: str) -> Path:
    """The winner as a profile; its comment holds the evidence."""
    plan = job.space.evaluate(tuned.best.settings)
    alone = {"rig.nodes": None} if not any(device.device.node for device in plan.devices if device.layers) else {}
    values = {**plan_values(plan, job.task.server), **kept, **alone, "model": str(Path(plan.facts.path).resolve())}
    return save_profile(render_profile(values, evidence(job, tuned)), name, overwrite=True)


def evidence(job: TuneJob, tuned: Tuned) -> str:
    """Comment lines: what was measured, how often, when, with which engine."""
    engine = job.task.engine
    lines = [f"Found by `splitter tune` on {now()[:10]} with {engine.kind} {engine.version or '(unknown build)'}."]
    for what, key in (("This", tuned.best.key), ("The start", tuned.start.key)):
        found = spread(tuned.speeds(key))
        if found:
            words = f"{found.median:.2f} t/s generated (from {found.minimum:.2f} to {found.maximum:.2f}"
            lines.append(f"{what}: {words}, {found.count} repetitions).")
    gain = tuned.gain()
    if gain is not None:
        lines.append(f"A whole request is {100 * gain:+.1f} % faster than at the start{confirmation(tuned)}.")
    lines.append(f"{len(tuned.trials)} trials, {tuned.launches()} launches; ended by: {tuned.ended_by}.")
    return "\n".join(lines)


def confirmation(tuned: Tuned) -> str:
    """How the gain was confirmed, in words; "" where it was not."""
    found = tuned.confirmed
    if found is None:
        return "" if tuned.best.key == tuned.start.key else " (not measured again, so probably a little too high)"
    between = ""
    if found.low is not None and found.high is not None:
        between = f", 95 % between {100 * (found.low - 1):+.1f} and {100 * (found.high - 1):+.1f} %"
    return f" (confirmed by measuring both again in turns{between})"
