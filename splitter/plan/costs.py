"""Costs: one configuration of a model as the numbers that the search works on: bytes, and seconds of a turn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeVar

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.plan.remote import (
    link_s,
    message_s,
    prompt_bytes,
    prompt_hops_s,
    token_bytes,
    token_hops_s,
)
from splitter.plan.scene import Scene
from splitter.plan.search import TIE_S, Need, Problem, Roles, Slot
from splitter.plan.speed import (
    Constants,
    HostPrice,
    Price,
    generated_s,
    guessed_flops,
    host_price,
    price_of,
    prompted_s,
    ram_prompted_s,
)
from splitter.plan.turn import micro_batch, turn_s
from splitter.plan.work import LayerWork, Portion, layer_works, work_frame, work_in
from splitter.plan.workload import Workload
from splitter.rig.device import Device

# Stand-ins that only order devices while a bandwidth is unknown: no speed is then shown.
UNKNOWN_HOST_BYTES_PER_S = 30e9
# How much longer the CPU takes for a byte than a GPU that reads the same memory; above 1 the GPU wins ties.
SHARED_HOST_FACTOR = 1.05
UNKNOWN_DEVICE_S_PER_BYTE = 10.0


@dataclass(frozen=True, slots=True)
class LayerSeconds:
    """Seconds of a turn per layer, the output layer last.

    `device[d]` on device d; `ram[f]` of layers in RAM when f is the first device with layers, which multiplies prompts
    for the host, `moved[f]` of tensors in RAM wherever their layer is; the last entry of both is for no device at all.
    """

    device: tuple[tuple[float, ...], ...]
    ram: tuple[tuple[float, ...], ...]
    moved: tuple[tuple[float, ...], ...]

    def spliced(self, other: "LayerSeconds", layers: int) -> "LayerSeconds":
        """The first `layers` as in `other`, the rest as here."""

        def join(a: Rows, b: Rows) -> Rows:
            return tuple((*x[:layers], *y[layers:]) for x, y in zip(a, b, strict=True))

        return LayerSeconds(join(other.device, self.device), join(other.ram, self.ram), join(other.moved, self.moved))


Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class LayerCosts:
    """Bytes per layer, the output layer last: on its device, in RAM when the host has it, and `moved`, which stays in
    RAM wherever the layer lives; and the seconds of a turn."""

    held: tuple[int, ...]
    on_host: tuple[int, ...]
    moved: tuple[int, ...]
    seconds: LayerSeconds

    def of(self, places: Sequence[int]) -> "LayerCosts":
        """The same for these of the devices."""
        device, ram, moved = self.seconds.device, self.seconds.ram, self.seconds.moved
        some = LayerSeconds(
            tuple(device[i] for i in places), *(tuple(row[i] for i in (*places, -1)) for row in (ram, moved))
        )
        return replace(self, seconds=some)

    def spliced(self, experts_on_host: "LayerCosts", layers: int) -> "LayerCosts":
        """The first `layers` as in `experts_on_host`, the rest as here: what -ncmoe does."""
        other = experts_on_host
        return LayerCosts(
            (*other.held[:layers], *self.held[layers:]),
            (*other.on_host[:layers], *self.on_host[layers:]),
            (*other.moved[:layers], *self.moved[layers:]),
            self.seconds.spliced(other.seconds, layers),
        )


def layer_costs(scene: Scene, memory: MemoryModel, devices: Sequence[Device]) -> LayerCosts:
    """What every layer costs under the settings of `memory`, on each of `devices`; remembered for all of the rig's."""
    key = ("costs", memory.settings)
    if key not in scene.searched:
        scene.searched[key] = _read_costs(scene, memory, scene.rig.devices)
    found: LayerCosts = scene.searched[key]
    known = {device.id: index for index, device in enumerate(scene.rig.devices)}
    return found.of([known[device.id] for device in devices])


