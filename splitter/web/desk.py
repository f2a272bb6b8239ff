"""What stands still between two moves of a slider: headers that were read, rigs that were looked at."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from splitter.app.events import Silent
from splitter.app.extra_models import with_extra_models
from splitter.app.keywords import checked_wishes
from splitter.app.planning import Job, Planned, commanded, find_planner, job_of, read_model, solve
from splitter.app.wishes import Asked, ask
from splitter.engine.command import EngineRef
from splitter.model.facts import ModelFacts
from splitter.model.load import is_remote
from splitter.model.locate import locate
from splitter.plan.planner import Planner

KEPT = 12
RIG_S = 10.0  # this machine's free memory moves; a rig file seldom does
Value = TypeVar("Value")


class Fresh(Generic[Value]):
    """The last few values by key, each as long as it is fresh."""

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._kept: OrderedDict[Hashable, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value, made where it is not there or not fresh."""
        now = time.monotonic()
        with self._lock:
            found = self._kept.get(key)
        if found is not None and now - found[0] < self._fresh_s:
            return found[1]
        made = make()
        with self._lock:
            self._kept[key] = (time.monotonic(), made)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made


class Desk:
    """Plans for a page."""

    def __init__(self) -> None:
        self._facts: Fresh[ModelFacts] = Fresh(3600.0)
        self._planners: Fresh[tuple[EngineRef, Planner]] = Fresh(RIG_S)

    def job(self, keywords: Mapping[str, Any]) -> Job:
        """The planning task of what is asked for. Raises as `app.planning.resolve`."""
        named = {name: value for name, value in keywords.items() if name not in {"model", "profile"}}
        asked = ask(checked_wishes(keywords.get("model"), keywords.get("profile"), named))
        task = job_of(self.facts(asked.model()), asked, self.planner(asked), Silent())
        return replace(task, request=with_extra_models(task.request, Silent()))

    def facts(self, model: str) -> ModelFacts:
        """The header, read again when the file has changed."""
        reference = locate(model)
        changed = 0 if is_remote(reference) else Path(reference).stat().st_mtime_ns
        return self._facts.get((reference, changed), lambda: read_model(reference, Silent()))

    def planner(self, asked: Asked) -> tuple[EngineRef, Planner]:
        """The engine, and the planner of the rig."""
        key = (asked.task.rig, asked.task.engine)
        return self._planners.get(key, lambda: find_planner(asked, Silent(), needed=False))

    def planned(self, keywords: Mapping[str, Any]) -> Planned:
        """The whole plan, with reasons and alternatives."""
        return solve(self.job(keywords), Silent())

    def sketched(self, keywords: Mapping[str, Any]) -> Planned:
        """The plan without alternatives and reasons; a refusal does not say what would fit."""
        task = self.job(keywords)
        plan = task.planner.solve(task.facts, replace(task.request, hints=False), details=False)
        return commanded(task, task.planner.as_measured(plan))
