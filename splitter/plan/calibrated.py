"""Calibration: measured constants in place of the catalog's, as a rig and constants that the solver takes."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from splitter.plan.plan import Plan
from splitter.plan.speed import TYPICAL, Constants
from splitter.rig.device import Device, Rig

MEASURED = "calibrated"


@dataclass(frozen=True, slots=True)
class CardConstants:
    """What one card was measured to reach: weights read per second, and FLOP/s on prompts (None: not measured)."""

    bandwidth_bytes_per_s: float
    fp16_flops: float | None = None
    measured_at: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Measured constants by device id; `host_bandwidth_bytes_per_s` is what the CPU reached, None if not measured."""

    cards: Mapping[str, CardConstants] = field(default_factory=dict)
    hop_s: float = TYPICAL.hop_s
    layer_s: float = TYPICAL.layer_s
    host_bandwidth_bytes_per_s: float | None = None


def calibrated_rig(rig: Rig, calibration: Calibration) -> Rig:
    """`rig` with the bandwidths and FLOP/s that its cards reached.

    A card that was not measured counts with the efficiency of the measured ones (their median), or with a typical one.
    """
    efficiency = _efficiency(rig, calibration)
    devices = tuple(_device(device, calibration.cards.get(device.id), efficiency) for device in rig.devices)
    host = rig.host
    reached = calibration.host_bandwidth_bytes_per_s
    if reached is not None:
        sources = {**host.sources, "ram_bandwidth_bytes_per_s": MEASURED}
        host = replace(host, ram_bandwidth_bytes_per_s=reached, sources=sources)
    elif host.ram_bandwidth_bytes_per_s:
        host = replace(host, ram_bandwidth_bytes_per_s=host.ram_bandwidth_bytes_per_s * TYPICAL.host_efficiency)
    return replace(rig, host=host, devices=devices)


def calibrated_constants(calibration: Calibration) -> Constants:
    """Constants for `calibrated_rig`, whose bandwidths are the reached ones already."""
    return Constants(
        hop_s=calibration.hop_s, layer_s=calibration.layer_s, reduction_s=TYPICAL.reduction_s, basis=MEASURED
    )


def calibration_notes(plan: Plan, calibration: Calibration) -> tuple[str, ...]:
    """Which of the plan's cards are calibrated and when, in words."""
    used = [planned.device for planned in plan.devices]
    known = [device for device in used if device.id in calibration.cards]
    if not known:
        return ()
    words = ", ".join(f"{device.id} on {calibration.cards[device.id].measured_at[:10]}" for device in known)
    rest = ", ".join(device.id for device in used if device.id not in calibration.cards)
    more = f"; {rest} is taken to be as efficient as the measured cards" if rest else ""
    return (f"the speed is calibrated: measured on {words}{more}",)


def _efficiency(rig: Rig, calibration: Calibration) -> float:
    known = [
        calibration.cards[device.id].bandwidth_bytes_per_s / device.bandwidth_bytes_per_s
        for device in rig.devices
        if device.id in calibration.cards and device.bandwidth_bytes_per_s
    ]
    return statistics.median(known) if known else TYPICAL.device_efficiency


def _device(device: Device, found: CardConstants | None, efficiency: float) -> Device:
    bandwidth, flops = device.bandwidth_bytes_per_s, device.fp16_flops
    typical = None if flops is None else flops * TYPICAL.compute_efficiency
    if found is None:
        slower = None if bandwidth is None else bandwidth * efficiency
        return replace(device, bandwidth_bytes_per_s=slower, fp16_flops=typical)
    measured = ["bandwidth_bytes_per_s", *(["fp16_flops"] if found.fp16_flops is not None else [])]
    return replace(
        device,
        bandwidth_bytes_per_s=found.bandwidth_bytes_per_s,
        fp16_flops=typical if found.fp16_flops is None else found.fp16_flops,
        sources={**device.sources, **dict.fromkeys(measured, MEASURED)},
    )
