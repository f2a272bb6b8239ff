"""Task: a checked request. What the user fixed, what the engine assumes, and what is left to decide."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from splitter.errors import UsageError
from splitter.memory.setting_table import FORK_CACHE_TYPES
from splitter.memory.settings import Settings
from splitter.memory.speculation import uses_mtp
from splitter.model.hparams import has_mtp
from splitter.plan.request import Request
from splitter.plan.scene import Scene
from splitter.rig.device import Device

FIELDS = frozenset(field.name for field in fields(Settings))


@dataclass(frozen=True, slots=True)
class Task:
    """`fixed` holds Settings fields by name: they are obeyed, everything else is open or the engine's default.

    `hints` False: a refusal need not say what would fit instead, which takes many searches.
    """

    scene: Scene
    fixed: Mapping[str, Any]
    hints: bool = True

    def settings(self, **chosen: Any) -> Settings:
        """The engine's defaults, then `chosen`, then what the user fixed."""
        base: dict[str, Any] = {"gpu_layers": 0, "device_order": ()}
        if self.scene.engine.told_cores:
            base["threads"] = self.scene.rig.host.cores
        return Settings(**{**base, **self.scene.engine.assumed, **chosen, **self.fixed})

    def fixing(self, **more: Any) -> "Task":
        """The same task with more fixed: for alternatives."""
        return replace(self, fixed={**self.fixed, **more})

    def holding(self, settings: Settings) -> "Task":
        """The same task where the other models, placed by `settings`, are already on their devices."""
        if self.scene.engine.memory.draft_sees_all and not settings.device_order:
            settings = replace(settings, device_order=tuple(device.id for device in self.devices()))
        scene = self.scene.holding(settings)
        return self if scene is self.scene else replace(self, scene=scene)

    def split_mode(self) -> str:
        return str(self.fixed.get("split_mode", "layer"))

    def may_divide(self) -> bool:
        """Whether single tensors of layers may go to RAM: -ot and counts are open."""
        fixed = {"override_tensors", "n_cpu_moe", "cpu_moe", "gpu_layers", "tensor_split"} & set(self.fixed)
        return not fixed and self.split_mode() == "layer" and bool(self.devices())

    def devices(self) -> tuple[Device, ...]:
        """The devices to choose from: the fixed order, or all in an order that does not depend on the rig's."""
        order = self.fixed.get("device_order")
        if order is not None:
            return self.scene.devices(order)
        if self.fixed.get("tensor_split") or "main_gpu" in self.fixed:
            return self.scene.usable()  # the positions of a split mean the rig's own order
        return tuple(sorted(self.scene.usable(), key=_rank))

    def alone(self) -> "Task | None":
        """The same task without other machines; None where there are none, or the user names their devices."""
        named = {"device_order", "tensor_split", "main_gpu"} & set(self.fixed)
        if named or not any(device.node for device in self.scene.rig.devices):
            return None
        return replace(self, scene=self.scene.alone())


def _rank(device: Device) -> tuple[float, int, int, str]:
    """Fastest first, then roomiest; the id settles ties between equal cards."""
    return -(device.bandwidth_bytes_per_s or 0.0), -device.free_bytes, -device.total_bytes, device.id


def check_request(scene: Scene, request: Request) -> Task:
    """The task of `request`; UsageError for a request that makes no sense on this rig or engine."""
    unknown = sorted(set(request.fixed) - FIELDS)
    if unknown:
        raise UsageError(f"there is no setting {', '.join(unknown)}", "see `splitter plan --help`")
    reason = scene.engine.unreadable(scene.facts)
    if reason:
        raise UsageError(*reason)
    task = Task(scene, _all_layers(scene, _sayable(scene, request.fixed)), request.hints)
    scene.margins()
    task.devices()
    _check_split(task)
    _check_numbers(task)
    _check_values(task)
    task = replace(task, fixed=_tied(task))
    return replace(task, fixed=_on_cpu(task)) if scene.engine.cpu_only else task


def _all_layers(scene: Scene, fixed: dict[str, Any]) -> dict[str, Any]:
    """More layers than the model has are all of it, output included."""
    layers = fixed.get("gpu_layers")
    return fixed if layers is None else {**fixed, "gpu_layers": min(layers, scene.facts.layers + 1)}


