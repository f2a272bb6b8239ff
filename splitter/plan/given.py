"""Placements whose proportions are given: the user's -ts in layer mode, and shares in `-sm tensor`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.plan.costs import layer_costs, tariff, turn_seconds
from splitter.plan.placement import placement_of
from splitter.plan.scene import Scene
from splitter.plan.speed import reductions_s
from splitter.plan.task import Task
from splitter.rig.device import Device

Candidate = tuple[float, Settings]  # seconds of a turn, settings
SHARE_STEPS = 1000  # shares are written as integers that sum to about this


def given_split(task: Task, base: Settings) -> Iterator[tuple[float, Settings, Placement]]:
    """(seconds of a turn, settings, placement) for every -ngl that the user's -ts leaves open, fastest first."""
    devices = task.devices()
    order = tuple(device.id for device in devices)
    memory = task.scene.memory(replace(base, device_order=order))
    count = len(memory.layer_model_bytes)
    fixed = task.fixed.get("gpu_layers")
    found = []
    for gpu_layers in [fixed] if fixed is not None else range(count, -1, -1):
        settings = replace(base, gpu_layers=gpu_layers, device_order=order)
        placement = task.scene.place(settings)
        found.append((turn_seconds(task.scene, settings, placement), settings, placement))
    yield from sorted(found, key=lambda item: (item[0], -item[1].gpu_layers))


def shared(task: Task, base: Settings, below_s: float = float("inf")) -> Iterator[Candidate]:
    """(seconds of a turn, settings) of `-sm tensor`, best first: every device subset's fastest shares that its
    budgets allow.

    The slowest share sets the pace, so shares follow speed until a device is full; what it cannot take goes to the
    others. What a device can take is asked of the memory model, first at equal shares, then at the shares found.
    """
    devices = task.devices()
    if "tensor_split" in task.fixed:
        yield 0.0, replace(base, device_order=tuple(device.id for device in devices), gpu_layers=_all(task))
        return
    yield from _in_order(task, base, devices, below_s)


def _in_order(task: Task, base: Settings, devices: Sequence[Device], below_s: float) -> Iterator[Candidate]:
    """The subsets' plans, the fastest first; one is made only when no made one is sure to be faster."""
    subsets = _subsets(devices, "device_order" in task.fixed)
    times = ((ideal_s(task.scene, base, subset), len(subset), i) for i, subset in enumerate(subsets))
    ideal = sorted(item for item in times if item[0] < below_s)
    made: list[tuple[float, int, int, Settings]] = []
    for least, _, i in ideal:
        made.sort()
        while made and made[0][0] <= least:
            seconds, _, _, settings = made.pop(0)
            yield seconds, settings
        order = tuple(device.id for device in subsets[i])
        planned = _balanced(task, replace(base, device_order=order, gpu_layers=_all(task)), subsets[i])
        made += [(planned[0], len(order), i, planned[1])] if planned else []
    yield from ((seconds, settings) for seconds, _, _, settings in sorted(made))


def ideal_s(scene: Scene, settings: Settings, devices: Sequence[Device]) -> float:
    """Seconds of a turn of generation at least: shares by speed, whether they fit or not."""
    memory = scene.memory(settings)
    cost, layers = tariff(scene, memory), len(memory.layer_model_bytes) - 1
    together = 1 / sum(1 / seconds for seconds in alone_s(scene, memory, devices))
    reducing = reductions_s(layers, devices, cost.constants)
    return together + cost.turn.generated_tokens * (layers * cost.layer_s + reducing)


def _all(task: Task) -> int:
    return int(task.fixed.get("gpu_layers", placed_layers(task.scene.facts) + 1))


def _subsets(devices: Sequence[Device], whole: bool) -> list[tuple[Device, ...]]:
    """All subsets up to six devices, beyond that the fastest k; in `devices` order."""
    if whole:
        return [tuple(devices)]
    if len(devices) > 6:
        return [tuple(devices[:size]) for size in range(1, len(devices) + 1)]
    masks = range(1, 2 ** len(devices))
    return [tuple(d for i, d in enumerate(devices) if mask >> i & 1) for mask in masks]


def _balanced(task: Task, settings: Settings, devices: Sequence[Device]) -> tuple[float, Settings] | None:
    memory = task.scene.memory(settings)
    times = alone_s(task.scene, memory, devices)
    budgets = [task.scene.budget_bytes(device) for device in devices]
    layers = len(memory.layer_model_bytes) - 1
    parts: list[float] | None = [1.0] * len(devices)
    for attempt in range(4):
        if parts is None:
            return None
        trial = replace(settings, tensor_split=_integers(parts))
        placement = placement_of(layers, trial, ())
        uses = memory.footprint(placement).devices
        if attempt and all(use.breakdown_bytes() <= budget for use, budget in zip(uses, budgets, strict=True)):
            return turn_seconds(task.scene, trial, placement), trial
        whole = sum(use.model_bytes + use.context_bytes for use in uses)
        rooms = [budget - use.compute_bytes for use, budget in zip(uses, budgets, strict=True)]
        parts = _fill([max(room, 0) / whole * (1 - attempt / 100) for room in rooms], times)
    return None


def alone_s(scene: Scene, memory: MemoryModel, devices: Sequence[Device]) -> list[float]:
    """Seconds of a turn on each device alone, without the launches, which no share makes fewer."""
    cost = tariff(scene, memory)
    rows = layer_costs(scene, memory, devices).seconds.device
    launches = cost.layer_s * cost.turn.generated_tokens * (len(memory.layer_model_bytes) - 1)
    return [max(sum(row) - launches, sum(row) / 10) for row in rows]


def _fill(limits: Sequence[float], times: Sequence[float]) -> list[float] | None:
    """Shares proportional to speed, none above its limit; None if the limits do not add up to a whole."""
    if sum(limits) < 1:
        return None
    shares = [0.0] * len(limits)
    open_devices = set(range(len(limits)))
    rest = 1.0
    while open_devices:
        speed = sum(1 / times[d] for d in open_devices)
        full = [d for d in sorted(open_devices) if rest / times[d] / speed > limits[d]]
        if not full:
            for d in open_devices:
                shares[d] = rest / times[d] / speed
            break
        for d in full:
            shares[d] = limits[d]
            open_devices.discard(d)
        rest = 1.0 - sum(shares)
    return shares


def _integers(parts: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(round(part / sum(parts) * SHARE_STEPS)) for part in parts)
