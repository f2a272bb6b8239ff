"""Planner: all that is known of a rig and an engine, and the one place that answers what goes where on them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.calibrated import Calibration, calibrated_constants, calibrated_rig, calibration_notes
from splitter.plan.engine_rules import EngineRules
from splitter.plan.evaluate import evaluate_in
from splitter.plan.extra_models import ALONE, ExtraModels
from splitter.plan.overhead import Overhead, driver_overhead
from splitter.plan.plan import Plan, Speed
from splitter.plan.request import Request
from splitter.plan.scene import Scene
from splitter.plan.speed import Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.workload import CHAT, Workload
from splitter.rig.device import Device, Rig
from splitter.rig.nodes import only_devices

Lessons = Callable[[ModelFacts, Rig], Overhead]
KnownSpeed = Callable[[Plan], Speed | None]


def nothing_learnt(_facts: ModelFacts, _rig: Rig) -> Overhead:
    """The driver's share alone."""
    return driver_overhead


def never_measured(_plan: Plan) -> Speed | None:
    """No speed is known."""
    return None


def _idle_nodes(plan: Plan, request: Request) -> tuple[Device, ...]:
    """The cards of other machines that `plan` leaves out by its own choice."""
    if {"device_order", "tensor_split", "main_gpu", "draft_device_order", "mmproj_device"} & set(request.fixed):
        return ()
    used = {planned.device.id for planned in plan.devices}
    return tuple(device for device in plan.rig.devices if device.node and device.id not in used)


@dataclass(frozen=True, slots=True)
class Planner:
    """Answers for one rig and one engine; whoever asks the same gets the same answer.

    `rig` is as the machine or a file reports it, `calibration` what its cards were measured to reach. `lessons` gives
    what a device loses to its driver and what failures and dry runs taught of it, as it is known when asked.
    `known_speed` is the speed that a plan was measured at.
    """

    rig: Rig
    engine: EngineRules
    calibration: Calibration | None = None
    lessons: Lessons = nothing_learnt
    known_speed: KnownSpeed = never_measured

    def solve(self, facts: ModelFacts, request: Request, *, details: bool = True, whole_rig: bool = False) -> Plan:
        """The best plan for `request`, whose engine is this one. Raises as `plan.solve`. `whole_rig`: its rig keeps the
        other machines' cards that it leaves out."""
        from splitter.plan.solve import solve  # what only evaluates does without the search

        asked = replace(request, engine=self.engine)
        rig, overhead = self.measured_rig(), self.lessons(facts, self.rig)
        plan = solve(facts, rig, asked, constants=self.constants(), overhead=overhead, details=details)
        if not whole_rig and _idle_nodes(plan, asked):
            return self._without_idle(plan, facts, asked, details=details)
        return self.noted(plan) if details else plan

    def _without_idle(self, plan: Plan, facts: ModelFacts, request: Request, *, details: bool) -> Plan:
        """`plan` on the rig without the other machines' cards that it leaves out: no worker is started for them, and
        the engine counts the others anew. What was said of them, and the alternatives, stay."""
        idle, kept = _idle_nodes(plan, request), {planned.device.id for planned in plan.devices}
        margins = request.margin_bytes
        if len(margins) > 1:
            margins = tuple(m for m, d in zip(margins, self.rig.devices, strict=True) if d not in idle)
        fewer = self.on(only_devices(self.rig, sorted(kept)))
        found = fewer.solve(facts, replace(request, margin_bytes=margins), details=details)
        starts = tuple(f"{device.where} is left out" for device in idle)
        said = tuple(reason for reason in plan.reasons if reason.startswith(starts))
        return replace(found, reasons=(*found.reasons, *said), alternatives=plan.alternatives)

    def evaluate(
        self,
        facts: ModelFacts,
        settings: Settings,
        *,
        margin_bytes: tuple[int, ...] = (),
        extra: ExtraModels = ALONE,
        workload: Workload = CHAT,
    ) -> Plan:
        """What `settings` amount to, whether they fit or not. Raises as `plan.evaluate`."""
        ask = self.evaluator(facts, margin_bytes=margin_bytes, extra=extra, workload=workload)
        return self.noted(ask(settings))

    def evaluator(
        self,
        facts: ModelFacts,
        *,
        margin_bytes: tuple[int, ...] = (),
        extra: ExtraModels = ALONE,
        workload: Workload = CHAT,
    ) -> Callable[[Settings], Plan]:
        """`evaluate` for many settings of one model, whose sizes are reckoned once."""
        overhead = self.lessons(facts, self.rig)
        known = self.engine, margin_bytes, self.constants(), overhead, extra, workload
        scene = Scene(facts, self.measured_rig(), *known)
        return lambda settings: evaluate_in(scene, settings)

    def as_measured(self, plan: Plan) -> Plan:
        """`plan` with the speed that it was measured at, where it was."""
        speed = self.known_speed(plan)
        return plan if speed is None else replace(plan, speed=speed)

    def on(self, rig: Rig) -> "Planner":
        """The same knowledge of the same cards in another state: what is free now, say."""
        return replace(self, rig=rig)

    def measured_rig(self) -> Rig:
        """The rig with the bandwidths that its cards reached."""
        return self.rig if self.calibration is None else calibrated_rig(self.rig, self.calibration)

    def constants(self) -> Constants:
        """What prices a plan on `measured_rig`."""
        return TYPICAL if self.calibration is None else calibrated_constants(self.calibration)

    def noted(self, plan: Plan) -> Plan:
        """`plan` saying which of its cards are calibrated and when."""
        if self.calibration is None:
            return plan
        return replace(plan, reasons=(*plan.reasons, *calibration_notes(plan, self.calibration)))
