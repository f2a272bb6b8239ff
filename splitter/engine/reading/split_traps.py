"""Traps in who gets how much: order, length and rounding of the split, the output layer, idle cards."""

from collections.abc import Iterator

from splitter.engine.reading.case import Case, Trap, numbers, shown
from splitter.engine.reading.devices import usecuda_ids
from splitter.plan.placement import in_ram
from splitter.plan.plan import Notice
from splitter.rig.backend import backend_of_id
from splitter.rig.device import Device
from splitter.units import format_bytes

CLEARLY = 1.25  # a card counts as faster or bigger than another from this ratio on


def cuda_order_unset(case: Case) -> Iterator[Notice]:
    """CUDA numbers the fastest card first unless CUDA_DEVICE_ORDER=PCI_BUS_ID."""
    if not (case.mixed and case.on_cuda()) or case.read.env.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return
    if case.kobold and _kobold_sets_order(case):
        return
    if not _order_matters(case):
        return
    fastest = max(case.rig.devices, key=lambda device: device.bandwidth_bytes_per_s or device.total_bytes)
    yield Notice(
        "cuda_order",
        "without CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA calls its fastest card CUDA0 "
        f"(here probably {fastest.name}), so the devices and the split may mean other cards than nvidia-smi shows",
        "set CUDA_DEVICE_ORDER=PCI_BUS_ID in front of the command",
    )


def _order_matters(case: Case) -> bool:
    named = case.given("tensor_split") or case.given("device_order") or case.given("main_gpu")
    return named or bool(set(case.read.env) & set(backend_of_id("CUDA").variables))


def _kobold_sets_order(case: Case) -> bool:
    """koboldcpp sets it itself: always from 1.93.2, with any word after --usecuda from 1.80, with an id from 1.71.1."""
    if case.release >= (1, 80):
        return case.release >= (1, 93, 2) or bool(case.read.flags.get("usecuda"))
    return case.release >= (1, 71, 1) and bool(usecuda_ids(case.read))


def split_length(case: Case) -> Iterator[Notice]:
    """More or fewer shares than devices."""
    split, count = case.read.settings.get("tensor_split", ()), len(case.devices)
    if not split or len(split) == count or count == 0:
        return
    if len(split) > count:
        yield Notice(
            "split_too_long",
            f"{case.split_flag()} has {len(split)} shares for {count} devices: the last {len(split) - count} "
            "are dropped, and the rest is shared without them",
            "give one share per device",
        )
        return
    idle = ", ".join(shown(device) for device in case.devices[len(split) :])
    yield Notice(
        "split_too_short",
        f"{case.split_flag()} has {len(split)} shares for {count} devices: {idle} gets no layers but still a context",
        "give one share per device, or hide the others from the engine",
    )


def split_order(case: Case) -> Iterator[Notice]:
    """A bigger share on a smaller card that cannot hold it: the order of the split is not the order of the devices."""
    split = case.settings.tensor_split
    pairs = list(zip(case.devices, split, strict=False))
    for index, (device, share) in enumerate(pairs):
        larger = [other for other, less in pairs if less < share and other.free_bytes > CLEARLY * device.free_bytes]
        if not larger or not _overfull(case, index):
            continue
        best = max(larger, key=lambda other: other.free_bytes)
        yield Notice(
            "split_order",
            f"the share {share:g} goes to {shown(device)}, a smaller share to {shown(best)}, which has more memory: "
            "the split seems to follow another order of the devices",
            f"the split counts the devices as {', '.join(shown(item) for item in case.devices)}",
        )
        return


def _overfull(case: Case, index: int) -> bool:
    return case.plan is not None and case.plan.devices[index].headroom_bytes() < 0


def split_rounding(case: Case) -> Iterator[Notice]:
    """A split that is not the layer counts themselves is rounded by the engine, layer by layer."""
    split = case.settings.tensor_split
    if (
        not split
        or case.plan is None
        or case.plan.engine.placement
        or case.settings.split_mode != "layer"
        or len(split) < 2
    ):
        return
    owners = [owner for owner in case.plan.placement.layers if owner is not None]
    counts = tuple(owners.count(index) for index in range(len(split)))
    if not owners or counts == split or counts == tuple(share * len(owners) / sum(split) for share in split):
        return
    separator = " " if case.kobold else ","
    yield Notice(
        "split_rounding",
        f"{case.split_flag()} {numbers(split, separator)} is rounded to {numbers(counts, ' + ')} layers",
        f"write the layers themselves, which nothing can round: {case.split_flag()} {numbers(counts, separator)}",
    )


