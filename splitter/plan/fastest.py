"""The fastest plan at one context size: whole layers by search, fractions of layers where they pay, or given splits."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.plan.costs import host_s_per_byte, layer_costs, slots
from splitter.plan.evaluate import assemble
from splitter.plan.finder import Finder, Found, fits
from splitter.plan.fractions import divide, divisible, movables, settings_of
from splitter.plan.given import given_split, shared
from splitter.plan.placement import placement_of
from splitter.plan.plan import Plan
from splitter.plan.task import Task

FRACTION_GAIN = 0.01  # single tensors in RAM make the command longer, so they must bring this much
ATTEMPTS = 6


def fastest(task: Task, context_size: int, **chosen: Any) -> Plan | None:
    """The fastest plan of `task` at `context_size` tokens with the `chosen` settings; None if nothing fits."""
    found = find_fastest(task, context_size, **chosen)
    return assemble(task.scene, found.settings, found.placement) if found else None


def find_fastest(task: Task, context_size: int, *, below_s: float = float("inf"), **chosen: Any) -> Found | None:
    """`fastest` without building the Plan; None as well if no placement of whole layers beats `below_s` per token."""
    base = task.settings(context_size=context_size, **chosen)
    if not task.scene.homes_have_room(base):
        return None
    task = task.holding(base)
    if task.split_mode() == "tensor" and task.devices():
        return _first_fit(task, ((0.0, settings, None) for settings in shared(task, base)))
    if task.fixed.get("tensor_split") and task.split_mode() == "layer":
        return _first_fit(task, given_split(task, base))
    found = Finder(task, base, below_s).run()
    return _divided(task, found) if found and _may_divide(task, found) else found


def _first_fit(task: Task, candidates: Iterable[tuple[float, Settings, Placement | None]]) -> Found | None:
    """The first candidate that the memory model accepts."""
    for seconds, settings, given in candidates:
        memory = task.scene.memory(settings)
        placement = given or placement_of(len(memory.layer_model_bytes) - 1, settings, ())
        if fits(task.scene, settings, memory.footprint(placement)):
            return Found(settings, placement, seconds)
    return None


def _may_divide(task: Task, found: Found) -> bool:
    """Whether single tensors may go to RAM: something is there already, and -ot and the counts are open."""
    fixed = {"override_tensors", "n_cpu_moe", "cpu_moe", "gpu_layers", "tensor_split"} & set(task.fixed)
    waits = found.placement.layers[0] is None or found.settings.n_cpu_moe > 0
    return not fixed and waits and bool(found.settings.device_order) and task.split_mode() == "layer"


def _divided(task: Task, found: Found) -> Found:
    """`found`, or what fractions of layers make of it where that is worth the longer command."""
    scene, order = task.scene, found.settings.device_order
    devices = scene.devices(order)
    plain = scene.memory(replace(found.settings, n_cpu_moe=0, override_tensors=()))
    costs = layer_costs(plain)
    layers = divisible(costs, movables(scene.facts, len(costs.held)))
    prices = [slot.s_per_byte for slot in slots(scene, devices, {})]
    uses = scene.memory(found.settings).footprint(found.placement).devices
    taken = [use.compute_bytes + plain.everywhere_bytes for use in uses]
    budgets = [scene.budget_bytes(device) for device in devices]
    best = found
    for _ in range(ATTEMPTS):
        rooms = [budget - size for budget, size in zip(budgets, taken, strict=True)]
        blocks = divide(layers, rooms, prices, host_s_per_byte(scene, devices))
        if blocks is None or blocks.seconds * (1 + FRACTION_GAIN) >= best.seconds:
            break
        settings, placement = settings_of(found.settings, blocks, layers.parts)
        footprint = scene.memory(settings).footprint(placement)
        if fits(scene, settings, footprint):
            return Found(settings, placement, blocks.seconds)
        need = [use.compute_bytes + plain.everywhere_bytes for use in footprint.devices]
        if all(size <= before for size, before in zip(need, taken, strict=True)):
            break
        taken = [max(pair) for pair in zip(need, taken, strict=True)]
    return best
