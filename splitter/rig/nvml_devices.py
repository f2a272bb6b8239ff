"""NVML's answers to devices, numbered as the engine will number them. Pure.

NVML: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from splitter.rig.catalog import Catalog, find, link_bytes_per_s, matches
from splitter.rig.defaults import CATALOG, fill_from_catalog, with_values
from splitter.rig.device import Device

NVML = "nvml"
# FP32 cores per SM (CUDA programming guide, "arithmetic instructions"); NVML tells cores only.
CORES_PER_SM = {(6, 0): 64, (6, 1): 128, (6, 2): 128, (7, 0): 64, (7, 2): 64, (7, 5): 64, (8, 0): 64}
CORES_PER_SM_SINCE_AMPERE = 128
# A driver's bandwidth further off than this from the public one is not believed.
BANDWIDTH_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What the driver said of one GPU; None where it would not say. Clock in MHz, width in bits, capability (8, 6)."""

    name: str
    pci_bus_id: str
    total_bytes: int | None = None
    free_bytes: int | None = None
    uuid: str | None = None
    memory_clock_mhz: int | None = None
    bus_bits: int | None = None
    capability: tuple[int, int] | None = None
    cores: int | None = None
    display: bool | None = None
    pcie_generation: int | None = None
    pcie_lanes: int | None = None
    mig: bool = False
    unified: bool | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """The devices a probe found, and its findings in words for the user."""

    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()


def build_devices(
    readings: Sequence[GpuReading], visible: str | None, catalog: Catalog, ram_bytes: tuple[int, int] | None = None
) -> Detection:
    """The devices CUDA will show, CUDA0 first, under CUDA_DEVICE_ORDER=PCI_BUS_ID and CUDA_VISIBLE_DEVICES=`visible`.

    A GPU in MIG mode or without a memory figure is left out, with a note; but one that shares the host's memory (GB10,
    Jetson) has the host's: `ram_bytes`, in all and free (CUDA itself asks for MemAvailable there, ggml-cuda.cu).
    """
    readings = [_with_host_memory(reading, catalog, ram_bytes) for reading in readings]
    ordered = sorted(readings, key=lambda reading: pci_order(reading.pci_bus_id))
    shown = select_visible(ordered, visible)
    notes = []
    if len(shown) < len(ordered):
        notes.append(f"CUDA_VISIBLE_DEVICES={visible!r} shows {len(shown)} of {len(ordered)} NVIDIA GPUs")
    usable = [reading for reading in shown if not reading.mig and reading.total_bytes is not None]
    notes += [_why_unusable(reading) for reading in shown if reading not in usable]
    devices = []
    for i, reading in enumerate(usable):
        index = ordered.index(reading)
        devices.append(replace(_device(reading, f"CUDA{i}", catalog), driver_index=None if index == i else index))
    return Detection(tuple(devices), tuple(notes))


def _with_host_memory(reading: GpuReading, catalog: Catalog, ram_bytes: tuple[int, int] | None) -> GpuReading:
    if reading.total_bytes is not None or ram_bytes is None or not matches(catalog, reading.name, ram_bytes[0]):
        return reading
    if not all(card.unified for card in matches(catalog, reading.name, ram_bytes[0])):
        return reading
    return replace(reading, total_bytes=ram_bytes[0], free_bytes=ram_bytes[1], unified=True)


def _why_unusable(reading: GpuReading) -> str:
    if reading.mig:
        return f"{reading.name} is in MIG mode: name an engine with --engine-path, whose listing shows the instances"
    return f"{reading.name} does not report its memory (shared with the host or virtual): describe it in a rig file"


def pci_order(bus_id: str) -> tuple[int, ...]:
    """Sort key of "00000000:0A:00.0": domain, bus, device, function; CUDA's order with PCI_BUS_ID."""
    return tuple(int(part, 16) for part in re.findall(r"[0-9A-Fa-f]+", bus_id))


def select_visible(ordered: Sequence[GpuReading], visible: str | None) -> list[GpuReading]:
    """The GPUs that CUDA_VISIBLE_DEVICES lets through, in its order: indices in PCI order or UUIDs, maybe shortened.

    As CUDA does it: nothing after the first entry that names no GPU, no GPU at all if one is named twice
    (CUDA programming guide, "CUDA environment variables").
    """
    if visible is None:
        return list(ordered)
    shown: list[GpuReading] = []
    for entry in visible.split(","):
        named = _named(ordered, entry.strip())
        if named is None:
            break
        if named in shown:
            return []
        shown.append(named)
    return shown


def _named(ordered: Sequence[GpuReading], entry: str) -> GpuReading | None:
    if entry.isascii() and entry.isdigit():
        return ordered[int(entry)] if int(entry) < len(ordered) else None
    found = [r for r in ordered if r.uuid and entry.startswith("GPU-") and r.uuid.startswith(entry)]
    return found[0] if len(found) == 1 else None


def _device(reading: GpuReading, device_id: str, catalog: Catalog) -> Device:
    total = reading.total_bytes or 0
    free = total if reading.free_bytes is None else reading.free_bytes
    device = Device(device_id, reading.name, total, free)
    told: dict[str, Any] = {
        "bandwidth_bytes_per_s": bandwidth(reading),
        "compute_capability": None if reading.capability is None else "{}.{}".format(*reading.capability),
        "sm_count": sm_count(reading),
        "link_bytes_per_s": _link(reading),
        "display": reading.display,
        "uuid": reading.uuid,
        "pci_bus_id": reading.pci_bus_id,
        "unified": reading.unified,
    }
    told = {field: value for field, value in told.items() if value is not None}
    device = with_values(device, told, NVML)
    named = dict.fromkeys(("id", "name", "total_bytes", "free_bytes"), NVML)
    return believable(fill_from_catalog(replace(device, sources={**named, **device.sources}), catalog), catalog)


def bandwidth(reading: GpuReading) -> float | None:
    """Bytes/s = 2 x maximal memory clock x bus width / 8.

    NVML's memory clock is half the data rate for GDDR5 to GDDR7 and HBM alike (3060: 7501 MHz, 15 Gbit/s; 3090:
    9751 MHz, 19.5; V100: 877 MHz, 1.75; 5090: 14001 MHz, 28). It fails where the driver reports a power state's clock
    (laptops, P106, vGPU): then `believable` prefers the catalog.
    """
    if not reading.memory_clock_mhz or not reading.bus_bits:
        return None
    return 2e6 * reading.memory_clock_mhz * reading.bus_bits / 8


def sm_count(reading: GpuReading) -> int | None:
    """Streaming multiprocessors, from the core count and the generation's cores per SM."""
    if not reading.cores or reading.capability is None or reading.capability < (6, 0):
        return None
    return reading.cores // CORES_PER_SM.get(reading.capability, CORES_PER_SM_SINCE_AMPERE)


def _link(reading: GpuReading) -> float | None:
    if not reading.pcie_generation or not reading.pcie_lanes:
        return None
    return link_bytes_per_s(reading.pcie_generation, reading.pcie_lanes)


def believable(device: Device, catalog: Catalog) -> Device:
    """`device` with the catalog's bandwidth if its own is more than 10 % off."""
    card = find(catalog, device.name, device.total_bytes)
    told = device.bandwidth_bytes_per_s
    if card is None or told is None or abs(told / card.bandwidth_bytes_per_s - 1) <= BANDWIDTH_TOLERANCE:
        return device
    return with_values(device, {"bandwidth_bytes_per_s": card.bandwidth_bytes_per_s}, CATALOG)
