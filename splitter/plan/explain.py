"""Reasons: why each device holds what it holds, what the limit is, and what would help most. Real numbers only."""

from collections.abc import Iterator
from dataclasses import replace

from splitter.memory.setting_table import SETTINGS
from splitter.memory.speculation import drafted_tokens
from splitter.plan.costs import layer_costs, turn_seconds
from splitter.plan.evaluate import assemble
from splitter.plan.explain_nodes import used_nodes, why_not
from splitter.plan.fastest import find_fastest
from splitter.plan.placement import PIPELINE_OFF, in_ram
from splitter.plan.plan import Plan, PlannedDevice
from splitter.plan.scene import Scene
from splitter.plan.speculating import ACCEPTED, FEW, MANY, drafting
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.speed_words import speed_text
from splitter.plan.task import Task
from splitter.plan.wasted import keeping, wasted_text
from splitter.rig.device import Device
from splitter.units import format_bytes

HELP_DEVICES = 2  # at most so many devices are asked what more memory would bring
HELPS = 1.02  # and it must make a turn shorter by this


def explain(task: Task, plan: Plan) -> tuple[str, ...]:
    """All reasons of `plan`, in the order a reader wants them."""
    return (
        *(_device(task.scene, plan, device) for device in plan.devices if device.layers or device.holds_output),
        *used_nodes(task, plan),
        *_left_out(task, plan),
        *_host(task, plan),
        *_pipeline(plan),
        *_unordered(plan),
        *_help(task, plan),
        *_own_flags(task, plan),
        *_drafts(plan),
        *_in_practice(plan),
    )


def waits_in_ram(plan: Plan) -> bool:
    """Whether layers or single tensors of the plan are in RAM because no device has room for them."""
    return in_ram(plan.settings, plan.placement)


def _device(scene: Scene, plan: Plan, device: PlannedDevice) -> str:
    count = len(device.layers)
    what = f"{count} layer{'s' * (count != 1)}" if count else "no layer"
    what += " and the output layer" * device.holds_output
    bandwidth = device.device.bandwidth_bytes_per_s
    speed = f", {bandwidth / 1e9:.0f} GB/s" if bandwidth else ""
    where = f"{device.device.id} ({device.device.name}{f' in {device.device.node}' * bool(device.device.node)}{speed})"
    return (
        f"{where} holds {what}: {format_bytes(device.used_bytes())} used, "
        f"{format_bytes(device.headroom_bytes())} left after its margin{_why(scene, plan, device)}"
    )


def _why(scene: Scene, plan: Plan, device: PlannedDevice) -> str:
    """One clause: full, the rest, or all there is."""
    if plan.placement.shares:
        return f", {100 * plan.placement.shares[plan.devices.index(device)]:.0f} % of every layer"
    if len(plan.devices) == 1 and not waits_in_ram(plan):
        return "; nothing is split, so every token is read at this card's bandwidth"
    need = _next_layer_bytes(scene, plan, device)
    if need and device.headroom_bytes() < need:
        return f"; it is full: one more layer needs {format_bytes(need)}"
    return "; it holds the layers that did not fit on faster cards" if need else ""


def _next_layer_bytes(scene: Scene, plan: Plan, device: PlannedDevice) -> int:
    """Bytes of the layer just before the device's first one; 0 if there is none."""
    before = (device.layers[0] if device.layers else len(plan.placement.layers) - 1) - 1
    if before < 0:
        return 0
    return layer_costs(scene, scene.memory(plan.settings), ()).held[before]


def _left_out(task: Task, plan: Plan) -> Iterator[str]:
    if "device_order" in task.fixed or task.split_mode() == "none":
        return
    used = {device.device.id for device in plan.devices}
    slowest = min((d.device.bandwidth_bytes_per_s or 0.0 for d in plan.devices), default=0.0)
    usable = task.scene.usable()
    for device in () if plan.engine.cpu_only else task.scene.rig.devices:
        if device not in usable:
            beside = " beside the others" if usable and plan.engine.one_backend else ""
            yield f"{device.where} is left out: {plan.engine.name} cannot use it{'' if device.node else beside}"
        elif device.id not in used:
            why = why_not(task, plan, device) if device.node else _why_left_out(task, plan, device, slowest)
            yield f"{device.where} is left out: {why}"


def _why_left_out(task: Task, plan: Plan, device: Device, slowest: float) -> str:
    whole = bool(plan.devices) and not waits_in_ram(plan)
    bandwidth = device.bandwidth_bytes_per_s or 0.0
    if task.scene.budget_bytes(device) <= 0:
        return _no_budget(task, device)
    if whole and bandwidth < slowest:
        return f"all layers fit on faster cards; this one would read its layers at {bandwidth / 1e9:.0f} GB/s"
    if whole:
        return "all layers fit without it, and another card would add buffers and a transfer for every token"
    return "its overhead would cost more time than its layers save"


def _no_budget(task: Task, device: Device) -> str:
    """Why nothing of its memory is left to use; what earlier runs taught is named."""
    taught = [part for part in task.scene.overhead(device, task.scene.rig.host) if part[0].startswith("learnt")]
    listed = ", ".join(f"{format_bytes(size)} {name}" for name, size in taught)
    return f"its {format_bytes(device.free_bytes)} of free memory does not cover its margin and overhead" + (
        f" ({listed})" if listed else ""
    )


