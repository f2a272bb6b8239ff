"""The steps of `splitter models`: read each header, solve each for the rig; one bad file spoils only its own row."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from splitter.app.events import Events
from splitter.app.planning import Wishes, rig_of
from splitter.engine.command import EngineRef
from splitter.errors import DoesNotFitError, NoDeviceError, SplitterError
from splitter.model.caches import FoundModel
from splitter.model.facts import ModelFacts
from splitter.model.read_facts import Kind, kind_of
from splitter.plan.explain import waits_in_ram
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.rig.device import Rig

SOLVING_S = 30.0

Fit = Literal["gpu", "partly", "cpu", "no"]


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A found model with what its header and the solver say; None where they were not asked or cannot say.

    `error` is why the file cannot be used, or why it does not fit.
    """

    found: FoundModel
    facts: ModelFacts | None = None
    plan: Plan | None = None
    fit: Fit | None = None
    error: SplitterError | None = None

    @property
    def kind(self) -> Kind | None:
        return kind_of(self.facts) if self.facts else None


def listed_models(
    models: tuple[FoundModel, ...], rig: Rig | None, request: Request, events: Events
) -> Iterator[ListedModel]:
    """Each model with its fit, as long as the time for solving lasts (30 s in all); then its header alone."""
    deadline = time.monotonic() + SOLVING_S
    for number, found in enumerate(models, start=1):
        with events.step(f"looking at model {number} of {len(models)}: {found.name}"):
            yield look_at(found, rig if time.monotonic() < deadline else None, request)


def look_at(found: FoundModel, rig: Rig | None, request: Request) -> ListedModel:
    """One model's header and plan."""
    from splitter.model.load import load_model

    try:
        facts = load_model(found.path)
    except SplitterError as error:
        return ListedModel(found, error=error)
    if rig is None or kind_of(facts) != "model":
        return ListedModel(found, facts)
    return _solved(ListedModel(found, facts), facts, rig, request)


def _solved(listed: ListedModel, facts: ModelFacts, rig: Rig, request: Request) -> ListedModel:
    from splitter.plan.solve import solve

    try:
        plan = solve(facts, rig, request, details=False)
    except DoesNotFitError as error:
        return ListedModel(listed.found, facts, fit="no", error=error)
    except SplitterError as error:
        return ListedModel(listed.found, facts, error=error)
    return ListedModel(listed.found, facts, plan, fit_of(plan))


def fit_of(plan: Plan) -> Fit:
    """Whether the plan's layers, experts included, are all on GPUs."""
    if all(owner is None for owner in plan.placement.layers):
        return "cpu"
    return "partly" if waits_in_ram(plan) else "gpu"


def rig_or_none(wishes: Wishes, engine: EngineRef, events: Events) -> Rig | None:
    """The rig; None, with a remark, where this machine has no device and none was named."""
    try:
        with events.step("looking at the devices"):
            return rig_of(wishes, engine)
    except NoDeviceError as error:
        events.say(f"whether they fit is unknown: {error.message} (name cards with --rig or --gpus)")
        return None
