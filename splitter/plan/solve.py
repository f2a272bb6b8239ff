"""solve: from a request to the best plan that obeys it."""

from dataclasses import replace

from splitter.model.facts import ModelFacts
from splitter.plan.alternatives import alternatives
from splitter.plan.evaluate import assemble, within_ram
from splitter.plan.explain import explain
from splitter.plan.extra_models import ExtraModels
from splitter.plan.homes import choose_with_homes
from splitter.plan.overhead import Overhead, driver_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.scene import Scene
from splitter.plan.speed import Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.task import check_request
from splitter.rig.device import Rig


def solve(
    facts: ModelFacts,
    rig: Rig,
    request: Request,
    *,
    constants: Constants = TYPICAL,
    overhead: Overhead = driver_overhead,
    details: bool = True,
) -> Plan:
    """The best plan for `request`; proven by the memory model to fit with its margins.

    `details` False leaves out the reasons and alternatives, which cost several more searches.

    Raises UsageError for a request that makes no sense, DoesNotFitError (with the nearest possible in its hint) when
    nothing obeys them within the rig's memory.
    """
    extra = ExtraModels(request.draft, request.projector)
    shared = (request.engine, request.margin_bytes, constants, overhead, extra, request.workload)
    scene = Scene(facts, rig, *shared)
    task, choice = choose_with_homes(check_request(scene, request), request)
    plan = within_ram(scene, assemble(scene, choice.found.settings, choice.found.placement))
    if not details:
        return replace(plan, reasons=(*choice.reasons, *plan.reasons))
    reasons = (*choice.reasons, *plan.reasons, *explain(task, plan))
    return replace(plan, reasons=reasons, alternatives=alternatives(task, plan))
