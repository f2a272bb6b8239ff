"""solve: from a request to the best plan that obeys it."""

from splitter.model.facts import ModelFacts
from splitter.plan.defaults import default_context
from splitter.plan.fastest import fastest
from splitter.plan.overhead import Overhead, driver_overhead
from splitter.plan.plan import Plan
from splitter.plan.refuse import does_not_fit
from splitter.plan.request import Request
from splitter.plan.scene import Scene
from splitter.plan.speed import ROOFLINE, Constants
from splitter.plan.task import Task, check_request
from splitter.rig.device import Rig


def solve(
    facts: ModelFacts,
    rig: Rig,
    request: Request,
    *,
    constants: Constants = ROOFLINE,
    overhead: Overhead = driver_overhead,
) -> Plan:
    """The best plan for `request`; proven by the memory model to fit with its margins.

    Raises UsageError for wishes that cannot be meant, DoesNotFitError (with the nearest possible in its hint) when
    nothing obeys them within the rig's memory.
    """
    scene = Scene(facts, rig, request.engine, request.engine_version, request.margin_bytes, constants, overhead)
    task = check_request(scene, request)
    return _speed(task)


def _speed(task: Task) -> Plan:
    context_size = task.fixed.get("context_size") or default_context(task.scene.facts)
    plan = fastest(task, context_size)
    if plan is None:
        raise does_not_fit(task, context_size)
    return plan
