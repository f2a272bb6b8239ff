"""llama.cpp's rule for which device holds which layer, and its inverse.

Source: `src/llama-model.cpp` (load_tensors) of build 11434. N repeating layers plus the output layer; `-ngl n` puts the
last n of these N + 1 on devices; layer k of the offloaded ones goes to the first device whose normalised cumulative
share exceeds k / n. The engine computes in float32, so this module rounds to float32 after every operation.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from splitter.errors import UsageError
from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings

# Matches no tensor: its presence alone turns pipeline parallelism off (src/llama-context.cpp asks only whether there is
# any override), which saves three extra copies of the inputs on every device.
PIPELINE_OFF = "^pipeline-off$=CPU"


def float32(value: float) -> float:
    """`value` rounded to the nearest float32, as C's conversion does."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def split_points(split: Sequence[float], n_devices: int) -> tuple[float, ...]:
    """Normalised cumulative shares of the first `n_devices` entries; missing entries are 0, surplus ones ignored."""
    shares = [float32(share) for share in split[:n_devices]]
    shares += [0.0] * (n_devices - len(shares))
    sums = list(accumulate(shares, lambda total, share: float32(total + share)))
    return tuple(float32(total / sums[-1]) for total in sums)


def place(n_layers: int, gpu_layers: int, split: Sequence[float], n_devices: int) -> Placement:
    """Where llama.cpp's `-sm layer` puts every layer.

    `n_layers` repeating layers; `gpu_layers` is -ngl (negative: all); `split` the shares in device order, of which at
    least one of the first `n_devices` is positive (without -ts llama.cpp takes free bytes as shares: pass those).
    Raises UsageError for shares that sum to nothing.
    """
    count = n_layers + 1
    if n_devices == 0:
        return Placement((None,) * count, 0)
    if not any(float32(share) > 0 for share in split[:n_devices]):
        raise UsageError("the tensor split gives no device a share", "give at least one device more than 0")
    wanted = count if gpu_layers < 0 else gpu_layers
    start, active = max(count - wanted, 0), min(wanted, count)
    points = split_points(split, n_devices)
    owners: list[int | None] = [None] * start
    for k in range(active):
        position = float32(k / active)
        owners.append(next(d for d, point in enumerate(points) if point > position))
    return Placement(tuple(owners), n_devices)


def placement_of(n_layers: int, settings: Settings, free_bytes: Sequence[int]) -> Placement:
    """Where `settings` put the layers on devices with `free_bytes` (in the order of `settings.device_order`)."""
    n_devices = len(settings.device_order)
    if settings.split_mode == "none" and n_devices:
        return _place_on_one(n_layers, settings, n_devices)
    if settings.split_mode == "tensor" and n_devices:
        return _place_shared(n_layers, settings, n_devices)
    given = settings.tensor_split[:n_devices]
    split = given if any(given) else tuple(free_bytes)
    if n_devices and not any(split):
        split = (1.0,) * n_devices
    return place(n_layers, settings.gpu_layers, split, n_devices)


def _place_on_one(n_layers: int, settings: Settings, n_devices: int) -> Placement:
    """`-sm none`: the main GPU alone; a negative -mg means no GPU at all (llama.cpp clears the device list)."""
    main = settings.main_gpu
    if main < 0:
        return Placement((None,) * (n_layers + 1), n_devices)
    if main >= n_devices:
        raise UsageError(f"main GPU {main} does not exist: {n_devices} devices are listed", "count devices from 0")
    layers = place(n_layers, settings.gpu_layers, (1.0,), 1).layers
    return Placement(tuple(None if owner is None else main for owner in layers), n_devices)


def _place_shared(n_layers: int, settings: Settings, n_devices: int) -> Placement:
    """`-sm tensor`: every GPU layer shared by all devices; without a split llama.cpp shares equally, not by memory."""
    given = tuple(settings.tensor_split[:n_devices]) + (0.0,) * (n_devices - len(settings.tensor_split))
    split = given if any(given) else (1.0,) * n_devices
    first = next(d for d, share in enumerate(split) if share > 0)
    layers = place(n_layers, settings.gpu_layers, (1.0,), 1).layers
    owners = tuple(None if owner is None else first for owner in layers)
    return Placement(owners, n_devices, tuple(share / sum(split) for share in split))


def counts_of(placement: Placement) -> tuple[int, ...]:
    """Layers per device, the output layer counted with its device: as integer shares of -ts, with their sum as
    -ngl, `place` gives them back, whatever it rounds."""
    return tuple(sum(owner == device for owner in placement.layers) for device in range(placement.devices))


def taken_in(settings: Settings, placement: Placement, away: Sequence[str]) -> Iterator[Settings]:
    """`settings` with the devices `away` in front: they hold the layers that are in RAM, then ever fewer of them; where
    too few are, a layer each of the fullest device. Whether that fits is not asked."""
    counts = list(counts_of(placement))
    host = len(placement.layers) - sum(counts)
    if host < len(away):
        fullest = counts.index(max(counts)) if counts else 0
        if not counts or counts[fullest] <= len(away):
            return
        counts[fullest] -= len(away) - host
        host = len(away)
    for moved in range(host, len(away) - 1, -1):
        shares = [moved // len(away) + (index < moved % len(away)) for index in range(len(away))]
        order, new = (*away, *settings.device_order), (*shares, *counts)
        split = tuple(map(float, new)) if len(new) > 1 else ()
        yield replace(settings, device_order=order, tensor_split=split, gpu_layers=sum(new))


def in_ram(settings: Settings, placement: Placement) -> bool:
    """Whether layers or single tensors are in RAM."""
    moved = any(item != PIPELINE_OFF for item in settings.override_tensors)
    return placement.layers[0] is None or settings.n_cpu_moe > 0 or settings.cpu_moe or moved
