"""The culprit in a sentence: which setting makes a device overflow, and what changing it takes off. Pure."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from splitter.engine.reading.value import ReadCommand
from splitter.plan.plan import Plan, PlannedDevice
from splitter.units import format_bytes

if TYPE_CHECKING:
    from splitter.engine.reading.culprit import Change, Remedy


def blame(read: ReadCommand, plan: Plan, remedy: "Remedy") -> str:
    """Why `plan`, which `read` asks for, does not fit, and what the remedy's changes bring."""
    first = remedy.culprit
    reasons = [_REASONS[name](read, plan) for name in first.names if name in _REASONS]
    said = reasons[0] if reasons else "the placement"
    return f"{said}; " + ", then ".join(_effect(plan, change) for change in remedy.changes)


def _effect(plan: Plan, change: "Change") -> str:
    worst = worst_device(plan)
    where = worst.device.id if worst else "RAM"
    if change.saved_bytes <= 0:
        return change.words
    return f"{change.words}: {format_bytes(change.saved_bytes)} less on {where}"


def _window(read: ReadCommand, plan: Plan) -> str:
    given = "swa_full" in read.settings
    flag = ("--noswa" if read.kind == "koboldcpp" else "--swa-full") if given else "this version's default"
    return f"the sliding-window layers cache all {plan.settings.context_size} tokens ({flag})"


def _context(read: ReadCommand, plan: Plan) -> str:
    why = "" if read.settings.get("context_size") else ", because none is given"
    held = format_bytes(sum(device.memory.context_bytes for device in plan.devices))
    return f"the context of {plan.settings.context_size} tokens{why} takes {held} on the devices"


def _cache(_: ReadCommand, plan: Plan) -> str:
    held = format_bytes(sum(device.memory.context_bytes for device in plan.devices))
    return f"the {plan.settings.cache_type_k} cache of {plan.settings.context_size} tokens takes {held} on the devices"


def _ubatch(_: ReadCommand, plan: Plan) -> str:
    largest = max(device.memory.compute_bytes for device in plan.devices) if plan.devices else 0
    return f"the compute buffer of {plan.settings.ubatch_size} tokens at a time takes {format_bytes(largest)}"


def _overrides(_: ReadCommand, plan: Plan) -> str:
    worst = worst_device(plan)
    if plan.settings.override_tensors and worst is not None:
        return f"the tensor overrides put {format_bytes(worst.memory.model_bytes)} of weights on {worst.device.id}"
    return f"pipeline parallelism keeps copies of the inputs on {len(plan.settings.device_order)} devices"


def _slots(_: ReadCommand, plan: Plan) -> str:
    own = "" if plan.settings.kv_unified else ", each with a cache of its own"
    return f"{plan.settings.parallel} slots are kept ready{own}"


def _split(read: ReadCommand, plan: Plan) -> str:
    piled = piled_experts(plan)
    if piled:
        return piled
    worst = worst_device(plan)
    others = [d for d in plan.devices if d is not worst and d.headroom_bytes() > 0]
    if worst is None or not others:
        return "the split"
    roomy = max(others, key=PlannedDevice.headroom_bytes)
    how = "the split" if "tensor_split" in read.settings else "the split by free memory"
    return (
        f"{how} gives {worst.device.id} {format_bytes(worst.used_bytes())} while {roomy.device.id} has "
        f"{format_bytes(roomy.headroom_bytes())} to spare"
    )


def piled_experts(plan: Plan) -> str | None:
    """The experts that -ncmoe leaves on devices lie at the end of the model: on the last device (layer split)."""
    settings = plan.settings
    layers = len(plan.placement.layers) - 1
    holding = [device for device in plan.devices if device.layers]
    if not 0 < settings.n_cpu_moe < layers or settings.split_mode != "layer" or len(holding) < 2:
        return None
    last = holding[-1]
    others = max(device.memory.model_bytes for device in holding[:-1])
    if last.memory.model_bytes < 2 * others:
        return None
    return (
        f"-ncmoe {settings.n_cpu_moe} takes the experts of the first {settings.n_cpu_moe} layers off the cards, so "
        f"those that stay pile up on the last one: {last.device.id} holds {format_bytes(last.memory.model_bytes)} of "
        "weights"
    )


def _experts(_: ReadCommand, plan: Plan) -> str:
    held = format_bytes(sum(device.memory.model_bytes for device in plan.devices))
    return piled_experts(plan) or f"the weights on the devices take {held}"


def _layers(_: ReadCommand, plan: Plan) -> str:
    held = format_bytes(sum(device.memory.model_bytes for device in plan.devices))
    return f"{plan.settings.gpu_layers} layers on the devices take {held} of weights"


def _devices(_: ReadCommand, plan: Plan) -> str:
    idle = [device for device in plan.rig.devices if device.id not in plan.settings.device_order]
    if not idle:
        return "the devices and their order"
    roomy = max(idle, key=lambda device: device.free_bytes)
    used = ", ".join(plan.settings.device_order)
    return (
        f"{used} alone must hold it while {roomy.id} ({roomy.name}) with {format_bytes(roomy.free_bytes)} is left out"
    )


def _one_card(_: ReadCommand, plan: Plan) -> str:
    main = plan.settings.device_order[plan.settings.main_gpu]
    return f"-sm none puts everything on {main}"


def _fixed(text: str) -> Callable[[ReadCommand, Plan], str]:
    return lambda _read, _plan: text


_REASONS: Mapping[str, Callable[[ReadCommand, Plan], str]] = {
    "swa_full": _window,
    "flash_attention": _fixed("without flash attention the compute buffer grows with the context"),
    "kv_unified": _slots,
    "override_tensors": _overrides,
    "cache_type_k": _cache,
    "op_offload": _fixed("prompts copy the experts in RAM to the first card, which keeps a buffer for them"),
    "mmproj_device": _fixed("the projector lies on a card that has no room for it"),
    "draft_device_order": _fixed("the draft model lies on a card that has no room for it"),
    "draft_model": _fixed("the draft model and its cache"),
    "spec_type": _fixed("multi-token prediction keeps weights, a cache and a compute buffer of its own"),
    "ubatch_size": _ubatch,
    "parallel": _slots,
    "context_size": _context,
    "n_cpu_moe": _experts,
    "gpu_layers": _layers,
    "tensor_split": _split,
    "device_order": _devices,
    "split_mode": _one_card,
}


def worst_device(plan: Plan) -> PlannedDevice | None:
    """The device that is short most, None where only RAM is."""
    short = [device for device in plan.devices if device.headroom_bytes() < 0]
    return min(short, key=lambda device: device.headroom_bytes(), default=None)