def _host(task: Task, plan: Plan) -> Iterator[str]:
    on_host = sum(owner is None for owner in plan.placement.layers[:-1])
    total = len(plan.placement.layers) - 1
    if plan.engine.cpu_only:
        yield f"the {plan.engine.name} engine computes on the CPU: every layer stays in RAM"
    elif on_host:
        yield f"GPU memory is the limit: {on_host} of {total} layers stay in RAM and are read at its bandwidth"
    if plan.settings.n_cpu_moe > on_host:
        yield (
            f"the experts of the first {plan.settings.n_cpu_moe} layers stay in RAM (attention and cache on the GPU): "
            "they are most of the bytes, and a token reads few of them"
        )
    moved = [item for item in plan.settings.override_tensors if item != PIPELINE_OFF]
    if moved and "override_tensors" not in task.fixed:
        yield f"single tensors stay in RAM, because whole layers would leave memory unused: -ot '{','.join(moved)}'"


def _pipeline(plan: Plan) -> Iterator[str]:
    if PIPELINE_OFF in plan.settings.override_tensors:
        yield (
            f"-ot '{PIPELINE_OFF}' matches no tensor and turns pipeline parallelism off: the memory of its copies goes "
            "to layers; prompts are processed more slowly"
        )
    elif plan.footprint.pipeline:
        yield "pipeline parallelism is on: long prompts keep several cards busy at once"


def _unordered(plan: Plan) -> Iterator[str]:
    if any(device.bandwidth_bytes_per_s is None for device in plan.rig.devices) and plan.devices:
        yield "a card's bandwidth is unknown, so the card with the most free memory is filled first"


def _help(task: Task, plan: Plan) -> Iterator[str]:
    """What a little more free memory on one device would bring, if layers or experts are in RAM or split badly."""
    if plan.speed.generation_tokens_per_s is None or plan.placement.shares or not plan.devices:
        return
    now = turn_seconds(task.scene, plan.settings, plan.placement)
    if len(plan.devices) == 1 and not waits_in_ram(plan):
        return
    best: tuple[float, str] | None = None
    for device in sorted(plan.devices, key=lambda d: -(d.device.bandwidth_bytes_per_s or 0))[:HELP_DEVICES]:
        found = _with_more(task, plan, device, best[0] if best else now / HELPS)
        best = found or best
    if best:
        yield best[1]


def _with_more(task: Task, plan: Plan, device: PlannedDevice, below_s: float) -> tuple[float, str] | None:
    """(seconds of a turn, sentence) with one layer's memory more on `device`, if that is below `below_s`."""
    scene = task.scene
    more = _next_layer_bytes(scene, plan, device) - device.headroom_bytes()
    if more <= 0:
        return None
    roomier = replace(device.device, free_bytes=device.device.free_bytes + more)
    devices = tuple(roomier if d.id == roomier.id else d for d in scene.rig.devices)
    richer = replace(task, scene=replace(scene, rig=replace(scene.rig, devices=devices)))
    sizes = scene.engine.batches(plan.settings.ubatch_size)
    found = find_fastest(richer, plan.settings.context_size, enough_s=below_s, **sizes)
    if found is None or found.seconds >= below_s:
        return None
    layers = found.settings.gpu_layers - plan.settings.gpu_layers
    experts = plan.settings.n_cpu_moe - found.settings.n_cpu_moe
    gain = f", {layers} more layer{'s' * (layers != 1)} on the GPUs" if layers > 0 else ""
    gain += f", the experts of {experts} more layer{'s' * (experts != 1)} on the GPUs" if experts > 0 else ""
    close = " (close programs that use its display)" if device.device.display else ""
    speed = assemble(richer.scene, found.settings, found.placement).speed.generation_tokens_per_s
    return (
        found.seconds,
        f"{format_bytes(more)} more free on {device.device.id}{close} would bring {speed_text(speed)}{gain}",
    )


def _own_flags(task: Task, plan: Plan) -> Iterator[str]:
    """What the user's own flags cost, where they keep weights in RAM beside empty cards."""
    names = keeping(plan, task.fixed)
    if not names:
        return
    free = replace(task, fixed={name: value for name, value in task.fixed.items() if name not in names})
    found = find_fastest(free, plan.settings.context_size, **task.scene.engine.batches(plan.settings.ubatch_size))
    better = assemble(task.scene, found.settings, found.placement) if found else None
    flags = [setting.flag() for setting in SETTINGS if setting.name in names]
    text = wasted_text(plan, better, flags)
    if text:
        yield text


def _drafts(plan: Plan) -> Iterator[str]:
    """The assumption behind the speed of speculative decoding."""
    if drafting(plan.settings):
        yield (
            f"the generation speed assumes that {100 * ACCEPTED:.0f} % of {drafted_tokens(plan.settings)} drafted "
            f"tokens are accepted (its range: {100 * FEW:.0f}-{100 * MANY:.0f} %); `splitter bench` tells what is"
        )


def _in_practice(plan: Plan) -> Iterator[str]:
    """What the figure is: typical of published runs, and how far the cards' bandwidth would carry."""
    speed = plan.speed
    most = speed.bound.generation_tokens_per_s if speed.bound else None
    if speed.basis != TYPICAL.basis or speed.generation_tokens_per_s is None or most is None:
        return
    measures = "; `splitter calibrate` measures yours" if plan.devices else ""
    yield (
        f"the speed is what published runs on such cards reach with a short context; bytes over bandwidth would allow "
        f"{speed_text(most)}{measures}"
    )
