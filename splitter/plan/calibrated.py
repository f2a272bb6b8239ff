"""Calibration: measured constants in place of the typical ones, as a rig and constants that the solver takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from splitter.plan.families import family_of, type_class
from splitter.plan.plan import Plan
from splitter.plan.speed import Constants, factor, price_of, prompted_s, slower
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.turn import CALIBRATED, largest_micro_batch
from splitter.plan.work import Portion, work_of
from splitter.rig.device import Device, Rig

DENSE = (
    "dense"  # the class of models whose layers a calibration's `layer_s` speaks of; others cost so much more or less
)


@dataclass(frozen=True, slots=True)
class CardWork:
    """One generated token of a load: bytes read per device id and by the host, further devices, layers launched.

    Bytes are as if all weights were plain blocks (Q4_0): what types cost besides is typical of the card's family, so
    that what one quantisation taught serves another. `layers` are as if the model were dense. `flops` is one prompt
    token's, likewise, per device id, and None where the host multiplies too; `prompt_s` are the seconds of a prompt
    token that multiply nothing, per device id.
    """

    bytes_read: tuple[tuple[str, float], ...]
    host_bytes: float
    hops: int
    layers: float
    flops: tuple[tuple[str, float], ...] | None = None
    prompt_s: float = 0.0


def card_work(plan: Plan) -> CardWork:
    """The work of a layer placement (`-sm none` or `layer`) with an empty cache."""
    work, order = work_of(plan), plan.settings.device_order
    devices = [plan.rig.device(name) for name in order]
    used = [(d, p) for d, p in zip(devices, work.devices, strict=True) if p.parts or p.output]
    on_host = work.host.read_bytes() + work.moved.read_bytes()
    launches = TYPICAL.layer_s[work.model_class] / TYPICAL.layer_s[DENSE]
    ubatch_size = largest_micro_batch(plan.settings)
    flops = tuple((device.id, _flops(device, portion, ubatch_size)) for device, portion in used)
    return CardWork(
        tuple((device.id, _plain_bytes(device, portion)) for device, portion in used),
        on_host,
        max(len(used) - 1, 0),
        len(plan.placement.layers) * launches,
        None if on_host else flops,
        sum(_prompt_s(device, portion, ubatch_size) for device, portion in used),
    )


def _plain_bytes(device: Device, portion: Portion) -> float:
    family = family_of(device)
    parts = (*portion.parts, *portion.output)
    return sum(p.read_bytes * factor(TYPICAL.read_factors, family, type_class(p.ggml_type)) for p in parts)


def _flops(device: Device, portion: Portion, ubatch_size: int) -> float:
    family = family_of(device)
    return sum(
        2 * p.weights
        * factor(TYPICAL.compute_factors, family, type_class(p.ggml_type))
        * slower(p, ubatch_size, TYPICAL)
        for p in portion.parts
    )  # fmt: skip


def _prompt_s(device: Device, portion: Portion, ubatch_size: int) -> float:
    """Seconds of a prompt token besides multiplying, as they are typical; 0 where the bandwidth is unknown."""
    price = price_of(device, TYPICAL)
    if price is None:
        return 0.0
    free = replace(price, flop_s=dict.fromkeys(price.flop_s, 0.0), attention_s=0.0)
    return prompted_s(portion, free, ubatch_size, TYPICAL) + TYPICAL.device_prompt_s / ubatch_size


@dataclass(frozen=True, slots=True)
class CardConstants:
    """What one card was measured to reach: plain bytes read per second, and FLOP/s on prompts (None: not measured)."""

    bandwidth_bytes_per_s: float
    fp16_flops: float | None = None
    measured_at: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Measured constants by device id; `host_bandwidth_bytes_per_s` is what the CPU reached, None if not measured."""

    cards: Mapping[str, CardConstants] = field(default_factory=dict)
    hop_s: float = TYPICAL.several_s
    layer_s: float = TYPICAL.layer_s[DENSE]
    host_bandwidth_bytes_per_s: float | None = None


def calibrated_rig(rig: Rig, calibration: Calibration) -> Rig:
    """`rig` with the bandwidths and FLOP/s that its measured cards reached; the others stay as they are."""
    devices = tuple(_device(device, calibration.cards.get(device.id)) for device in rig.devices)
    host, reached = rig.host, calibration.host_bandwidth_bytes_per_s
    if reached is not None:
        sources = {**host.sources, "ram_bandwidth_bytes_per_s": CALIBRATED}
        host = replace(host, ram_bandwidth_bytes_per_s=reached / TYPICAL.host_share, sources=sources)
    return replace(rig, host=host, devices=devices)


def calibrated_constants(calibration: Calibration) -> Constants:
    """Constants for `calibrated_rig`: its measured cards reach all of what it says."""
    launches = calibration.layer_s / TYPICAL.layer_s[DENSE]
    cards = {name: (1.0, None if card.fp16_flops is None else 1.0) for name, card in calibration.cards.items()}
    layer_s = {name: seconds * launches for name, seconds in TYPICAL.layer_s.items()}
    return replace(TYPICAL, cards=cards, several_s=calibration.hop_s, layer_s=layer_s, basis=CALIBRATED)


def calibration_notes(plan: Plan, calibration: Calibration) -> tuple[str, ...]:
    """Which of the plan's cards are calibrated and when, in words."""
    used = [planned.device for planned in plan.devices]
    known = [device for device in used if device.id in calibration.cards]
    if not known:
        return ()
    words = ", ".join(f"{device.id} on {calibration.cards[device.id].measured_at[:10]}" for device in known)
    rest = ", ".join(device.id for device in used if device.id not in calibration.cards)
    more = f"; {rest} counts as is typical of its family" if rest else ""
    return (f"the speed is calibrated: measured on {words}{more}",)


def _device(device: Device, found: CardConstants | None) -> Device:
    if found is None:
        return device
    measured = ["bandwidth_bytes_per_s", *(["fp16_flops"] if found.fp16_flops is not None else [])]
    return replace(
        device,
        bandwidth_bytes_per_s=found.bandwidth_bytes_per_s,
        fp16_flops=device.fp16_flops if found.fp16_flops is None else found.fp16_flops,
        sources={**device.sources, **dict.fromkeys(measured, CALIBRATED)},
    )
