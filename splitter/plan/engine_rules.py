"""EngineRules: the engine as the planner sees it, which compares no engine's name or version: it asks these rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from splitter.memory.footprint import Placement
from splitter.memory.rules import LLAMA_SERVER, MemoryRules
from splitter.memory.setting_table import CACHE_TYPES
from splitter.memory.settings import Settings
from splitter.memory.speculation import MTP, NGRAM
from splitter.model.facts import ModelFacts
from splitter.model.ggml_types import fork_types
from splitter.plan.tensor_mode import refusal
from splitter.rig.backend import backend_of_id, prefix_of
from splitter.rig.device import Device


class PlacementRule(Protocol):
    """How an engine divides a model among devices, where not as llama.cpp does."""

    def place(self, facts: ModelFacts, settings: Settings, free_bytes: Sequence[int]) -> Placement:
        """Where `settings` put the layers on devices with `free_bytes`, in the order of its device_order."""
        ...

    def shares(self, facts: ModelFacts, settings: Settings, placement: Placement) -> tuple[float, ...]:
        """The tensor split under which the engine puts the layers where `placement` does."""
        ...


LAYER_MODES = ("layer", "none", "tensor")


@dataclass(frozen=True, slots=True)
class EngineRules:
    """What one version of an engine can be told, and what it does by itself. The defaults are llama-server 11434's.

    `name` and `version` (None: unknown, the newest is assumed) are for people and records, never for decisions.
    `assumed` are fields of Settings with the engine's own defaults; `forced` those that it cannot be told, with what it
    does instead: the planner keeps to them, so that a setting which the user did not give is one the engine can do.

    - `cpu_only`: computes on the host alone.
    - `names_devices`: can be told which devices to use and in which order.
    - `device_flag`: the flag that names the devices to use; None: only their backend's variable hides them.
    - `backends`: the backends whose devices it can use, as the letters of their ids (None: any); `one_backend`: of
      several it uses one.
    - `told_cores`: its own number of threads is a poor one, so that it is told the host's cores.
    - `cannot_share`: why it would not do `-sm tensor`, None where it would; `shares_unasked`: what that costs is known,
      so that a plan may take it by itself.
    - `split_modes`, `cache_types`, `batch_sizes` (None: any): the values it knows.
    - `drafts_itself`: the kinds of speculative decoding without a draft model that it has (--spec-type).
    - `one_batch`: -b and -ub are one; `one_cache_type`: K and V have the same.
    - `own_caches`: gives each of several slots its own cache unless told to share one.
    - `largest_context`: the most tokens that -c takes; None: no limit.
    - `homes_beside`: a projector or draft model may lie on a device that the main model does not use.
    - `fork_types`: reads tensors of the types that only ik_llama.cpp has.
    - `projector_on_cpu`: a projector can be kept on the CPU.
    - `placement`: its rule for which device holds which layer; None: llama.cpp's.
    - `workers`: takes the devices of other machines by llama.cpp's RPC.
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
    backends: tuple[str, ...] | None = None
    one_backend: bool = False
    told_cores: bool = False
    device_flag: str | None = "--device"
    split_modes: tuple[str, ...] = LAYER_MODES
    cannot_share: Callable[[ModelFacts, Settings], str | None] = refusal
    shares_unasked: bool = True
    cache_types: tuple[str, ...] = tuple(CACHE_TYPES)
    batch_sizes: tuple[int, ...] | None = None
    drafts_itself: tuple[str, ...] = (MTP, NGRAM)
    one_batch: bool = False
    one_cache_type: bool = False
    own_caches: bool = True
    largest_context: int | None = None
    homes_beside: bool = True
    projector_on_cpu: bool = True
    fork_types: bool = False
    placement: PlacementRule | None = None
    workers: bool = True
    memory: MemoryRules = LLAMA_SERVER

    def usable(self, devices: Sequence[Device]) -> tuple[Device, ...]:
        """Those of `devices` that it can use: where it takes one backend, the one with most free memory."""
        if self.cpu_only:
            return ()
        mine = [device for device in devices if self.workers or device.node is None]
        known = [d for d in mine if self.backends is None or prefix_of(d.id) in self.backends]
        if not self.one_backend:
            return tuple(known)
        free: dict[str, int] = {}
        for d in known:
            free[prefix_of(d.id)] = free.get(prefix_of(d.id), 0) + d.free_bytes
        chosen = max(free, key=lambda prefix: free[prefix], default="")
        return tuple(d for d in known if prefix_of(d.id) == chosen)

    def slots_share(self, fixed: Mapping[str, Any]) -> bool:
        """Whether the slots of a given -np share one cache, when nothing is said about it."""
        return not self.own_caches or bool(fixed.get("parallel", 1) == 1)

    def batches(self, size: int) -> dict[str, int]:
        """The fields of a micro-batch of `size` tokens."""
        batch = size if self.one_batch else max(size, self.assumed.get("batch_size", size))
        return {"ubatch_size": size, "batch_size": batch}

    def knows_cache_type(self, kind: str) -> bool:
        """Whether K and V can have this type."""
        return kind in self.cache_types

    def unreadable(self, facts: ModelFacts) -> tuple[str, str] | None:
        """Why it cannot read the model's tensors, and what to do; None where it can."""
        types = () if self.fork_types else fork_types(tensor.ggml_type for tensor in facts.tensors)
        if not types:
            return None
        named = ", ".join(types[:4]) + ", ..." * (len(types) > 4)
        message = f"{facts.name} has tensors of type {named}, which {self.name} cannot read: only ik_llama.cpp can"
        return message, "plan with --engine ik-llama, or get another quantisation"

    def how_to_hide(self, device_id: str) -> str:
        """What to write so that the engine leaves this device alone."""
        if self.device_flag:
            return f"leave it out of {self.device_flag}"
        variable = backend_of_id(device_id).variable
        return f"hide it with {variable}" if variable else "hide it from the engine"

    def title(self) -> str:
        """The engine with its version, for sentences."""
        return f"{self.name} {self.version}" if self.version else self.name


NEWEST = EngineRules()
