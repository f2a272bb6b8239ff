"""A command judged as `splitter check` judges it, without files of the user's."""

from collections.abc import Mapping
from typing import Any

from splitter.app.extra_models import known_extra_models
from splitter.engine.engines import rules_of
from splitter.engine.reading.command import read_command
from splitter.engine.reading.judge import Judged, judge
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.evaluate import evaluate
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Rig


def judged(line: str, facts: ModelFacts, rig: Rig, version: str | None = None) -> Judged:
    """`line` for `facts` (whatever model it names) on `rig`."""
    read = read_command(line, version=version)
    engine = rules_of(read.kind, version)

    def evaluated(on: Rig, settings: Settings) -> Plan:
        return evaluate(facts, on, settings, engine=engine, extra=known_extra_models(settings))

    def solved(on: Rig, fixed: Mapping[str, Any]) -> Plan:
        extra: ExtraModels = (
            known_extra_models(Settings(**fixed))
            if {"context_size", "gpu_layers", "device_order"} <= set(fixed)
            else None
        )
        request = Request(
            fixed=fixed,
            engine=engine,
            draft=extra and extra.draft,
            projector=extra and extra.projector,
        )
        return solve(facts, on, request, details=False)

    return judge(read, facts, rig, evaluated, solved, version)
