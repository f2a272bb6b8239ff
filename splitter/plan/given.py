"""Placements whose proportions are given: the user's -ts in layer mode, and shares in `-sm tensor`."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.plan.costs import host_s_per_byte, slots
from splitter.plan.placement import placement_of
from splitter.plan.scene import Scene
from splitter.plan.search import Slot
from splitter.plan.task import Task
from splitter.rig.device import Device

SHARE_STEPS = 1000  # shares are written as integers that sum to about this


def given_split(task: Task, base: Settings) -> Iterator[tuple[float, Settings, Placement]]:
    """(seconds per token, settings, placement) for every -ngl that the user's -ts leaves open, fastest first."""
    devices = task.devices()
    order = tuple(device.id for device in devices)
    memory = task.scene.memory(replace(base, device_order=order))
    count = len(memory.layer_model_bytes)
    fixed = task.fixed.get("gpu_layers")
    found = []
    for gpu_layers in [fixed] if fixed is not None else range(count, -1, -1):
        settings = replace(base, gpu_layers=gpu_layers, device_order=order)
        placement = task.scene.place(settings)
        found.append((seconds(task.scene, memory, placement, devices), settings, placement))
    yield from sorted(found, key=lambda item: (item[0], -item[1].gpu_layers))


def seconds(scene: Scene, memory: MemoryModel, placement: Placement, devices: Sequence[Device]) -> float:
    """Seconds per token of a layer placement, with the search's stand-ins for unknown bandwidths."""
    prices = [slot.s_per_byte for slot in slots(scene, devices, {})]
    host = host_s_per_byte(scene, devices)
    total = sum(memory.layer_active_host_bytes) * host
    for owner, size in zip(placement.layers, memory.layer_active_bytes, strict=True):
        total += size * (host if owner is None else prices[owner])
    return total


def shared(task: Task, base: Settings) -> Iterator[Settings]:
    """Settings of `-sm tensor`, best first: every device subset's fastest shares that its budgets allow.

    The slowest share sets the pace, so shares follow bandwidth until a device is full; what it cannot take goes to the
    others. What a device can take is asked of the memory model, first at equal shares, then at the shares found.
    """
    devices = task.devices()
    if "tensor_split" in task.fixed:
        yield replace(base, device_order=tuple(device.id for device in devices), gpu_layers=_all(task))
        return
    plans = []
    for subset in _subsets(devices, "device_order" in task.fixed):
        settings = replace(base, device_order=tuple(device.id for device in subset), gpu_layers=_all(task))
        planned = _balanced(task, settings, subset)
        if planned is not None:
            plans.append(planned)
    for _, settings in sorted(plans, key=lambda item: (item[0], len(item[1].device_order))):
        yield settings


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
    prices = slots(task.scene, devices, {})
    layers = len(memory.layer_model_bytes) - 1
    parts: list[float] | None = [1.0] * len(devices)
    for attempt in range(4):
        if parts is None:
            return None
        trial = replace(settings, tensor_split=_integers(parts))
        placement = placement_of(layers, trial, ())
        uses = memory.footprint(placement).devices
        if attempt and all(
            use.breakdown_bytes() <= slot.capacity_bytes for use, slot in zip(uses, prices, strict=True)
        ):
            slowest = max(share * slot.s_per_byte for share, slot in zip(placement.shares, prices, strict=True))
            return sum(memory.layer_active_bytes) * slowest, trial
        whole = sum(use.model_bytes + use.context_bytes for use in uses)
        rooms = [slot.capacity_bytes - use.compute_bytes for use, slot in zip(uses, prices, strict=True)]
        parts = _fill([max(room, 0) / whole * (1 - attempt / 100) for room in rooms], prices)
    return None


def _fill(limits: Sequence[float], prices: Sequence[Slot]) -> list[float] | None:
    """Shares proportional to speed, none above its limit; None if the limits do not add up to a whole."""
    if sum(limits) < 1:
        return None
    shares = [0.0] * len(limits)
    open_devices = set(range(len(limits)))
    rest = 1.0
    while open_devices:
        speed = sum(1 / prices[d].s_per_byte for d in open_devices)
        full = [d for d in sorted(open_devices) if rest / prices[d].s_per_byte / speed > limits[d]]
        if not full:
            for d in open_devices:
                shares[d] = rest / prices[d].s_per_byte / speed
            break
        for d in full:
            shares[d] = limits[d]
            open_devices.discard(d)
        rest = 1.0 - sum(shares)
    return shares


def _integers(parts: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(round(part / sum(parts) * SHARE_STEPS)) for part in parts)
