"""The steps of `splitter models`: read each header, solve each for the rig; one bad file spoils only its own row."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from splitter.app.events import Events
from splitter.app.planning import find_planner
from splitter.app.wishes import Asked, Wishes, ask
from splitter.errors import DoesNotFitError, NoDeviceError, SplitterError
from splitter.model.caches import FoundModel
from splitter.model.facts import ModelFacts
from splitter.model.found import find_models
from splitter.model.load import load_model
from splitter.model.read_facts import Kind, kind_of
from splitter.plan.explain import waits_in_ram
from splitter.plan.plan import Plan
from splitter.plan.planner import Planner
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


@dataclass(frozen=True, slots=True)
class Listing:
    """The models found, on `rig` (None: no devices); `notes` are of places that could not be read."""

    models: tuple[ListedModel, ...]
    rig: Rig | None
    notes: tuple[str, ...] = ()


def list_models(text: str, wishes: Wishes, events: Events) -> Listing:
    """The models in the usual caches whose name holds `text`, each as it would run with what is asked for.

    Solved as long as the time for it lasts (30 s in all); the rest with its header alone.
    """
    asked = ask(wishes)
    with events.step("looking into the caches"):
        found = find_models()
    named = [model for model in found.models if text.lower() in model.name.lower()]
    planner = _planner_or_none(asked, events)
    return Listing(
        tuple(_listed(named, planner, asked.task.request, events)), planner.rig if planner else None, found.notes
    )


def _listed(
    models: Sequence[FoundModel], planner: Planner | None, request: Request, events: Events
) -> Iterator[ListedModel]:
    deadline = time.monotonic() + SOLVING_S
    for number, found in enumerate(models, start=1):
        with events.step(f"looking at model {number} of {len(models)}: {found.name}"):
            yield look_at(found, planner if time.monotonic() < deadline else None, request)


def look_at(found: FoundModel, planner: Planner | None, request: Request) -> ListedModel:
    """One model's header and plan."""
    try:
        facts = load_model(found.path)
    except SplitterError as error:
        return ListedModel(found, error=error)
    if planner is None or kind_of(facts) != "model":
        return ListedModel(found, facts)
    return _solved(ListedModel(found, facts), facts, planner, request)


def _solved(listed: ListedModel, facts: ModelFacts, planner: Planner, request: Request) -> ListedModel:
    try:
        plan = planner.as_measured(planner.solve(facts, request, details=False))
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


def _planner_or_none(asked: Asked, events: Events) -> Planner | None:
    """None, with a remark, where this machine has no device and none was named."""
    try:
        return find_planner(asked, events)[1]
    except NoDeviceError as error:
        events.say(f"whether they fit is unknown: {error.message} (name cards with --rig or --gpus)")
        return None
