"""Proof by dry run: the engine's figures instead of estimates, and a new plan where they do not fit."""

from dataclasses import replace

from splitter.engine.command import EngineRef
from splitter.engine.dry_run import verify
from splitter.errors import DoesNotFitError
from splitter.plan.evaluate import evaluate
from splitter.plan.plan import Notice, Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve

MAX_CORRECTIONS = 6


def proven_plan(plan: Plan, request: Request, engine: EngineRef) -> Plan:
    """`plan` with the engine's figures; where a device would not fit, solved again with what was learned.

    A corrected plan says so in its warnings. DoesNotFitError when no correction fits; EngineError from the dry run.
    """
    learned = [0] * len(plan.rig.devices)
    proven = verify(plan, engine)
    for _ in range(MAX_CORRECTIONS):
        if proven.fits():
            return proven
        _learn(learned, proven)
        proven = verify(_solved_again(plan, request, learned), engine)
    if proven.fits():
        return proven
    raise DoesNotFitError(
        "llama-fit-params refuses every plan that the estimate accepts",
        "raise --margin, lower -c, or leave out the card that is short",
    )


def _learn(learned: list[int], proven: Plan) -> None:
    """Adds each device's shortfall to what the solver must keep free there."""
    positions = {device.id: i for i, device in enumerate(proven.rig.devices)}
    for planned in proven.devices:
        learned[positions[planned.device.id]] += max(0, -planned.headroom_bytes())


def _solved_again(plan: Plan, request: Request, learned: list[int]) -> Plan:
    margins = request_margins(plan, request)
    stricter = replace(request, margin_bytes=tuple(a + b for a, b in zip(margins, learned, strict=True)))
    again = solve(plan.facts, plan.rig, stricter)
    result = evaluate(
        plan.facts,
        plan.rig,
        again.settings,
        margin_bytes=margins,
        engine=plan.engine,
        engine_version=plan.engine_version,
    )
    notice = Notice(
        "plan_corrected", "the first estimate was too low for a card; the plan was corrected by the dry run"
    )
    return replace(result, reasons=again.reasons, warnings=(*again.warnings, notice), alternatives=again.alternatives)


def request_margins(plan: Plan, request: Request) -> tuple[int, ...]:
    """One margin per device of the rig, in rig order."""
    given = request.margin_bytes
    if len(given) == len(plan.rig.devices):
        return given
    by_id = {planned.device.id: planned.margin_bytes for planned in plan.devices}
    fallback = given[0] if given else max(by_id.values(), default=0)
    return tuple(by_id.get(device.id, fallback) for device in plan.rig.devices)
