"""Request: what the user wants and what the user fixed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from splitter.model.facts import ModelFacts
from splitter.plan.engine_rules import NEWEST, EngineRules
from splitter.plan.workload import CHAT, Workload

Goal = Literal["speed", "context", "balanced"]


@dataclass(frozen=True, slots=True)
class Request:
    """One planning task.

    `fixed` maps field names of `memory.settings.Settings` to the values the user gave: they are obeyed or refused,
    never changed. `context_size` in `fixed` may be absent (then the goal decides); `context_max` is `-c max`.
    `engine` is what the engine's version can be told and what it assumes.
    `margin_bytes` is free memory kept per device in rig order; one entry serves all devices.
    `hints` False: a refusal need not say what would fit instead, which takes many searches.
    `workload` is the turn that the goal `speed` makes short. `draft` and `projector` are the headers of the models that
    `fixed` names as `draft_model` and `mmproj`.
    """

    goal: Goal = "speed"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    context_max: bool = False
    margin_bytes: tuple[int, ...] = ()
    engine: EngineRules = NEWEST
    draft: ModelFacts | None = None
    projector: ModelFacts | None = None
    workload: Workload = CHAT
    hints: bool = True
