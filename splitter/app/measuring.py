"""The steps of `splitter bench`: measure a running server, a plan's launch, llama-bench, or alternatives in turn."""

from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import uuid4

from splitter.app.events import Events
from splitter.app.grouping import startable, uses_nodes, without_machines
from splitter.app.planning import Planned, commanded, plan_launch, resolve_engine, solve
from splitter.app.recording import header_sha256, host_info, now, plan_fields, planned_record
from splitter.app.wishes import Wishes
from splitter.bench.alternatives import Alternative, alternatives, given
from splitter.bench.client import Target, identify
from splitter.bench.duel import Duel, DuelOutcome, duel
from splitter.bench.measure import Sweep, measure_points
from splitter.bench.records.record import EngineInfo, ModelInfo, Record
from splitter.bench.stopping import Stopping
from splitter.engine.reading.value import ReadCommand
from splitter.errors import DoesNotFitError, UsageError
from splitter.plan.placement import taken_in
from splitter.rig.card_reading import Readings
from splitter.rig.device import Rig
from splitter.rig.nodes import nodes_of
from splitter.rig.sensors import read_cards
from splitter.run.supervisor import Instance, launch

LLAMA_BENCH_REPETITIONS = 5
NAMES_DEVICES = frozenset({"device_order", "tensor_split", "main_gpu"})
NO_BUDGET_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class BenchWishes:
    """What is asked for about measuring: the points, and how the record is called and kept."""

    sweep: Sweep
    label: str = ""
    save: bool = False
    rounds: int = 3
    budget_given: bool = False


def numbers(text: str, what: str, least: int) -> tuple[int, ...]:
    """A list like 0,4096. UsageError that names the option."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < least:
        raise UsageError(f"{what} takes whole numbers of at least {least}, not {text!r}", f"write {what} {least},4")
    return tuple(dict.fromkeys(values))


def measured(target: Target, wishes: BenchWishes, events: Events, rig: Rig | None) -> dict[str, Any]:
    """The points of a running server with the cards before and after, as fields of a record."""
    before = read_cards(rig)
    with events.step(f"measuring {target.url}") as say:
        points = measure_points(target, wishes.sweep, rig=rig, on_progress=say)
    return {"points": points, "url": target.url, "label": wishes.label, **card_fields(before, read_cards(rig))}


def card_fields(before: Readings, after: Readings) -> dict[str, Any]:
    """What a record keeps of the cards."""
    return {
        "cards_before": tuple(asdict(card) for card in before.cards),
        "cards_after": tuple(asdict(card) for card in after.cards),
        "driver_version": after.driver_version,
    }


def bench_url(url: str, api_key: str | None, wishes: BenchWishes, events: Events) -> Record:
    """Measures a running server: of a local llama-server's model the file is known, of others the name."""
    target = identify(url, api_key, None, wishes.sweep.timeout_s)
    fields = measured(target, wishes, events, None)
    path = target.model if target.model.endswith(".gguf") else None
    model = ModelInfo(path=path, name=target.model, header_sha256=header_sha256(path) if path else None)
    engine = EngineInfo(target.dialect.name, target.build)
    return Record(kind="bench", engine=engine, model=model, created_at=now(), host=host_info(), **fields)


def bench_model(wishes: Wishes, asked: BenchWishes, events: Events) -> Record:
    """Plans what is wished for, launches it, measures, stops."""
    return bench_plan(plan_launch(wishes, events), asked, events)


def bench_plan(planned: Planned, wishes: BenchWishes, events: Events) -> Record:
    """Launches the plan, measures, stops."""
    with startable(planned, events) as started, launch(started.command) as instance:
        with events.step("loading the model"):
            instance.wait_ready()
        return bench_instance(started, instance, wishes, events)


def bench_instance(planned: Planned, instance: Instance, wishes: BenchWishes, events: Events) -> Record:
    """Measures the plan's engine, which is ready."""
    found = identify(instance.url, instance.api_key, None, wishes.sweep.timeout_s)
    target = replace(found, log=lambda: instance.lines)
    fields = measured(target, wishes, events, planned.plan.rig)
    return planned_record(planned, planned.command, target.build, **fields)