def _read_costs(scene: Scene, memory: MemoryModel, devices: Sequence[Device]) -> LayerCosts:
    cache = memory.layer_context_bytes
    on_device = cache if memory.settings.kv_offload else (0,) * len(cache)
    return LayerCosts(
        held=tuple(a + b for a, b in zip(memory.layer_model_bytes, on_device, strict=True)),
        on_host=tuple(a + b for a, b in zip(memory.weights.host, cache, strict=True)),
        moved=memory.host_layer_bytes,
        seconds=layer_seconds(scene, memory, devices),
    )


@dataclass(frozen=True, slots=True)
class Tariff:
    """Seconds of a turn for what is in one place; `first` is the device that multiplies prompts for the host."""

    turn: Workload
    ubatch_size: int
    layer_s: float
    constants: Constants

    def on_device(self, portion: Portion, price: Price) -> float:
        generated = generated_s(portion, price, self.layer_s) * self.turn.generated_tokens
        return generated + prompted_s(portion, price, self.ubatch_size, self.constants) * self.turn.prompt_tokens

    def layer_in_ram(self, layer: LayerWork, first: Price | None, host: HostPrice) -> float:
        """Of a layer in RAM: its tensors that are there in any case (`in_ram` of `moved`) need no handing over."""
        return self.in_ram(layer.device, first, host) - (self.handing_s() if layer.moved.parts else 0.0)

    def handing_s(self) -> float:
        """A layer with tensors in RAM: its activations go over and back."""
        return self.constants.moved_layer_s * self.turn.generated_tokens

    def in_ram(self, portion: Portion, first: Price | None, host: HostPrice) -> float:
        """Of what the host reads per generated token."""
        generated = host.read_s(portion) + portion.layers * self.layer_s
        prompted = ram_prompted_s(portion, first, host, self.ubatch_size, self.constants)
        handing = self.handing_s() if portion.parts and not portion.layers else 0.0
        return generated * self.turn.generated_tokens + prompted * self.turn.prompt_tokens + handing


def tariff(scene: Scene, memory: MemoryModel) -> Tariff:
    """The turn of the scene's workload under the settings of `memory`."""
    turn = scene.workload.within(memory.settings.context_size)
    layer_s = scene.constants.layer_s.get(scene.model_class(), 0.0)
    return Tariff(turn, micro_batch(memory.settings, turn), layer_s, scene.constants)


def layer_seconds(scene: Scene, memory: MemoryModel, devices: Sequence[Device]) -> LayerSeconds:
    """The seconds of a turn per layer and place."""
    cost = tariff(scene, memory)
    depths = cost.turn.generation_depth(), cost.turn.prompt_depth()
    layers = _Layers(layer_works(memory, *depths, scene.layer_parts(memory)))
    prices, host = prices_of(scene, devices), stand_in_host(scene)
    firsts = [*_stagers(devices, prices), None] if memory.settings.op_offload else [None] * (len(prices) + 1)
    handing = [2 * message_s(device) * cost.turn.generated_tokens for device in devices]
    there = list(zip(prices, handing, strict=True))
    return LayerSeconds(
        device=layers.rows(there, lambda layer, to: cost.on_device(layer.device, to[0]) + away_s(layer, to[1])),
        ram=layers.rows(firsts, lambda layer, first: cost.layer_in_ram(layer, first, host)),
        moved=layers.rows(firsts, lambda layer, first: cost.in_ram(layer.moved, first, host)),
    )


def _stagers(devices: Sequence[Device], prices: Sequence[Price]) -> list[Price | None]:
    """Who multiplies prompts for the host where a device is the first one: itself, or for a remote one the fastest
    here, as the first of those is not yet known."""
    here = [price for device, price in zip(devices, prices, strict=True) if not device.node]
    fastest = min(here, key=lambda price: price.attention_s, default=None)
    return [fastest if device.node else price for device, price in zip(devices, prices, strict=True)]


