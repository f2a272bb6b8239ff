"""The fastest plan at one context size: whole layers by search, fractions of layers where they pay, or given splits."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from splitter.memory.footprint import Footprint, Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.plan.costs import Tariff, device_once_s, layer_costs, prices_of, stand_in_host, tariff, turn_seconds
from splitter.plan.finder import Finder, Solution, fits
from splitter.plan.fractions import (
    Blocks,
    Divisible,
    Movable,
    PlaceSeconds,
    divide,
    divisible,
    movables,
    per_byte,
    place_seconds,
    settings_of,
)
from splitter.plan.given import given_split, shared
from splitter.plan.placement import in_ram
from splitter.plan.scene import Scene
from splitter.plan.speed import HostPrice, Price
from splitter.plan.task import Task
from splitter.plan.work import Part, Portion
from splitter.rig.device import Device

NODE_GAIN = 0.02  # another machine is one more thing that can fail, so it must bring this much
FRACTION_GAIN = 0.01  # single tensors in RAM make the command longer, so they must bring this much
ATTEMPTS = 6
INFINITE = float("inf")
ROUNDING = 1e-12


def find_fastest(
    task: Task, context_size: int, *, below_s: float = INFINITE, enough_s: float = INFINITE, **chosen: Any
) -> Solution | None:
    """The fastest placement at `context_size` tokens with the `chosen` settings; None if nothing fits, or if no whole
    layers take less than `below_s`.

    A turn of more than `enough_s` is of no use: fractions of layers are tried only as far as they reach that. Devices
    of other machines are used where that makes a turn shorter by NODE_GAIN, or nothing else fits.
    """
    alone = task.alone()
    if alone is None:
        return _find_fastest(task, context_size, below_s, enough_s, chosen)
    here = _find_fastest(alone, context_size, below_s, enough_s, chosen)
    if task.split_mode() == "tensor":
        return here
    limit = min(below_s, here.seconds / (1 + NODE_GAIN)) if here else below_s
    together = _find_fastest(task, context_size, limit, min(enough_s, limit), chosen)
    return together if together and together.seconds < limit else here


def _find_fastest(
    task: Task, context_size: int, below_s: float, enough_s: float, chosen: Mapping[str, Any]
) -> Solution | None:
    """`find_fastest` on the devices of the task."""
    base = task.settings(context_size=context_size, **chosen)
    if not task.scene.homes_have_room(base):
        return None
    task = task.holding(base)
    if task.split_mode() == "tensor" and task.devices():
        return _first_fit(task, ((seconds, settings, None) for seconds, settings in shared(task, base, below_s)))
    if task.fixed.get("tensor_split") and task.split_mode() == "layer":
        return _first_fit(task, given_split(task, base))
    found = Finder(task, base, below_s).run()
    return _divided(task, found, enough_s) if found and may_divide(task, found) else found


def least_per_byte(scene: Scene, settings: Settings, devices: Sequence[Device]) -> list[float]:
    """The least and the most seconds of a turn that a byte of a tensor costs more in RAM than on one of the devices."""
    plain = scene.memory(replace(settings, n_cpu_moe=0, override_tensors=()))
    layers, places, ram, _ = _divisible(scene, plain, devices)
    each = {seconds for place in places for seconds in per_byte(layers, place, ram)}
    return [min(each, default=0.0), max(each, default=0.0)]


def on_fastest(task: Task, found: Solution) -> bool:
    """Whether everything is on one device and there is no faster one: no plan is faster then."""
    order = found.settings.device_order
    if len(order) != 1 or in_ram(found.settings, found.placement):
        return False
    devices = task.devices()
    rows = layer_costs(task.scene, task.scene.memory(found.settings), devices).seconds.device
    times = {device.id: sum(row) for device, row in zip(devices, rows, strict=True)}
    return times[order[0]] == min(times.values())


def _first_fit(task: Task, candidates: Iterable[tuple[float, Settings, Placement | None]]) -> Solution | None:
    """The first candidate that the memory model accepts."""
    for seconds, settings, given in candidates:
        memory = task.scene.memory(settings)
        placement = given or task.scene.place(settings)
        if fits(task.scene, settings, memory.footprint(placement)):
            return Solution(settings, placement, seconds)
    return None


def may_divide(task: Task, found: Solution) -> bool:
    """Whether single tensors may go to RAM, and not everything is on the fastest device. Not beside devices of other
    machines: each such layer would cross the network twice more."""
    away = any(device.node for device in task.scene.devices(found.settings.device_order))
    return task.may_divide() and not away and not on_fastest(task, found)


def _divided(task: Task, found: Solution, enough_s: float) -> Solution:
    """`found`, or what fractions of layers make of it where that is worth the longer command.

    Two orders are tried: that of the whole layers, and all devices by their speed, the fastest last.
    """
    orders = {found.settings.device_order: None}
    if "device_order" not in task.fixed:
        orders[tuple(device.id for device in reversed(task.devices()))] = None
    best, enough_s = found, min(found.seconds / (1 + FRACTION_GAIN), enough_s * (1 + ROUNDING))
    for order in orders:
        other = _divided_along(task, found, order, min(enough_s, best.seconds)) if order else None
        best = other or best
    return best


def _divided_along(task: Task, found: Solution, order: tuple[str, ...], below_s: float) -> Solution | None:
    """Fractions of layers on the devices of `order`, as far as it pays to use them; None if not below `below_s`.

    What a device needs besides layers is first taken from the whole layers of `found`, then learnt.
    """
    scene, devices = task.scene, task.scene.devices(order)
    plain = scene.memory(replace(found.settings, n_cpu_moe=0, override_tensors=()))
    layers, places, ram, once_s = _divisible(scene, plain, devices)
    seen = _needs(found.settings, scene.memory(found.settings).footprint(found.placement), plain)
    taken = {name: seen.get(name, min(seen.values(), default=0)) for name in order}
    device_s = device_once_s(tariff(scene, plain))
    best: Solution | None = None
    tried: list[dict[str, int]] = []
    while taken not in tried and len(tried) < ATTEMPTS:
        tried.append(dict(taken))
        rooms = [scene.budget_bytes(device) - taken[device.id] for device in devices]
        blocks = divide(layers, rooms, places, ram, below_s=below_s - once_s, device_s=device_s)
        if blocks is None:
            break
        other = _with_blocks(task, found.settings, order, blocks, layers.parts)
        footprint = scene.memory(other.settings).footprint(other.placement)
        need = _needs(other.settings, footprint, plain)
        if fits(scene, other.settings, footprint):
            if other.seconds < below_s:
                best, below_s = other, other.seconds
            need = {name: min(size, taken[name]) for name, size in need.items()}
        else:
            need = {name: max(size, taken[name]) for name, size in need.items()}
        taken |= need
    return best


Division = tuple[Divisible, list[PlaceSeconds], PlaceSeconds, float]


def _divisible(scene: Scene, plain: MemoryModel, devices: Sequence[Device]) -> Division:
    """The layers with their movable tensors, the seconds of all places, and those that no division changes.

    What is in RAM is staged to the first of the devices; remembered, for no compute buffer changes it.
    """
    cost = tariff(scene, plain)
    s = replace(plain.settings, batch_size=cost.ubatch_size, ubatch_size=cost.ubatch_size)
    key = ("divisible", cost.turn, s, tuple(device.id for device in devices))
    known: Division | None = scene.searched.get(key)
    if known is None:
        known = scene.searched[key] = _read_divisible(scene, plain, devices)
    return known


def _read_divisible(scene: Scene, plain: MemoryModel, devices: Sequence[Device]) -> Division:
    costs, cost = layer_costs(scene, plain, devices), tariff(scene, plain)
    known = ("divisible", costs.held)
    if known not in scene.searched:
        scene.searched[known] = divisible(costs.held, movables(plain.sites.layers, len(costs.held)))
    layers: Divisible = scene.searched[known]
    prices, host = prices_of(scene, devices), stand_in_host(scene)
    first = prices[0] if plain.settings.op_offload else None
    places: list[PlaceSeconds] = []
    for index, price in enumerate(prices):
        same = next((i for i in range(index) if prices[i] == price), None)
        if same is None:
            on_device = partial(_on_device, cost, price)
            places.append(place_seconds(layers, costs.seconds.device[index], on_device))
        else:
            places.append(places[same])
    handing = scene.constants.moved_layer_s * cost.turn.generated_tokens
    in_ram = partial(_in_ram, cost, first, host)
    ram = place_seconds(layers, costs.seconds.ram[0], in_ram, handing)
    once = scene.constants.token_s * cost.turn.generated_tokens
    return layers, places, ram, once


def _on_device(cost: Tariff, price: Price, part: Part) -> float:
    return cost.on_device(Portion((part,)), price)


def _in_ram(cost: Tariff, first: Price | None, host: HostPrice, part: Part) -> float:
    return cost.in_ram(Portion((part,)), first, host) - cost.handing_s()


def _needs(settings: Settings, footprint: Footprint, plain: MemoryModel) -> dict[str, int]:
    """Bytes besides layers that each device of a placement needs."""
    sizes = (use.compute_bytes + plain.everywhere_bytes for use in footprint.devices)
    return dict(zip(settings.device_order, sizes, strict=True))


def _with_blocks(
    task: Task, base: Settings, order: tuple[str, ...], blocks: Blocks, parts: Sequence[Sequence[Movable]]
) -> Solution:
    """The placement of `blocks`; devices that would stay empty are left out where the user names no order."""
    if "device_order" not in task.fixed:
        ends = (*blocks.starts[1:], len(parts))
        held = [index for index, (start, end) in enumerate(zip(blocks.starts, ends, strict=True)) if start < end]
        order = tuple(order[index] for index in held)
        blocks = replace(blocks, starts=tuple(blocks.starts[index] for index in held))
    settings, placement = settings_of(replace(base, device_order=order), blocks, parts)
    return Solution(settings, placement, turn_seconds(task.scene, settings, placement))
