"""A shortage of memory -> what is now believed of the card -> a stricter plan, and the sentence that says what changed.

The engine tells which allocation failed, not how much was missing. What the device held by then plus what it was asked
for is more than it has: true usable memory < held + asked. From that bound each further failure of the same card steps
back twice as far, so that a few starts are enough. Where the engine's log told what it found free, that decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from splitter.engine.lessons import OUT_OF_MEMORY, Lesson
from splitter.engine.log.shortage import Shortage
from splitter.memory.setting_table import flag_of
from splitter.plan.overhead import context_bytes
from splitter.plan.plan import Plan, PlannedDevice
from splitter.rig.device import Device
from splitter.units import format_bytes

FIRST_STEP = (
    1 / 10
)  # of a card's memory: the least that a first failure takes away; loading a big model again costs minutes
# Settings that a message names by their flags.
NAMED = (
    "context_size",
    "ubatch_size",
    "cache_type_k",
    "cache_type_v",
    "n_cpu_moe",
    "split_mode",
    "device_order",
)
CERTAIN_BYTES = 1  # "less than" in whole bytes


@dataclass(frozen=True, slots=True)
class Learnt:
    """What one failure taught, by device id: bytes of the reported free memory that are not there, and bytes that
    others have taken since it was asked for."""

    missing: Mapping[str, int]
    taken: Mapping[str, int] = field(default_factory=dict)


def learn(plan: Plan, short: Shortage) -> Learnt:
    """What `short` says about the rig's devices, beyond what `plan` already reckoned with."""
    missing = {device.id: _told(plan, device, short) for device in plan.rig.devices}
    failed = next((d for d in plan.devices if d.device.id == short.device), None) or _fullest(plan)
    if failed is not None:
        name, known = failed.device.id, _known(failed)
        bound = known + max(0, _usable(failed) - _bound(failed, short))
        least = 0 if missing[name] > known else _least_step(failed, known)
        missing[name] = max(missing[name], bound, least)
    before = {device.device.id: _known(device) for device in plan.devices}
    return Learnt({name: size for name, size in missing.items() if size > before.get(name, 0)})


def as_it_is_now(plan: Plan, free_now: Mapping[str, int]) -> Plan:
    """`plan` on its rig with what is free now, where that is less than was reported."""
    rig = plan.rig.with_no_more_free(free_now)
    planned = (replace(used, device=rig.device(used.device.id)) for used in plan.devices)
    return replace(plan, rig=rig, devices=tuple(planned))


def taken_since(plan: Plan, now: Plan) -> dict[str, int]:
    """What others took of the cards that `plan` uses, by device id, where the free memory of `now` cannot hold it."""
    pairs = zip(plan.devices, now.devices, strict=True)
    return {
        was.device.id: was.device.free_bytes - left.device.free_bytes
        for was, left in pairs
        if left.used_bytes() > left.device.free_bytes < was.device.free_bytes
    }


def lessons(plan: Plan, learnt: Learnt) -> dict[str, Lesson]:
    """The lessons by device id, with the free memory that was reported when they were learnt."""
    return {name: Lesson(size, plan.rig.device(name).free_bytes) for name, size in learnt.missing.items()}


def _known(device: PlannedDevice) -> int:
    """What the plan already believed missing there."""
    return sum(size for name, size in device.memory.overhead if name == OUT_OF_MEMORY)


def _told(plan: Plan, device: Device, short: Shortage) -> int:
    """What the engine found free, against what a rig file promised; 0 where it told nothing, or the driver was asked.

    The driver's figure then and the engine's at its start differ by what others held at that moment: no lesson. The
    engine looks from inside its own context, so that this part of the plan's overhead is gone already.
    """
    told = short.free_bytes.get(device.id)
    if told is None or device.asked:
        return 0
    planned = next((d for d in plan.devices if d.device.id == device.id), None)
    inside = context_bytes(planned.memory.overhead) if planned else 0
    return max(0, device.free_bytes - told - inside)


def _fullest(plan: Plan) -> PlannedDevice | None:
    """Whom to blame where the log names nobody."""
    return min(plan.devices, key=PlannedDevice.headroom_bytes, default=None)


def _usable(device: PlannedDevice) -> int:
    """What the plan believed that buffers may fill."""
    return device.device.free_bytes - device.memory.overhead_bytes()


def _bound(device: PlannedDevice, short: Shortage) -> int:
    """The most that buffers can fill on the device, as the failure shows."""
    use = device.memory
    asked = short.size_bytes or 0
    planned = {
        "model": max(use.model_bytes, asked),
        "context": use.model_bytes + max(use.context_bytes, asked),
        "compute": use.model_bytes + use.context_bytes + (asked or use.compute_bytes),
        "running": use.breakdown_bytes() + asked,
    }[short.stage]
    if short.held_bytes is not None and short.size_bytes is not None:
        planned = min(planned, short.held_bytes + short.size_bytes)
    return planned - CERTAIN_BYTES


def _least_step(device: PlannedDevice, known: int) -> int:
    """A first step, or twice what was not enough."""
    return max(round(device.device.total_bytes * FIRST_STEP), 2 * known)


def what_changed(before: Plan, after: Plan, learnt: Learnt) -> str:
    """One sentence: what is believed now, and what the plan does about it."""
    cards = [f"other programs have taken {format_bytes(size)} of {name}" for name, size in learnt.taken.items()]
    cards += [f"{name} has {format_bytes(size)} less than reported" for name, size in learnt.missing.items()]
    changes = differences(before, after)
    return f"{' and '.join(cards) or 'memory ran out'}: {changes}"


def differences(before: Plan, after: Plan) -> str:
    """What another plan does differently, in words."""
    return "; ".join(_differences(before, after)) or "the plan stays as it was"


def _differences(before: Plan, after: Plan) -> list[str]:
    parts = [text for text in (_moved(before, after), *_flags(before, after)) if text]
    old, new = before.speed.generation_tokens_per_s, after.speed.generation_tokens_per_s
    if parts and old and new and f"{old:.1f}" != f"{new:.1f}":
        parts.append(f"expect {new:.1f} tokens per second instead of {old:.1f}")
    return parts


def _moved(before: Plan, after: Plan) -> str:
    """ "2 layers fewer on CUDA0, 2 more in RAM"."""
    names = list(dict.fromkeys(d.device.id for d in (*before.devices, *after.devices)))
    was, now = _layers(before), _layers(after)
    changes = [(name, now.get(name, 0) - was.get(name, 0)) for name in (*names, "RAM")]
    return ", ".join(_change(name, count) for name, count in changes if count)


def _change(name: str, count: int) -> str:
    layers = "layer" if abs(count) == 1 else "layers"
    return f"{abs(count)} {layers} {'more' if count > 0 else 'fewer'} {_where(name)}"


def _where(name: str) -> str:
    return "in RAM" if name == "RAM" else f"on {name}"


def _layers(plan: Plan) -> dict[str, int]:
    held = {d.device.id: len(d.layers) + d.holds_output for d in plan.devices}
    return {**held, "RAM": plan.facts.layers + 1 - plan.settings.gpu_layers}


def _flags(before: Plan, after: Plan) -> list[str]:
    """The settings that changed besides the layers' places."""
    pairs = ((flag_of(name), getattr(before.settings, name), getattr(after.settings, name)) for name in NAMED)
    return [f"{flag} {_said(new)} instead of {_said(old)}" for flag, old, new in pairs if new != old]


def _said(value: Any) -> str:
    """A value as its flag takes it."""
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
