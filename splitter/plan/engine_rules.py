"""EngineRules: the engine as the planner sees it, which compares no engine's name or version: it asks these rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from splitter.memory.rules import LLAMA_CPP, MemoryRules

LAYER_MODES = ("layer", "none", "tensor")


@dataclass(frozen=True, slots=True)
class EngineRules:
    """What one version of an engine can be told, and what it does by itself. The defaults are llama-server 11434's.

    `name` and `version` (None: unknown, the newest is assumed) are for people and records, never for decisions.
    `assumed` are fields of Settings with the engine's own defaults; `forced` those that it cannot be told, with what it
    does instead: the planner keeps to them, so that a setting which the user did not give is one the engine can do.

    - `cpu_only`: computes on the host alone.
    - `names_devices`: can be told which devices to use and in which order.
    - `split_modes`, `cache_types` (None: any), `batch_sizes` (None: any): the values it knows.
    - `one_batch`: -b and -ub are one; `one_cache_type`: K and V have the same.
    - `own_caches`: gives each of several slots a cache of its own unless told to share one.
    - `largest_context`: the most tokens that -c takes; None: no limit.
    - `homes_beside`: a projector or draft model may lie on a device that the main model does not use.
    - `projector_on_cpu`: a projector can be kept on the CPU.
    - `memory`: how it allocates.

    To add a rule: a field here whose default is what llama-server 11434 does; its value by version in the `rules`
    module of each engine that differs; and the one place of this room that asks for it.
    """

    name: str = "llama-server"
    version: str | None = None
    assumed: Mapping[str, Any] = field(
        default_factory=lambda: {"parallel": 4, "kv_unified": True, "batch_size": 2048, "ubatch_size": 512}
    )
    forced: Mapping[str, Any] = field(default_factory=dict)
    cpu_only: bool = False
    names_devices: bool = True
    split_modes: tuple[str, ...] = LAYER_MODES
    cache_types: tuple[str, ...] | None = None
    batch_sizes: tuple[int, ...] | None = None
    one_batch: bool = False
    one_cache_type: bool = False
    own_caches: bool = True
    largest_context: int | None = None
    homes_beside: bool = True
    projector_on_cpu: bool = True
    memory: MemoryRules = LLAMA_CPP

    def slots_share(self, fixed: Mapping[str, Any]) -> bool:
        """Whether the slots of a given -np share one cache, when nothing is said about it."""
        return not self.own_caches or bool(fixed.get("parallel", 1) == 1)

    def batches(self, size: int) -> dict[str, int]:
        """The fields of a micro-batch of `size` tokens."""
        batch = size if self.one_batch else max(size, self.assumed.get("batch_size", size))
        return {"ubatch_size": size, "batch_size": batch}

    def knows_cache_type(self, kind: str) -> bool:
        """Whether K and V can have this type."""
        return self.cache_types is None or kind in self.cache_types

    def title(self) -> str:
        """The engine with its version, for sentences."""
        return f"{self.name} {self.version}" if self.version else self.name


NEWEST = EngineRules()
