"""Work: what one token costs on each device, without any speed. What calibration divides by measured times."""

from dataclasses import dataclass

from splitter.memory.model import MemoryModel
from splitter.plan.plan import Plan
from splitter.plan.speed import hops, layer_parameters, reads


@dataclass(frozen=True, slots=True)
class Work:
    """One generated token: bytes read per device id and by the host, hops between places, layers launched.

    `flops` is one prompt token's, per device id, and None where the host multiplies too.
    """

    bytes_read: tuple[tuple[str, int], ...]
    host_bytes: int
    hops: int
    layers: int
    flops: tuple[tuple[str, float], ...] | None = None


def work_of(plan: Plan) -> Work:
    """The work of a layer placement (`-sm none` or `layer`), with an empty cache as in the speed model."""
    order, layers = plan.settings.device_order, plan.placement.layers
    memory = MemoryModel(plan.facts, plan.settings, plan.engine.memory)
    read = reads(memory)
    sizes = dict.fromkeys(order, 0)
    flops = dict.fromkeys(order, 0.0)
    on_host = sum(read.host)
    for owner, size, weights in zip(layers, read.device, layer_parameters(plan.facts, len(layers) - 1), strict=True):
        if owner is None:
            on_host += size
        else:
            sizes[order[owner]] += size
            flops[order[owner]] += 2.0 * weights
    used = tuple((name, size) for name, size in sizes.items() if size)
    multiplied = None if on_host else tuple((name, flops[name]) for name, _ in used)
    return Work(used, on_host, hops(plan.placement, read), len(layers), multiplied)