def away_s(layer: LayerWork, handing_s: float) -> float:
    """A layer with tensors in this machine's RAM on a remote device: its activations come and go over the network."""
    return handing_s if layer.moved.parts else 0.0


Place = TypeVar("Place")


class _Layers:
    """The layers of a model, equal ones asked once."""

    def __init__(self, works: Sequence[LayerWork]) -> None:
        distinct: dict[LayerWork, int] = {}
        self.index = [distinct.setdefault(work, len(distinct)) for work in works]
        self.distinct = tuple(distinct)

    def rows(self, places: Sequence[Place], seconds: Callable[[LayerWork, Place], float]) -> Rows:
        """Seconds per place and layer; equal places are asked once."""
        known: list[tuple[Place, tuple[float, ...]]] = []
        rows = []
        for place in places:
            row = next((row for other, row in known if other is place or other == place), None)
            if row is None:
                each = [seconds(work, place) for work in self.distinct]
                row = tuple(each[i] for i in self.index)
                known.append((place, row))
            rows.append(row)
        return tuple(rows)


def prices_of(scene: Scene, devices: Sequence[Device]) -> list[Price]:
    """The price of each device; with a bandwidth of the rig unknown the roomiest counts as the fastest."""
    if not _bandwidths_known(scene):
        devices = [replace(d, bandwidth_bytes_per_s=d.total_bytes / UNKNOWN_DEVICE_S_PER_BYTE) for d in devices]
    return [price for device in devices if (price := price_of(device, scene.constants))]


def _bandwidths_known(scene: Scene) -> bool:
    return all(device.bandwidth_bytes_per_s for device in scene.rig.devices)


def stand_in_host(scene: Scene) -> HostPrice:
    """The host's price; slower than any device where bandwidths are unknown, and slower than a GPU that reads the same
    memory: the GPU wins ties."""
    host = scene.rig.host
    bandwidth = host.ram_bandwidth_bytes_per_s or UNKNOWN_HOST_BYTES_PER_S
    if not _bandwidths_known(scene):
        bandwidth = 1 / UNKNOWN_DEVICE_S_PER_BYTE
    price = host_price(replace(host, ram_bandwidth_bytes_per_s=bandwidth), scene.constants)
    assert price is not None  # noqa: S101 - the bandwidth is known
    same_memory = [device for device in scene.rig.devices if device.unified and device.node is None]
    slowest = max((max(found.byte_s.values()) for found in prices_of(scene, same_memory)), default=0.0)
    return replace(price, byte_s={kind: max(s, SHARED_HOST_FACTOR * slowest) for kind, s in price.byte_s.items()})


