"""Which of the rig's devices an understood command uses, and in which order."""

import re
from collections.abc import Mapping
from typing import Any

from splitter.engine.reading.value import ReadCommand
from splitter.errors import UsageError
from splitter.rig.device import Device, Rig

# The variable that hides and reorders the devices of a backend, by the letters of their ids.
VISIBLE = {
    "CUDA": ("CUDA_VISIBLE_DEVICES",),
    "ROCm": ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
    "Vulkan": ("GGML_VK_VISIBLE_DEVICES",),
}


def device_order(read: ReadCommand, rig: Rig) -> tuple[str, ...]:
    """Ids (as in the rig) of the devices the command uses, in the order in which its split counts them.

    UsageError for a device that the rig does not have.
    """
    visible = visible_devices(read.env, rig)
    if "device_order" in read.settings:
        return tuple(_named(name, visible, rig) for name in read.settings["device_order"])
    if read.kind == "koboldcpp":
        return _kobold_devices(read, visible)
    return tuple(device.id for device in visible)


def named_devices(read: ReadCommand, rig: Rig) -> dict[str, Any]:
    """The devices of a draft model and a projector, by the rig's ids."""
    visible, found = visible_devices(read.env, rig), dict[str, Any]()
    if "draft_device_order" in read.settings:
        names = read.settings["draft_device_order"]
        found["draft_device_order"] = tuple(_named(name, visible, rig) for name in names)
    device = read.settings.get("mmproj_device")
    if device not in (None, "none"):
        found["mmproj_device"] = _named(device, visible, rig)
    return found


def visible_devices(env: Mapping[str, str], rig: Rig) -> tuple[Device, ...]:
    """The rig's devices that `env` lets the engine see, in that order.

    An entry that names no device hides itself and all behind it (the CUDA driver's rule).
    """
    hidden = {prefix: env[name] for prefix, names in VISIBLE.items() for name in names if name in env}
    kinds = dict.fromkeys(_prefix(device.id) for device in rig.devices)
    shown: list[Device] = []
    for prefix in kinds:
        devices = [device for device in rig.devices if _prefix(device.id) == prefix]
        shown += _selected(hidden[prefix], devices) if prefix in hidden else devices
    return tuple(shown)


def _selected(wanted: str, devices: list[Device]) -> list[Device]:
    chosen: list[Device] = []
    for entry in filter(None, (part.strip() for part in wanted.split(","))):
        found = _entry(entry, devices)
        if found is None or found in chosen:
            break
        chosen.append(found)
    return chosen


def _entry(entry: str, devices: list[Device]) -> Device | None:
    if entry.isdigit() and len(entry) < 4:
        return devices[int(entry)] if int(entry) < len(devices) else None
    return next((device for device in devices if device.uuid and device.uuid.startswith(entry)), None)


def _prefix(device_id: str) -> str:
    return re.sub(r"\d+$", "", device_id)


def _named(name: str, visible: tuple[Device, ...], rig: Rig) -> str:
    """`CUDA1` counts within the visible devices of its backend."""
    prefix, number = _prefix(name), name[len(_prefix(name)) :]
    same = [device.id for device in visible if _prefix(device.id) == prefix]
    if number and len(number) < 4 and int(number) < len(same):
        return same[int(number)]
    known = ", ".join(device.id for device in visible) or "none"
    raise UsageError(f"the rig {rig.name} shows the engine no device {name}", f"it shows: {known}")


def _kobold_devices(read: ReadCommand, visible: tuple[Device, ...]) -> tuple[str, ...]:
    """The lowest id of --usecuda hides all other cards, but only where no split is given; ids of --usevulkan choose."""
    flags = read.flags
    if flags.get("usecpu") or flags.get("noblas"):
        return ()
    if flags.get("usevulkan"):
        listed = flags["usevulkan"] if isinstance(flags["usevulkan"], list) else [flags["usevulkan"]]
        numbers = [int(str(item)) for item in listed if str(item).isdigit() and len(str(item)) < 4]
        return tuple(visible[number].id for number in dict.fromkeys(numbers) if number < len(visible))
    ids = usecuda_ids(read)
    if ids and "tensor_split" not in read.settings:
        # koboldcpp overwrites CUDA_VISIBLE_DEVICES here, so the number counts among all cards
        return tuple(device.id for device in visible[min(ids) : min(ids) + 1])
    return tuple(device.id for device in visible)


def usecuda_ids(read: ReadCommand) -> tuple[int, ...]:
    """The card numbers among the words of --usecuda."""
    words = read.flags.get("usecuda") or ()
    return tuple(int(word) for word in words if str(word).isdigit() and len(str(word)) < 4)
