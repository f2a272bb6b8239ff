"""Scene: the model, the rig and the engine that every plan of one request shares."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from splitter.errors import UsageError
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.defaults import engine_settings, margins
from splitter.plan.overhead import Overhead, driver_overhead
from splitter.plan.request import EngineKind
from splitter.plan.speed import ROOFLINE, Constants
from splitter.rig.device import Device, Rig


@dataclass(frozen=True, slots=True)
class Scene:
    """`margin_bytes` as in Request; `constants` price a plan, `overhead` is what a device loses to its driver.

    `models` remembers the memory models of the request: the many searches of one request ask about the same few.
    """

    facts: ModelFacts
    rig: Rig
    engine: EngineKind = "llama-server"
    engine_version: str | None = None
    margin_bytes: tuple[int, ...] = ()
    constants: Constants = ROOFLINE
    overhead: Overhead = driver_overhead
    models: dict[Settings, MemoryModel] = field(default_factory=dict, repr=False, compare=False)

    def memory(self, settings: Settings) -> MemoryModel:
        """The memory model of `settings` as the engine's core sees them; its placement fields do not matter."""
        named = any(item.rpartition("=")[2] in settings.device_order for item in settings.override_tensors)
        order = settings.device_order if named else ()
        plain = replace(settings, gpu_layers=0, tensor_split=(), main_gpu=0, device_order=order)
        key = engine_settings(plain, self.engine)
        if key not in self.models:
            known = next(iter(self.models.values()), None)
            self.models[key] = known.with_settings(key) if known else MemoryModel(self.facts, key)
        return self.models[key]

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
            raise UsageError("a device is named twice in the device order", "name each device once")
        return tuple(known[name] for name in device_order)

    def usable(self) -> tuple[Device, ...]:
        """The devices that the engine can use: none for the embedded engine, which computes on the CPU."""
        return () if self.engine == "embedded" else self.rig.devices

    def margins(self) -> dict[str, int]:
        """Bytes to keep free, by device id."""
        return margins(self.rig, self.margin_bytes)

    def overhead_bytes(self, device: Device) -> int:
        """What the driver takes on a device on which the engine opens a context."""
        return sum(size for _, size in self.overhead(device, self.rig.host))

    def budget_bytes(self, device: Device) -> int:
        """What llama.cpp may use of a device: free memory less margin and overhead."""
        return device.free_bytes - self.margins()[device.id] - self.overhead_bytes(device)
