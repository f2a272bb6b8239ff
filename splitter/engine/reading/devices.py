"""Which of the rig's devices an understood command uses, and in which order."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from splitter.engine.reading.value import ReadCommand
from splitter.errors import UsageError
from splitter.rig.backend import backend_of_id, prefix_of
from splitter.rig.device import Device, Rig

ALL_WORDS = {"all": True, "none": False, "void": False, "nodevfiles": False}  # NVIDIA_VISIBLE_DEVICES


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
    shown: list[Device] = []
    for prefix in dict.fromkeys(prefix_of(device.id) for device in rig.devices):
        devices = [device for device in rig.devices if prefix_of(device.id) == prefix]
        for variable in backend_of_id(prefix).variables:
            devices = _selected(env[variable], devices) if variable in env else devices
        shown += devices
    return tuple(shown)


def hiding_variables(device_ids: Iterable[str]) -> tuple[str, ...]:
    """The variables with which people hide devices of these backends, each once."""
    found = dict.fromkeys(backend_of_id(name).variable for name in device_ids)
    return tuple(name for name in found if name)


def _selected(wanted: str, devices: list[Device]) -> list[Device]:
    words = wanted.rpartition(":")[2] if re.match(r"[a-z_*]+:", wanted) else wanted  # level_zero:0,1
    if words in {*ALL_WORDS, "*"}:
        return devices if ALL_WORDS.get(words, True) else []
    chosen: list[Device] = []
    for entry in filter(None, (part.strip() for part in words.split(","))):
        found = _entry(entry, devices)
        if found is None or found in chosen:
            break
        chosen.append(found)
    return chosen


def _entry(entry: str, devices: list[Device]) -> Device | None:
    if entry.isdigit() and len(entry) < 4:
        return devices[int(entry)] if int(entry) < len(devices) else None
    return next((device for device in devices if device.uuid and device.uuid.startswith(entry)), None)


def _named(name: str, visible: tuple[Device, ...], rig: Rig) -> str:
    """`CUDA1` counts within the visible devices of its backend."""
    prefix, number = prefix_of(name), name[len(prefix_of(name)) :]
    same = [device.id for device in visible if prefix_of(device.id) == prefix]
    if number.isdigit() and len(number) < 4 and int(number) < len(same):
        return same[int(number)]
    if number.startswith("[") and name in same:
        return name
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