def bench_llama_bench(planned: Planned, wishes: BenchWishes, events: Events) -> Record:
    """The plan, measured by llama-bench. UsageError for a plan over several machines."""
    if uses_nodes(planned):
        raise UsageError("llama-bench is not told of other machines here", "measure without --llama-bench")
    from splitter.bench.run_llama_bench import run_llama_bench

    sweep, rig = wishes.sweep, planned.plan.rig
    repetitions = sweep.stopping.repetitions or LLAMA_BENCH_REPETITIONS
    before = read_cards(rig)
    with events.step("llama-bench measures"):
        limit_s = sweep.stopping.budget_s if wishes.budget_given else None
        run = run_llama_bench(planned.plan, planned.command, sweep.shapes(), repetitions, limit_s or NO_BUDGET_S)
    points, argv = run
    command = replace(planned.command, argv=argv)
    record = planned_record(planned, command, None, points=points, label=wishes.label, note="measured by llama-bench")
    return replace(record, **plan_fields(planned.plan), **card_fields(before, read_cards(rig)))


def plan_beside(wishes: Wishes, read: ReadCommand | None, events: Events) -> Planned:
    """The proven plan; with the context of the command `read`, where the wishes name none."""
    context = read.settings.get("context_size") if read else None
    given = {"settings.context_size": context} if isinstance(context, int) and context > 0 else {}
    return plan_launch(wishes.over(given), events)


def contenders(planned: Planned, read: ReadCommand | None) -> tuple[Alternative, ...]:
    """The plan, what the engine does alone, and the given command."""
    listed = alternatives(planned.command)
    if read is None:
        return listed
    same = read.kind == planned.task.engine.kind
    bare = not set(read.program) & {"/", "\\"}
    engine = planned.task.engine if same and bare else resolve_engine(read.kind, None if bare else read.program, None)
    other = given(read, engine, planned.task.server, planned.command.env_files)
    context = read.settings.get("context_size")
    ours = planned.plan.settings.context_size
    note = "" if context == ours else f"; its context is {context or 'its own choice'}, the plan's {ours}"
    return (*listed, replace(other, note=other.note + note))


def bench_alternatives(
    planned: Planned, read: ReadCommand | None, wishes: BenchWishes, events: Events
) -> tuple[Record, ...]:
    """One record per alternative, all of one group. With other machines in the rig both are measured: this one alone,
    and several."""
    other = on_other_machines(planned, events)
    widest = planned if other is None or uses_nodes(planned) else other
    with startable(widest, events) as started:
        ours, others = (started, other) if widest is planned else (planned, started)
        return _compared(ours, others, read, wishes, events)


def on_other_machines(planned: Planned, events: Events) -> Planned | None:
    """What a plan that spans machines is on this one alone, and what a plan that leaves them out is with them. None
    where there are none, or where that does not fit."""
    away = tuple(device.id for device in planned.task.rig.devices if device.node)
    if not away:
        return None
    task = planned.task
    if uses_nodes(planned):
        try:
            alone = without_machines(task, nodes_of(task.rig))
            free = {key: value for key, value in alone.request.fixed.items() if key not in NAMES_DEVICES}
            return solve(replace(alone, request=replace(alone.request, fixed=free)), events)
        except DoesNotFitError:
            events.say("nothing fits on this machine alone: only several are measured")
            return None
    evaluate = task.planner.evaluator(task.facts, margin_bytes=task.request.margin_bytes)
    for settings in taken_in(planned.settings, planned.plan.placement, away):
        try:
            plan = evaluate(settings)
        except UsageError:
            break
        if plan.fits():
            return commanded(task, plan)
    events.say("nothing fits that spans the machines: only this one is measured")
    return None


def _compared(
    planned: Planned, other: Planned | None, read: ReadCommand | None, wishes: BenchWishes, events: Events
) -> tuple[Record, ...]:
    sweep, rig = wishes.sweep, planned.plan.rig
    budget_s = sweep.stopping.budget_s if wishes.budget_given else None
    plan = Duel(sweep, wishes.rounds, sweep.stopping.repetitions or Stopping().least, budget_s, rig=rig)
    listed = contenders(planned, read)
    if other is not None:
        name = "several machines" if uses_nodes(other) else "one machine"
        listed = (*listed, Alternative(name, other.command, "what the plan is compared with"))
    before = read_cards(rig)
    with events.step("comparing") as say:
        outcomes = duel(listed, plan, say)
    cards = card_fields(before, read_cards(rig))
    group = uuid4().hex[:12]
    return tuple(
        _alternative_record(
            other if other is not None and outcome.alternative.command is other.command else planned,
            outcome, group, wishes.label, cards,
        )
        for outcome in outcomes
    )  # fmt: skip


def _alternative_record(
    planned: Planned, outcome: DuelOutcome, group: str, label: str, cards: dict[str, Any]
) -> Record:
    name = outcome.alternative.name
    return planned_record(
        planned,
        outcome.alternative.command,
        outcome.build,
        kind="compare",
        group=group,
        label=f"{label}: {name}" if label else name,
        note=outcome.alternative.note,
        points=outcome.points,
        url=outcome.url,
        error=outcome.error,
        **cards,
    )