def _sayable(scene: Scene, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The user's wishes, and what this engine's version cannot be told fixed to what it does by itself."""
    engine = scene.engine
    known = {**engine.forced, **fixed}
    if "cpu_moe" in fixed and "n_cpu_moe" not in fixed:
        known.pop("n_cpu_moe", None)
    if "parallel" in fixed:
        known.setdefault("kv_unified", engine.slots_share(fixed))
    order = tuple(device.id for device in scene.usable())
    homes = {item.rpartition("=")[2] for text in fixed.get("override_tensors", ()) for item in text.split(",")}
    if homes & set(order) or (not engine.names_devices and known.get("gpu_layers") != 0):
        known.setdefault("device_order", order)  # an -ot to a card wants that card among the devices
    return known


def _check_split(task: Task) -> None:
    split = task.fixed.get("tensor_split") or ()
    devices = task.devices()
    if split and len(split) != len(devices):
        raise UsageError(
            f"the tensor split has {len(split)} shares for {len(devices)} devices",
            f"give one share per device, in the order {', '.join(d.id for d in devices) or '(no device)'}",
        )
    if any(share < 0 for share in split):
        raise UsageError("a share of the tensor split is negative", "give 0 to a device that should hold nothing")
    main = task.fixed.get("main_gpu", 0)
    if devices and main >= len(devices):
        raise UsageError(f"main GPU {main} does not exist: there are {len(devices)} devices", "count devices from 0")


def _check_numbers(task: Task) -> None:
    for name in ("context_size", "batch_size", "ubatch_size", "parallel"):
        value = task.fixed.get(name)
        if value is not None and value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}", f"leave {name} out to let splitter choose")
    settings = task.settings(context_size=task.fixed.get("context_size", 256))
    if settings.flash_attention == "off" and settings.cache_type_v not in ("f32", "f16", "bf16"):
        raise UsageError(
            f"a quantised V cache ({settings.cache_type_v}) needs flash attention", "drop -fa off, or use -ctv f16"
        )
    if uses_mtp(settings) and not has_mtp(task.scene.facts):
        raise UsageError(
            f"{task.scene.facts.name} has no MTP layers to draft with",
            "plan without --spec-type draft-mtp, or take a file that was converted with them",
        )
    if task.split_mode() == "tensor":
        reason = task.scene.engine.cannot_share(task.scene.facts, settings)
        if reason:
            raise UsageError(reason, "use -sm layer, or turn flash attention on")


def _check_values(task: Task) -> None:
    """UsageError for values that the engine's version does not know."""
    engine, fixed = task.scene.engine, task.fixed
    mode = fixed.get("split_mode", "layer")
    if mode not in engine.split_modes and not engine.cpu_only:
        instead = "name the one device instead: --device" if mode == "none" else "use -sm layer"
        raise UsageError(f"{engine.title()} has no split mode {mode}", instead)
    kinds = {fixed[name] for name in ("cache_type_k", "cache_type_v") if name in fixed}
    strange = sorted(kind for kind in kinds if kind in FORK_CACHE_TYPES and not engine.knows_cache_type(kind))
    if strange:
        known = ", ".join(engine.cache_types)
        raise UsageError(f"{engine.title()} has no cache type {strange[0]}", f"it takes one of {known}")
    if engine.one_cache_type and len(kinds) > 1:
        raise UsageError(f"{engine.name} has one cache type for K and V", "give -ctk and -ctv the same type")
    sizes = [fixed[name] for name in ("batch_size", "ubatch_size") if name in fixed]
    wrong = [size for size in sizes if engine.batch_sizes and size not in engine.batch_sizes]
    if wrong:
        allowed = ", ".join(map(str, engine.batch_sizes or ()))
        raise UsageError(f"{engine.title()} has no batch size {wrong[0]}", f"it takes one of {allowed}")


def _tied(task: Task) -> Mapping[str, Any]:
    """What is fixed, the other half of each pair with it where the engine has one value for both."""
    engine, fixed = task.scene.engine, dict(task.fixed)
    pairs = [("cache_type_k", "cache_type_v")] * engine.one_cache_type
    pairs += [("ubatch_size", "batch_size")] * engine.one_batch
    for one, other in pairs:
        fixed |= {
            name: fixed[given] for name, given in ((one, other), (other, one)) if given in fixed and name not in fixed
        }
    return fixed


def _on_cpu(task: Task) -> Mapping[str, Any]:
    """An engine that computes on the CPU: a wish for GPU layers cannot be met there."""
    if task.fixed.get("gpu_layers", 0) > 0 or task.fixed.get("device_order"):
        raise UsageError(
            f"the {task.scene.engine.name} engine computes on the CPU only",
            "drop -ngl and --device, or use --engine llama-server",
        )
    open_fields = {k: v for k, v in task.fixed.items() if k not in ("tensor_split", "main_gpu", "split_mode")}
    return {**open_fields, "gpu_layers": 0, "device_order": ()}