def share_zero(case: Case) -> Iterator[Notice]:
    """A device with share 0 holds no layer but still opens a context (plan.warn says the same of any idle device)."""
    given = case.read.settings.get("tensor_split", ())
    if not any(given) or (case.plan and any(warning.code == "idle_device" for warning in case.plan.warnings)):
        return
    for device, share in zip(case.devices, given, strict=False):
        if share == 0:
            text = f"{shown(device)} has share 0 but the engine still opens a context on it"
            yield Notice("share_zero", text, case.how_to_hide(device))


def output_on_weakest(case: Case) -> Iterator[Notice]:
    """The output layer and the logits buffer land on the last device with a share.

    Where something is in RAM the strongest may well be first, for it multiplies prompts for the host: as long as the
    weakest has the room.
    """
    if case.plan is None or case.settings.split_mode != "layer":
        return
    if case.plan.fits() and in_ram(case.settings, case.plan.placement):
        return
    used = [device for device in case.plan.devices if device.layers or device.holds_output]
    holder = next((device.device for device in used if device.holds_output), None)
    others = [device.device for device in used if device.device is not holder]
    if holder is None or not others or not all(_stronger(other, holder) for other in others):
        return
    strongest = max(others, key=lambda device: device.bandwidth_bytes_per_s or device.total_bytes)
    remedy = (case.hiding_variable() or "--device") if case.kobold else "--device"
    yield Notice(
        "output_on_weakest",
        f"the output layer and its buffer land on {shown(holder)}, the weakest of the used cards, because it is last",
        f"put {shown(strongest)} last with {remedy} and turn the split with it",
    )


def _stronger(other: Device, holder: Device) -> bool:
    if other.bandwidth_bytes_per_s and holder.bandwidth_bytes_per_s:
        return other.bandwidth_bytes_per_s > CLEARLY * holder.bandwidth_bytes_per_s
    return other.total_bytes > CLEARLY * holder.total_bytes


def experts_pile_up(case: Case) -> Iterator[Notice]:
    """-ncmoe N with a layer split: the experts that stay on cards are those of the last layers, on the last card."""
    if case.plan is None or case.read.fork is not None or not case.settings.n_cpu_moe:
        return
    from splitter.engine.reading.blame import piled_experts

    piled = piled_experts(case.plan)
    if piled:
        hint = f"{case.split_flag()} counts layers, not bytes: give the last card fewer of them"
        yield Notice("experts_pile_up", piled, hint)


def main_gpu_ignored(case: Case) -> Iterator[Notice]:
    """-mg means something in -sm none only (and in row mode, which is gone)."""
    if case.given("main_gpu") and case.settings.split_mode == "layer" and len(case.devices) > 1:
        yield Notice(
            "main_gpu_ignored",
            "the main GPU does nothing when layers are split",
            "leave it out, or use -sm none to run on one card",
        )


def context_default(case: Case) -> Iterator[Notice]:
    """Nobody said how long the context is."""
    if case.read.settings.get("context_size", 0):
        return
    size = case.settings.context_size
    if case.kobold:
        name = "this koboldcpp" if case.release[0] > 1 else f"koboldcpp {'.'.join(map(str, case.release[:2]))}"
        yield Notice(
            "context_default",
            f"--contextsize is missing: {name} takes {size}; other releases take 2048, 4096, 8192, 12288 or 16384",
            "always give --contextsize",
        )
    elif "context_size" not in case.read.settings:
        held = sum(device.memory.context_bytes for device in case.plan.devices) if case.plan else None
        cost = f" ({format_bytes(held)} on the devices)" if held else ""
        yield Notice("context_default", f"-c is missing: the context is {size} tokens{cost}", "give -c TOKENS")


SPLIT_TRAPS: tuple[Trap, ...] = (
    cuda_order_unset, split_length, split_order, split_rounding, share_zero, output_on_weakest, experts_pile_up,
    main_gpu_ignored, context_default,
)  # fmt: skip
