"""Costs: one configuration of a model as the numbers that the search works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.plan.scene import Scene
from splitter.plan.search import TIE_S, Problem, Roles, Slot
from splitter.plan.speed import reads
from splitter.rig.device import Device

# Stand-ins that only order devices while a bandwidth is unknown: no speed is then shown.
UNKNOWN_HOST_BYTES_PER_S = 30e9
UNKNOWN_DEVICE_S_PER_BYTE = 10.0


@dataclass(frozen=True, slots=True)
class LayerCosts:
    """Bytes per layer, the output layer last: on its device, in RAM when the host has it, and read per token.

    `moved` stays in RAM and is read there (`moved_read`) wherever the layer lives.
    """

    held: tuple[int, ...]
    on_host: tuple[int, ...]
    read: tuple[int, ...]
    moved: tuple[int, ...]
    moved_read: tuple[int, ...]

    def spliced(self, experts_on_host: "LayerCosts", layers: int) -> "LayerCosts":
        """The first `layers` as in `experts_on_host`, the rest as here: what -ncmoe does."""

        def join(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
            return (*a[:layers], *b[layers:])

        other = experts_on_host
        return LayerCosts(
            join(other.held, self.held),
            join(other.on_host, self.on_host),
            join(other.read, self.read),
            join(other.moved, self.moved),
            join(other.moved_read, self.moved_read),
        )


def layer_costs(memory: MemoryModel) -> LayerCosts:
    """What every layer costs under the settings of `memory`."""
    read = reads(memory)
    cache = memory.layer_context_bytes
    on_device = cache if memory.settings.kv_offload else (0,) * len(cache)
    return LayerCosts(
        held=tuple(a + b for a, b in zip(memory.layer_model_bytes, on_device, strict=True)),
        on_host=tuple(a + b for a, b in zip(memory.weights.host, cache, strict=True)),
        read=read.device,
        moved=memory.host_layer_bytes,
        moved_read=read.host,
    )


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute buffers by role, learnt by asking the memory model; `host_bytes` is the host's own."""

    whole: Roles
    partial: Roles
    host_bytes: int


def compute_roles(memory: MemoryModel, devices: int, host_layers: int | None = None) -> Compute:
    """Asks for placements with one and with three devices, without and with layers on the host.

    A fixed number of `host_layers` makes one half of the questions needless.
    """
    layers = len(memory.layer_model_bytes)
    some = min(host_layers, layers - 1) if host_layers else 1 + layers // 4
    if host_layers or layers < 3:
        partial, host_bytes = _roles(memory, layers, some if layers > 2 else 0, devices)
        return Compute(partial, partial, host_bytes)
    whole, host_bytes = _roles(memory, layers, 0, devices)
    if host_layers == 0:
        return Compute(whole, whole, host_bytes)
    partial, host_partial = _roles(memory, layers, some, devices)
    return Compute(whole, partial, max(host_bytes, host_partial))


def _roles(memory: MemoryModel, layers: int, host: int, devices: int) -> tuple[Roles, int]:
    everywhere = memory.everywhere_bytes
    (only,), host_bytes = memory.compute(block_placement(host, (layers - host,)))
    if devices < 2 or layers - host < 2:
        return Roles(*(only + everywhere,) * 4), host_bytes
    parts = min(devices, 3, layers - host)
    counts = [(layers - host) // parts] * parts
    counts[0] += layers - host - sum(counts)
    many, host_many = memory.compute(block_placement(host, counts))
    middle = many[1] if parts == 3 else max(many)
    first, last = many[0], many[-1]
    roles = Roles(only + everywhere, first + everywhere, middle + everywhere, last + everywhere)
    return roles, max(host_bytes, host_many)


def block_placement(host_layers: int, counts: Sequence[int]) -> Placement:
    """The first layers on the host, then `counts` layers on each device in order, the output layer last."""
    owners: list[int | None] = [None] * host_layers
    for device, count in enumerate(counts):
        owners += [device] * count
    return Placement(tuple(owners), len(counts))


def slots(scene: Scene, devices: Sequence[Device], taken: Mapping[str, int]) -> tuple[Slot, ...]:
    """Budget and price of every device; `taken` bytes by device id are promised already (-ot to a device).

    With a bandwidth unknown the roomiest device counts as the fastest.
    """
    known = all(device.bandwidth_bytes_per_s for device in devices)
    efficiency = scene.constants.device_efficiency
    return tuple(
        Slot(
            scene.budget_bytes(device) - taken.get(device.id, 0),
            1 / (device.bandwidth_bytes_per_s * efficiency)
            if known and device.bandwidth_bytes_per_s
            else UNKNOWN_DEVICE_S_PER_BYTE / device.total_bytes,
        )
        for device in devices
    )


def host_s_per_byte(scene: Scene, devices: Sequence[Device]) -> float:
    """Seconds the host needs per byte it reads; slower than any device where bandwidths are unknown."""
    if not all(device.bandwidth_bytes_per_s for device in devices):
        return UNKNOWN_DEVICE_S_PER_BYTE
    bandwidth = scene.rig.host.ram_bandwidth_bytes_per_s or UNKNOWN_HOST_BYTES_PER_S
    return 1 / (bandwidth * scene.constants.host_efficiency)


def host_room(scene: Scene, costs: LayerCosts, always_bytes: int) -> int:
    """How many leading layers the host's free RAM takes besides `always_bytes`; -1 if not even those."""
    ram = scene.rig.host.ram_free_bytes
    if ram is None:
        return len(costs.on_host)
    room = ram - always_bytes - sum(costs.moved)
    return sum(total <= room for total in (0, *accumulate(costs.on_host))) - 1


def problem(
    scene: Scene,
    memory: MemoryModel,
    costs: LayerCosts,
    compute: Compute,
    devices: Sequence[Device],
    *,
    gpu_layers: int | None = None,
    ordered: bool = False,
) -> Problem:
    """The search problem of one configuration; `gpu_layers` fixes -ngl, `ordered` the device order."""
    layers = len(costs.held)
    taken = dict(zip(memory.settings.device_order, memory.fixed_device_bytes, strict=False))
    constants = scene.constants
    host_s = host_s_per_byte(scene, devices)
    experts = sum(size > 0 for size in costs.moved_read)
    extra = sum(costs.moved_read) * host_s + 2 * experts * constants.hop_s + layers * constants.layer_s
    return Problem(
        held=costs.held,
        read=costs.read,
        slots=slots(scene, devices, taken),
        whole=compute.whole,
        partial=compute.partial,
        host_s_per_byte=host_s,
        host_room_layers=host_room(scene, costs, memory.input_bytes + memory.everywhere_bytes + compute.host_bytes),
        host_layers=None if gpu_layers is None or gpu_layers < 0 else max(layers - gpu_layers, 0),
        extra_s=extra,
        hop_s=constants.hop_s + TIE_S,
        ordered=ordered,
    )


def observed(old: Roles, compute_bytes: Sequence[int], *, lower: bool) -> Roles:
    """Roles after a real placement: never less than `compute_bytes` asks, or with `lower` exactly that.

    `compute_bytes` are those of the devices that hold layers, in order.
    """
    pick = min if lower else max
    if len(compute_bytes) == 1:
        return replace(old, only=pick(old.only, compute_bytes[0]))
    first, *between, last = compute_bytes
    middle = pick(old.middle, *between) if between else old.middle
    return replace(old, first=pick(old.first, first), middle=middle, last=pick(old.last, last))
