"""Costs: one configuration of a model as the numbers that the search works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.plan.scene import Scene
from splitter.plan.search import TIE_S, Need, Problem, Roles, Slot
from splitter.plan.speed import reads
from splitter.rig.device import Device

# Stand-ins that only order devices while a bandwidth is unknown: no speed is then shown.
UNKNOWN_HOST_BYTES_PER_S = 30e9
# How much longer the CPU takes for a byte than a GPU that reads the same memory; above 1 the GPU wins ties.
SHARED_HOST_FACTOR = 1.05
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


Seen = tuple[int, int]  # layers of a block, compute-buffer bytes of its device


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute buffers by role, without and with layers on the host, as far as known (0: nothing known yet)."""

    whole: Roles
    partial: Roles
    host_bytes: int

    def after(self, sizes: Sequence[Seen], host_bytes: int, *, partial: bool, lower: bool) -> "Compute":
        """What is known after a placement: `sizes` of the devices that hold layers, in order.

        A role needs the most it was seen to need, or with `lower` the least.
        """
        host = min(self.host_bytes or host_bytes, host_bytes) if lower else max(self.host_bytes, host_bytes)
        if not sizes:
            return replace(self, host_bytes=host)
        if partial:
            return replace(self, partial=_observed(self.partial, sizes, lower), host_bytes=host)
        return replace(self, whole=_observed(self.whole, sizes, lower), host_bytes=host)


NOTHING_KNOWN = Compute(Roles(), Roles(), 0)


def _pick(old: Need, seen: Seen, lower: bool) -> Need:
    """`old` after a block of `seen` length needed `seen` bytes; longer blocks never need less than shorter ones."""
    length, size = seen
    known = list(old)
    at = min(length, len(known)) - 1
    known[at] = min(known[at] or size, size) if lower else max(known[at], size)
    for shorter in range(at):
        known[shorter] = min(known[shorter], known[at])
    for longer in range(at + 1, len(known)):
        known[longer] = max(known[longer], known[at])
    return known[0], known[1], known[2]


def _observed(old: Roles, sizes: Sequence[Seen], lower: bool) -> Roles:
    if len(sizes) == 1:
        return replace(old, only=_pick(old.only, sizes[0], lower))
    first, *between, last = sizes
    middle = old.middle
    for seen in between:
        middle = _pick(middle, seen, lower)
    return replace(old, first=_pick(old.first, first, lower), middle=middle, last=_pick(old.last, last, lower))


def block_placement(host_layers: int, counts: Sequence[int]) -> Placement:
    """The first layers on the host, then `counts` layers on each device in order, the output layer last."""
    owners: list[int | None] = [None] * host_layers
    for device, count in enumerate(counts):
        owners += [device] * count
    return Placement(tuple(owners), len(counts))


def slots(
    scene: Scene, devices: Sequence[Device], taken: Mapping[str, int], on_host_bytes: int = 0
) -> tuple[Slot, ...]:
    """Budget and price of every device; `taken` bytes by device id are promised already (-ot to a device). A device
    that shares the host's memory does without the `on_host_bytes` that the host takes of it in any case.

    With a bandwidth unknown the roomiest device counts as the fastest.
    """
    known = all(device.bandwidth_bytes_per_s for device in devices)
    efficiency = scene.constants.device_efficiency
    return tuple(
        Slot(
            _budget_bytes(scene, device, on_host_bytes) - taken.get(device.id, 0),
            1 / (device.bandwidth_bytes_per_s * efficiency)
            if known and device.bandwidth_bytes_per_s
            else UNKNOWN_DEVICE_S_PER_BYTE / device.total_bytes,
        )
        for device in devices
    )


def _shared(scene: Scene, devices: Sequence[Device]) -> tuple[Device, ...]:
    """Those of `devices` whose memory is the host's RAM."""
    ids = {device.id for device in scene.rig.shared()}
    return tuple(device for device in devices if device.id in ids)


def _budget_bytes(scene: Scene, device: Device, on_host_bytes: int) -> int:
    own, pool = scene.budget_bytes(device), scene.pool_bytes()
    if pool is None or not _shared(scene, (device,)):
        return own
    return min(own, pool - scene.overhead_bytes(device) - on_host_bytes)


def host_s_per_byte(scene: Scene, devices: Sequence[Device]) -> float:
    """Seconds the host needs per byte it reads; slower than any device where bandwidths are unknown, and slower than a
    GPU that reads the same memory: the GPU wins ties."""
    if not all(device.bandwidth_bytes_per_s for device in devices):
        return UNKNOWN_DEVICE_S_PER_BYTE
    bandwidth = scene.rig.host.ram_bandwidth_bytes_per_s or UNKNOWN_HOST_BYTES_PER_S
    seconds = 1 / (bandwidth * scene.constants.host_efficiency)
    same_memory = [device for device in devices if device.unified and device.node is None]
    return max((seconds, *(SHARED_HOST_FACTOR * slot.s_per_byte for slot in slots(scene, same_memory, {}))))


def host_room(scene: Scene, costs: LayerCosts, always_bytes: int, devices: Sequence[Device] = ()) -> int:
    """How many leading layers the host's free RAM takes besides `always_bytes`; -1 if not even those.

    Of memory that it shares with a GPU of `devices` the host has what the GPU may not take.
    """
    ram, pool, shared = scene.rig.host.ram_free_bytes, scene.pool_bytes(), _shared(scene, devices)
    if ram is None:
        return len(costs.on_host)
    room = ram - always_bytes - sum(costs.moved)
    if pool is not None and shared:
        on_host = always_bytes + sum(costs.moved)
        gpus = sum(_budget_bytes(scene, device, on_host) + scene.overhead_bytes(device) for device in shared)
        room = min(room, max(pool - on_host - gpus, 0))
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
    always = memory.input_bytes + memory.everywhere_bytes + compute.host_bytes
    host_s = host_s_per_byte(scene, devices)
    experts = sum(size > 0 for size in costs.moved_read)
    extra = sum(costs.moved_read) * host_s + 2 * experts * constants.hop_s + layers * constants.layer_s
    return Problem(
        held=costs.held,
        read=costs.read,
        slots=slots(scene, devices, taken, always + sum(costs.moved)),
        whole=compute.whole,
        partial=compute.partial,
        host_s_per_byte=host_s,
        host_room_layers=host_room(scene, costs, always, devices),
        host_layers=None if gpu_layers is None or gpu_layers < 0 else max(layers - gpu_layers, 0),
        extra_s=extra,
        hop_s=constants.hop_s + TIE_S,
        ordered=ordered,
    )
