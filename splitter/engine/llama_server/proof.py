"""Proof by dry run: the engine's figures instead of estimates, and a new plan where they do not fit."""

from dataclasses import replace

from splitter.engine.command import EngineRef
from splitter.engine.learnt import LEARNT, remember, shortfalls
from splitter.engine.llama_server.dry_run import verify
from splitter.errors import DoesNotFitError
from splitter.memory.footprint import MemoryUse
from splitter.plan.defaults import margins
from splitter.plan.extra_models import ExtraModels
from splitter.plan.plan import Notice, Plan
from splitter.plan.planner import Planner
from splitter.plan.request import Request
from splitter.units import format_bytes

MAX_CORRECTIONS = 6


def proven_plan(plan: Plan, request: Request, engine: EngineRef, planner: Planner) -> Plan:
    """`plan` with the engine's figures; where a device would not fit, solved again with what was learned.

    `planner` made `plan` for `engine`. A corrected plan says so in its warnings, and what the estimate lacked is
    remembered for the next one.
    DoesNotFitError when no correction fits; EngineError from the dry run.
    """
    extra = [0] * len(plan.rig.devices)
    proven = prove(plan, engine)
    for _ in range(MAX_CORRECTIONS):
        if proven.fits():
            return proven
        short = _learn(extra, proven)
        proven = prove(_solved_again(plan, request, extra, planner), engine)
        proven = replace(proven, warnings=(*proven.warnings, _notice(short)))
    if proven.fits():
        return proven
    raise DoesNotFitError(
        "llama-fit-params rejects every plan that the estimate allows",
        "raise --margin, lower -c, or leave out the card that is short",
    )


def prove(plan: Plan, engine: EngineRef) -> Plan:
    """One dry run: figures replaced, shortfalls remembered."""
    proven = verify(plan, engine)
    remember(plan.facts, plan.rig, engine, shortfalls(plan, proven))
    return without_lesson(proven) if proven.verified else proven


def without_lesson(plan: Plan) -> Plan:
    """The engine's own figures hold what a lesson stood for."""
    devices = tuple(replace(device, memory=_bare(device.memory)) for device in plan.devices)
    footprint = replace(plan.footprint, devices=tuple(_bare(use) for use in plan.footprint.devices))
    return replace(plan, devices=devices, footprint=footprint)


def _bare(use: MemoryUse) -> MemoryUse:
    return replace(use, overhead=tuple(item for item in use.overhead if item[0] != LEARNT))


def _learn(extra: list[int], proven: Plan) -> dict[str, int]:
    """Adds each device's shortfall to what the solver must keep free there; the shortfalls by device id."""
    positions = {device.id: i for i, device in enumerate(proven.rig.devices)}
    short = {d.device.id: -d.headroom_bytes() for d in proven.devices if d.headroom_bytes() < 0}
    for device, size in short.items():
        extra[positions[device]] += size
    return short


def _notice(short: dict[str, int]) -> Notice:
    cards = ", ".join(f"{device} by {format_bytes(size)}" for device, size in short.items()) or "the host"
    return Notice("plan_corrected", f"the dry run asked for more than the estimate ({cards}): the plan was corrected")


def _solved_again(plan: Plan, request: Request, extra: list[int], planner: Planner) -> Plan:
    kept = tuple(margins(plan.rig, request.margin_bytes).values())
    stricter = replace(request, margin_bytes=tuple(a + b for a, b in zip(kept, extra, strict=True)))
    again = planner.solve(plan.facts, stricter)
    others = ExtraModels(request.draft, request.projector)
    result = planner.evaluate(plan.facts, again.settings, margin_bytes=kept, extra=others, workload=request.workload)
    return replace(result, reasons=again.reasons, alternatives=again.alternatives)
