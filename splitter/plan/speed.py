"""Tokens per second from bytes over bandwidth: an explicit model, its constants and where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Speed
from splitter.rig.device import Device, Host


@dataclass(frozen=True, slots=True)
class Constants:
    """What lies between a roofline and a real engine.

    `device_efficiency` and `host_efficiency` are the reached shares of the memory bandwidth, `compute_efficiency` of
    the matrix throughput; `hop_s` is the cost of handing the activations to another device (or to and from the host)
    once per token, `layer_s` of launching one layer's kernels, `reduction_s` the latency of one all-reduce in
    `-sm tensor`; `link_bytes_per_s` and `host_flops` stand in where the rig does not know its own.
    """

    device_efficiency: float = 1.0
    host_efficiency: float = 1.0
    compute_efficiency: float = 1.0
    hop_s: float = 0.0
    layer_s: float = 0.0
    reduction_s: float = 0.0
    link_bytes_per_s: float = 8e9
    host_flops: float = 2e11
    basis: str = "roofline"


ROOFLINE = Constants()
"""Weights over bandwidth and nothing else: an upper bound, the same for every planner that is compared."""

TYPICAL = Constants(
    device_efficiency=0.93,
    host_efficiency=0.5,
    compute_efficiency=0.35,
    hop_s=200e-6,
    layer_s=80e-6,
    reduction_s=40e-6,
)
"""What published runs reach. Efficiency and layer: least squares over ten single cards, RTX 3070 to 4090, 8B Q4_K_M and
F16, tg 512 (github.com/XiongjieDai/GPU-Benchmarks-on-LLM-Inference, README of commit 00dd2bd): each within 12 %. Hops:
the same table's 2 to 8 cards, 0.12 to 0.36 ms. Our own six models on an H200 (build 11434): -31 to +57 %, for there
K-quants are bound by arithmetic. Host, in reference/llamacpp.md: the 4+8+6 GB rig, 32B, 40 layers on cards and the rest
in quad-channel RAM: 2.5 t/s (the host's half of its bandwidth is what that leaves)."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Bytes read per generated token, per layer (output layer last): `device` where the layer lives, `host` always."""

    device: tuple[int, ...]
    host: tuple[int, ...]


def reads(memory: MemoryModel, depth: int = 0) -> Reads:
    """Active weights (of stacked experts the used share) plus the cache of `depth` tokens."""
    weights = memory.layer_active_bytes
    if not depth:
        return Reads(weights, memory.layer_active_host_bytes)
    at_depth = replace(memory.settings, context_size=depth, parallel=1)
    cache = MemoryModel(memory.facts, at_depth).layer_context_bytes
    if not memory.settings.kv_offload:
        host = tuple(a + b for a, b in zip(memory.layer_active_host_bytes, cache, strict=True))
        return Reads(weights, host)
    return Reads(tuple(a + b for a, b in zip(weights, cache, strict=True)), memory.layer_active_host_bytes)


def generation_s(
    read: Reads, placement: Placement, devices: Sequence[Device], host: Host, constants: Constants = ROOFLINE
) -> float | None:
    """Seconds per generated token of one sequence; None where a bandwidth that matters is unknown."""
    per_device = [0] * placement.devices
    on_host = sum(read.host)
    for owner, size in zip(placement.layers, read.device, strict=True):
        if owner is None:
            on_host += size
        else:
            per_device[owner] += size
    host_s = _over(on_host, host.ram_bandwidth_bytes_per_s, constants.host_efficiency)
    bandwidths = [device.bandwidth_bytes_per_s for device in devices]
    if placement.shares:
        device_s = _shared_s(sum(per_device), placement.shares, bandwidths, constants)
    else:
        device_s = _summed_s(per_device, bandwidths, constants)
    if host_s is None or device_s is None:
        return None
    return host_s + device_s + hops(placement, read) * constants.hop_s + constants.layer_s * len(placement.layers)


def _over(size: int, bandwidth: float | None, efficiency: float) -> float | None:
    if not size:
        return 0.0
    return size / (bandwidth * efficiency) if bandwidth else None


def _summed_s(sizes: Sequence[int], bandwidths: Sequence[float | None], constants: Constants) -> float | None:
    times = [_over(size, b, constants.device_efficiency) for size, b in zip(sizes, bandwidths, strict=True)]
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def _shared_s(
    size: int, shares: Sequence[float], bandwidths: Sequence[float | None], constants: Constants
) -> float | None:
    """`-sm tensor`: all devices work at once, the slowest share sets the pace."""
    parts = [int(size * share) for share in shares]
    times = [_over(part, b, constants.device_efficiency) for part, b in zip(parts, bandwidths, strict=True)]
    known = [time for time in times if time is not None]
    return max(known) if len(known) == len(times) else None


def hops(placement: Placement, read: Reads) -> int:
    """How often a token's activations change place: device to device, host to device and back for experts."""
    layers = placement.layers
    moves = sum(a != b for a, b in pairwise(layers))
    experts = sum(owner is not None and size > 0 for owner, size in zip(layers, read.host, strict=True))
    return moves + 2 * experts


def layer_parameters(facts: ModelFacts, layers: int) -> tuple[float, ...]:
    """Weights multiplied per token and layer (the output layer last), experts by their used share."""
    used, count = facts.hparam("expert_used_count"), facts.hparam("expert_count")
    share = used / count if isinstance(used, int) and isinstance(count, int) and count else 1.0
    totals = [0.0] * (layers + 1)
    for tensor in facts.tensors:
        index = _layer_index(tensor.name, layers)
        if index is not None and len(tensor.shape) > 1:
            size = 1.0
            for dimension in tensor.shape:
                size *= dimension
            totals[index] += size * (share if "_exps" in tensor.name else 1.0)
    return tuple(totals)


def _layer_index(name: str, layers: int) -> int | None:
    if name == "output.weight":
        return layers
    parts = name.split(".", 2)
    if parts[0] != "blk" or len(parts) < 2 or not parts[1].isdigit():
        return None
    index = int(parts[1])
    return index if index < layers else None


def prompt_s(
    memory: MemoryModel,
    placement: Placement,
    devices: Sequence[Device],
    constants: Constants = ROOFLINE,
    pipeline: bool = False,
) -> float | None:
    """Seconds per prompt token in batches of `batch_size`; None where a device's matrix throughput is unknown.

    Weights that the host keeps cross the link once per micro-batch (op offload) and are multiplied on the first
    device. With pipeline parallelism the devices work on successive micro-batches at the same time.
    """
    settings = memory.settings
    parameters = layer_parameters(memory.facts, len(placement.layers) - 1)
    offload = settings.op_offload and settings.ubatch_size >= 32
    first = next((d for d in placement.layers if d is not None), None) if offload else None
    flops = [0.0] * placement.devices
    host_flops = 0.0
    crossing = 0
    for owner, size, weights, kept in zip(
        placement.layers, parameters, memory.layer_model_bytes, memory.host_layer_bytes, strict=True
    ):
        target = first if owner is None else owner
        if target is None:
            host_flops += 2.0 * size
        else:
            flops[target] += 2.0 * size
            crossing += kept + (weights if owner is None else 0)
    times = _compute_times(flops, placement, devices, constants)
    if times is None:
        return None
    link = (devices[first].link_bytes_per_s if first is not None else None) or constants.link_bytes_per_s
    stages = max(settings.batch_size // settings.ubatch_size, 1) if pipeline else 1
    on_devices = (sum(times) + (stages - 1) * max(times, default=0.0)) / stages
    return on_devices + crossing / link / settings.ubatch_size + host_flops / constants.host_flops


def _compute_times(
    flops: Sequence[float], placement: Placement, devices: Sequence[Device], constants: Constants
) -> list[float] | None:
    if placement.shares:
        flops = [sum(flops) * share for share in placement.shares]
    times = []
    for work, device in zip(flops, devices, strict=True):
        if work and not device.fp16_flops:
            return None
        times.append(work / ((device.fp16_flops or 1.0) * constants.compute_efficiency))
    return [max(times)] if placement.shares else times


def predict(
    memory: MemoryModel,
    placement: Placement,
    devices: Sequence[Device],
    host: Host,
    *,
    constants: Constants = ROOFLINE,
    depth: int = 0,
    pipeline: bool = False,
) -> Speed:
    """Generation and prompt tokens per second of one sequence at `depth` tokens in the cache."""
    generation = generation_s(reads(memory, depth), placement, devices, host, constants)
    if generation is not None and placement.shares:
        generation += _reductions_s(memory, placement, devices, constants)
    prompt = prompt_s(memory, placement, devices, constants, pipeline)
    return Speed(1 / generation if generation else None, 1 / prompt if prompt else None, constants.basis)


def _reductions_s(memory: MemoryModel, placement: Placement, devices: Sequence[Device], constants: Constants) -> float:
    """Two all-reduces of one activation row (f32) per layer in `-sm tensor`, over the slowest link."""
    width = memory.facts.hparam("embedding_length")
    row_bytes = 4 * width if isinstance(width, int) else 0
    links = [device.link_bytes_per_s or constants.link_bytes_per_s for device in devices]
    layers = sum(owner is not None for owner in placement.layers)
    sharing = sum(share > 0 for share in placement.shares)
    return 2 * layers * (constants.reduction_s + row_bytes / min(links)) if sharing > 1 else 0.0
