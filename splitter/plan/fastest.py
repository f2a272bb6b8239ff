"""The fastest plan at one context size: whole layers by search, fractions of layers where they pay, or given splits."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.plan.costs import host_s_per_byte, layer_costs, slots
from splitter.plan.evaluate import assemble
from splitter.plan.finder import PIPELINE_OFF, Finder, Solution, fits, in_ram
from splitter.plan.fractions import Blocks, Divisible, Movable, divide, divisible, flow_bound, movables, settings_of
from splitter.plan.given import given_split, shared
from splitter.plan.plan import Plan
from splitter.plan.scene import Scene
from splitter.plan.task import Task
from splitter.rig.device import Device

FRACTION_GAIN = 0.01  # single tensors in RAM make the command longer, so they must bring this much
ATTEMPTS = 6
INFINITE = float("inf")
ROUNDING = 1e-12


def fastest(task: Task, context_size: int, **chosen: Any) -> Plan | None:
    """The fastest plan of `task` at `context_size` tokens with the `chosen` settings; None if nothing fits."""
    found = find_fastest(task, context_size, **chosen)
    return assemble(task.scene, found.settings, found.placement) if found else None


def find_fastest(
    task: Task, context_size: int, *, below_s: float = INFINITE, enough_s: float = INFINITE, **chosen: Any
) -> Solution | None:
    """`fastest` without building the Plan; None as well if no placement of whole layers beats `below_s` per token.

    A plan that takes more than `enough_s` is of no use: fractions of layers are tried only as far as they reach that.
    """
    base = task.settings(context_size=context_size, **chosen)
    if not task.scene.homes_have_room(base):
        return None
    task = task.holding(base)
    if task.split_mode() == "tensor" and task.devices():
        return _first_fit(task, ((0.0, settings, None) for settings in shared(task, base)))
    if task.fixed.get("tensor_split") and task.split_mode() == "layer":
        return _first_fit(task, given_split(task, base))
    found = Finder(task, base, below_s).run()
    return _divided(task, found, enough_s) if found and may_divide(task, found) else found


def least_seconds(task: Task, like: Solution, **chosen: Any) -> float:
    """About the least time of a plan with other settings than `like`: bytes flow freely, and every device needs only
    what the one that needs least would need in the placement of `like`, had it nothing in RAM.

    Blocks of one or two layers may need less, so tiny models were up to 8 % faster; over 2 % in 3 of 800 random cases.
    """
    scene, devices = task.scene, task.devices()
    settings = replace(like.settings, n_cpu_moe=0, override_tensors=(PIPELINE_OFF,), **chosen)
    plain = scene.memory(replace(settings, override_tensors=()))
    needs = _needs(scene, replace(like, settings=settings), plain)
    least = min(needs.values(), default=0)
    rooms = [scene.budget_bytes(device) - least for device in devices]
    layers, prices, host_s = _layers(scene, plain), _prices(scene, devices), host_s_per_byte(scene, devices)
    output = len(layers.parts) - 1
    output_read = layers.fixed_read[output + 1] - layers.fixed_read[output]
    return flow_bound(layers, rooms, prices, host_s).seconds(len(devices), output) + output_read * min(*prices, host_s)


def may_be_alone(task: Task, context_size: int) -> bool:
    """Whether the layers alone, without compute buffers, fit on a device than which none is faster."""
    memory = task.scene.memory(task.settings(context_size=context_size))
    need, devices = sum(layer_costs(memory).held), task.devices()
    most = max((device.bandwidth_bytes_per_s or 0.0 for device in devices), default=0.0)
    fastest = (device for device in devices if (device.bandwidth_bytes_per_s or 0.0) == most)
    return any(task.scene.budget_bytes(device) >= need for device in fastest)


def on_fastest(task: Task, found: Solution) -> bool:
    """Whether everything is on one device and there is no faster one: no plan is faster then."""
    order = found.settings.device_order
    if len(order) != 1 or in_ram(found.settings, found.placement):
        return False
    speeds = {device.id: device.bandwidth_bytes_per_s or 0.0 for device in task.devices()}
    return speeds[order[0]] == max(speeds.values())


def _first_fit(task: Task, candidates: Iterable[tuple[float, Settings, Placement | None]]) -> Solution | None:
    """The first candidate that the memory model accepts."""
    for seconds, settings, given in candidates:
        memory = task.scene.memory(settings)
        placement = given or task.scene.place(settings)
        if fits(task.scene, settings, memory.footprint(placement)):
            return Solution(settings, placement, seconds)
    return None


def may_divide(task: Task, found: Solution) -> bool:
    """Whether single tensors may go to RAM, and not everything is on the fastest device."""
    return task.may_divide() and not on_fastest(task, found)


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
    layers, prices = _layers(scene, plain), _prices(scene, devices)
    seen = _needs(scene, found, plain)
    taken = {name: seen.get(name, min(seen.values(), default=0)) for name in order}
    best: Solution | None = None
    for _ in range(ATTEMPTS):
        rooms = [scene.budget_bytes(device) - taken[device.id] for device in devices]
        blocks = divide(layers, rooms, prices, host_s_per_byte(scene, devices), below_s)
        if blocks is None:
            break
        other = _with_blocks(task, found.settings, order, blocks, layers.parts)
        need = _needs(scene, other, plain)
        if fits(scene, other.settings, scene.memory(other.settings).footprint(other.placement)):
            best, below_s = other, blocks.seconds
            need = {name: min(size, taken[name]) for name, size in need.items()}
        else:
            need = {name: max(size, taken[name]) for name, size in need.items()}
        if all(taken[name] == size for name, size in need.items()):
            break
        taken |= need
    return best


def _prices(scene: Scene, devices: Sequence[Device]) -> list[float]:
    """Seconds per byte of each device."""
    return [slot.s_per_byte for slot in slots(scene, devices, {})]


def _layers(scene: Scene, plain: MemoryModel) -> Divisible:
    """The layers with their movable tensors, remembered: no micro-batch changes them."""
    costs = layer_costs(plain)
    known: Divisible | None = scene.searched.get(costs)
    if known is None:
        known = scene.searched[costs] = divisible(costs, movables(scene.facts, len(costs.held)))
    return known


def _needs(scene: Scene, found: Solution, plain: MemoryModel) -> dict[str, int]:
    """Bytes besides layers that each device of a placement needs."""
    uses = scene.memory(found.settings).footprint(found.placement).devices
    sizes = (use.compute_bytes + plain.everywhere_bytes for use in uses)
    return dict(zip(found.settings.device_order, sizes, strict=True))


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
    return Solution(settings, placement, blocks.seconds)
