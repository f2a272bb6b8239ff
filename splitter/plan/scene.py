"""Scene: the model, the rig and the engine that every plan of one request shares."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from splitter.errors import UsageError
from splitter.memory import speculation
from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.rules import offer_host_buffer
from splitter.memory.settings import Settings, leading_remote
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.plan.defaults import margins
from splitter.plan.engine_rules import NEWEST, EngineRules
from splitter.plan.extra_models import ALONE, ExtraModels, Held
from splitter.plan.overhead import Overhead, driver_overhead
from splitter.plan.placement import placement_of
from splitter.plan.speed import Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.work import LayerParts, layer_parts, model_class
from splitter.plan.workload import CHAT, Workload
from splitter.rig.device import Device, Rig
from splitter.rig.nodes import without_nodes

# Settings of the other models: they do not change what the main one needs.
NO_EXTRA: dict[str, Any] = {
    "mmproj": None,
    "mmproj_device": None,
    "draft_model": None,
    "draft_gpu_layers": None,
    "draft_device_order": None,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """`margin_bytes` as in Request; `constants` price a plan, `overhead` is what a device loses to its driver,
    `extra` the models that share the devices with the main one, `workload` the turn that is to be short.

    `models` remembers the memory models of the request, `searched` what its searches found before they knew any
    compute buffer and the layers they may divide: the many searches of one request ask about the same few.
    """

    facts: ModelFacts
    rig: Rig
    engine: EngineRules = NEWEST
    margin_bytes: tuple[int, ...] = ()
    constants: Constants = TYPICAL
    overhead: Overhead = driver_overhead
    extra: ExtraModels = ALONE
    workload: Workload = CHAT
    models: dict[Settings, MemoryModel] = field(default_factory=dict, repr=False, compare=False)
    searched: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def memory(self, settings: Settings) -> MemoryModel:
        """The memory model of `settings` under the engine's rules; their placement fields do not matter."""
        named = any(item.rpartition("=")[2] in settings.device_order for item in settings.override_tensors)
        needed = named or not offer_host_buffer(settings.device_order)
        away = len(leading_remote(settings.device_order))  # with them, the first device here: it stages what is in RAM
        order = settings.device_order if needed else settings.device_order[: away + 1] if away else ()
        kinds = ",".join(speculation.kinds(settings)) or None
        alone = replace(settings, **NO_EXTRA, spec_type=kinds)
        main = settings.main_gpu if settings.split_mode == "none" else 0  # as does the only card that the engine keeps
        plain = replace(alone, gpu_layers=0, tensor_split=(), main_gpu=main, device_order=order)
        if plain not in self.models:
            known = next(iter(self.models.values()), None)
            made = known.with_settings(plain) if known else MemoryModel(self.facts, plain, self.engine.memory)
            self.models[plain] = made
        return self.models[plain]

    def layer_parts(self, memory: MemoryModel) -> LayerParts:
        """The weights per layer under the overrides of `memory`, read once."""
        s = memory.settings
        order = s.device_order if s.override_tensors else ()
        key = ("parts", memory.mtp, s.override_tensors, s.n_cpu_moe, s.cpu_moe, order)
        if key not in self.searched:
            same = ("parts", memory.mtp)
            self.searched[key] = self.searched[same] = layer_parts(memory, self.searched.get(same))
        found: LayerParts = self.searched[key]
        return found

    def model_class(self) -> str:
        """The model's class, found once."""
        if "class" not in self.searched:
            self.searched["class"] = model_class(self.facts)
        return str(self.searched["class"])

    def place(self, settings: Settings) -> Placement:
        """Where the engine puts the layers under `settings`."""
        free = tuple(device.free_bytes for device in self.devices(settings.device_order))
        rule = self.engine.placement
        if rule is not None and settings.split_mode != "none" and len(free) > 1:
            return rule.place(self.facts, settings, free)
        return placement_of(placed_layers(self.facts), settings, free)

    def told(self, settings: Settings, placement: Placement) -> Settings:
        """`settings` with the tensor split under which the engine puts the layers where `placement` does."""
        rule = self.engine.placement
        if (
            rule is None
            or settings.split_mode != "layer"
            or placement.devices < 2
            or all(owner is None for owner in placement.layers)
        ):
            return settings
        if settings.tensor_split and rule.place(self.facts, settings, ()).layers == placement.layers:
            return settings
        return replace(settings, tensor_split=rule.shares(self.facts, settings, placement))

    def devices(self, device_order: Sequence[str]) -> tuple[Device, ...]:
        """The rig's devices of these ids; UsageError names the ids that exist."""
        known = {device.id: device for device in self.rig.devices}
        unknown = [name for name in device_order if name not in known]
        if unknown:
            raise UsageError(
                f"the rig {self.rig.name} has no device {', '.join(unknown)}",
                f"its devices are {', '.join(known) or 'none'} (see `splitter rig`)",
            )
        if len(set(device_order)) != len(device_order):
            raise UsageError("the device order names a device twice", "name each device once")
        return tuple(known[name] for name in device_order)

    def alone(self) -> "Scene":
        """The same without the other machines, found once."""
        if "alone" not in self.searched:
            self.searched["alone"] = replace(self, rig=without_nodes(self.rig), searched={})
        found: Scene = self.searched["alone"]
        return found

    def usable(self) -> tuple[Device, ...]:
        """The devices that the engine can use: none where it computes on the CPU."""
        return self.engine.usable(self.rig.devices)

    def held(self, settings: Settings, used: Sequence[int] = ()) -> Held:
        """What the other models hold under `settings`; `used` bytes of the main one per device of its order."""
        free = {device.id: device.free_bytes for device in self.rig.devices}
        for name, size in zip(settings.device_order, used, strict=False):
            free[name] -= size
        return self.extra.held(settings, free, self.engine.memory)

    def holding(self, settings: Settings) -> "Scene":
        """The scene in which the other models, placed by `settings`, are already there."""
        if self.extra.is_empty():
            return self
        held, plain = self.held(settings), self.overhead
        host = self.rig.host
        ram = None if host.ram_free_bytes is None else host.ram_free_bytes - held.host_bytes()
        rig = replace(self.rig, host=replace(host, ram_free_bytes=ram))
        return replace(self, rig=rig, overhead=lambda d, h: (*plain(d, h), *held.on(d.id)), extra=ALONE)

    def homes_have_room(self, settings: Settings) -> bool:
        """Whether the other models alone fit where `settings` put them, margins and the driver's share included."""
        held, ram = self.held(settings), self.rig.host.ram_free_bytes
        devices = [(device, sum(size for _, size in held.on(device.id))) for device in self.devices(held.devices())]
        on_devices = all(self.budget_bytes(device) >= size for device, size in devices)
        return on_devices and (ram is None or held.host_bytes() <= ram)

    def margins(self) -> dict[str, int]:
        """Bytes to keep free, by device id."""
        return margins(self.rig, self.margin_bytes)

    def overhead_bytes(self, device: Device) -> int:
        """What the driver takes on a device on which the engine opens a context."""
        return sum(size for _, size in self.overhead(device, self.rig.host))

    def pool_bytes(self) -> int | None:
        """What host and the devices that share its memory may use together: free memory less the largest margin."""
        free, shared = self.rig.pool_free_bytes(), self.rig.shared()
        return None if free is None else free - max(self.margins()[device.id] for device in shared)

    def budget_bytes(self, device: Device) -> int:
        """What llama.cpp may use of a device: free memory less margin and overhead."""
        return device.free_bytes - self.margins()[device.id] - self.overhead_bytes(device)