NO_NETWORK: Mapping[str, float] = {}
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
    scene: Scene,
    costs: LayerCosts,
    devices: Sequence[Device],
    taken: Mapping[str, int],
    on_host_bytes: int = 0,
    *,
    away: Mapping[str, float] = NO_NETWORK,
) -> tuple[Slot, ...]:
    """Budget and seconds of every device; `taken` bytes by device id are promised already (-ot to a device). A device
    that shares the host's memory does without the `on_host_bytes` that the host takes of it in any case. `away` are
    the seconds of a turn that the network to a device takes.
    """
    seconds = costs.seconds
    return tuple(
        Slot(
            _budget_bytes(scene, device, on_host_bytes) - taken.get(device.id, 0),
            seconds.device[index],
            seconds.ram[index],
            sum(seconds.moved[index]),
            remote=device.node is not None,
            once_s=away.get(device.id, 0.0),
        )
        for index, device in enumerate(devices)
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
    cost, constants = tariff(scene, memory), scene.constants
    always = memory.input_bytes + memory.everywhere_bytes + compute.host_bytes
    network = _network_s(scene, memory, cost, devices)
    return Problem(
        held=costs.held,
        slots=slots(scene, costs, devices, taken, always + sum(costs.moved), away=network),
        whole=compute.whole,
        partial=compute.partial,
        host_s=costs.seconds.ram[-1],
        host_first_s=sum(costs.seconds.moved[-1]),
        host_room_layers=host_room(scene, costs, always, devices),
        host_layers=None if gpu_layers is None or gpu_layers < 0 else max(layers - gpu_layers, 0),
        extra_s=cost.turn.generated_tokens * constants.token_s,
        device_s=device_once_s(cost) + TIE_S,
        several_s=cost.turn.generated_tokens * constants.several_s,
        ordered=ordered,
    )


def _network_s(scene: Scene, memory: MemoryModel, cost: Tariff, devices: Sequence[Device]) -> dict[str, float]:
    """The least seconds of a turn that the network to each remote device takes: as if another stood before it, and had
    none of the logits unless no device is here."""
    if all(device.node is None for device in devices) or not scene.constants.network:
        return {}
    empty = work_frame(memory, cost.turn.generation_depth(), cost.turn.prompt_depth())
    alone = all(device.node for device in devices)
    return {
        device.id: cost.turn.generated_tokens
        * (message_s(device) + link_s(device, token_bytes(empty, first=False, output=alone)))
        + cost.turn.prompt_tokens
        * (message_s(device) / cost.ubatch_size + link_s(device, prompt_bytes(empty, first=False)))
        for device in devices
        if device.node
    }


def turn_seconds(scene: Scene, settings: Settings, placement: Placement) -> float:
    """Seconds of a turn of any placement, with the search's stand-ins for what is unknown."""
    memory, devices = scene.memory(settings), scene.devices(settings.device_order)
    costs, cost, constants = layer_costs(scene, memory, devices), tariff(scene, memory), scene.constants
    if placement.shares:
        return _shared_seconds(scene, memory, placement, devices)
    owners = placement.layers
    used = len({owner for owner in owners if owner is not None})
    first = next((owner for owner in owners if owner is not None), -1)
    if any(device.node for device in devices):
        first = next((index for index, device in enumerate(devices) if not device.node), -1)
    seconds = cost.turn.generated_tokens * (constants.token_s + (constants.several_s if used > 1 else 0.0))
    seconds += used * device_once_s(cost)
    for layer, owner in enumerate(owners):
        row = costs.seconds.ram[first] if owner is None else costs.seconds.device[owner]
        seconds += row[layer] + costs.seconds.moved[first][layer]
    return seconds + _hops_seconds(scene, memory, placement, devices)


def _hops_seconds(scene: Scene, memory: MemoryModel, placement: Placement, devices: Sequence[Device]) -> float:
    """Seconds of a turn on the network."""
    if all(device.node is None for device in devices) or not scene.constants.network:
        return 0.0
    cost = tariff(scene, memory)
    depths = cost.turn.generation_depth(), cost.turn.prompt_depth()
    work = work_in(memory, placement, *depths, scene.layer_parts(memory))
    generated = cost.turn.generated_tokens * token_hops_s(work, devices)
    return generated + cost.turn.prompt_tokens * prompt_hops_s(work, devices, cost.ubatch_size)


def _shared_seconds(scene: Scene, memory: MemoryModel, placement: Placement, devices: Sequence[Device]) -> float:
    """In `-sm tensor`; without a bandwidth the shares say how long the slowest device takes."""
    flops = [replace(d, fp16_flops=d.fp16_flops or guessed_flops(d)) for d in devices]
    found = turn_s(
        memory,
        placement,
        flops,
        scene.rig.host,
        constants=scene.constants,
        workload=scene.workload,
        parts=scene.layer_parts(memory),
    )
    return max(placement.shares) if found is None else found


def device_once_s(cost: Tariff) -> float:
    """Seconds of a turn that one device costs whatever it holds."""
    batches = cost.turn.prompt_tokens / cost.ubatch_size
    return cost.turn.generated_tokens * cost.constants.device_s + batches * cost.constants.device_prompt_s
