"""Memory, load, heat, power and clocks of AMD and Intel cards, as Linux tells them.

Files: the kernel's amdgpu documentation (mem_info_vram_*, gpu_busy_percent) and Documentation/hwmon/sysfs-interface
(temperatures in thousandths of a degree, power in microwatts, frequencies in Hz, energy in microjoules).
"""

import re
from pathlib import Path

from splitter.rig.card_reading import CardReading
from splitter.rig.device import Device
from splitter.rig.nvml_devices import pci_order
from splitter.rig.sysfs import number, text


def read_sysfs_card(device: Device, drm: Path) -> CardReading:
    """The card in `device`'s PCI slot now; what the kernel does not tell is None."""
    folder = _folder(device, drm)
    if folder is None:
        return CardReading(device.id, device.name, device.uuid, total_bytes=device.total_bytes)
    total, used = number(folder / "mem_info_vram_total"), number(folder / "mem_info_vram_used")
    busy = number(folder / "gpu_busy_percent")
    monitor = next(iter(sorted((folder / "hwmon").glob("hwmon*"))), folder)
    sm_hz, memory_hz = number(monitor / "freq1_input"), number(monitor / "freq2_input")
    return CardReading(
        device.id,
        device.name,
        device.uuid,
        used_bytes=used,
        free_bytes=None if total is None or used is None else total - used,
        total_bytes=device.total_bytes if total is None else total,
        utilization=None if busy is None else busy / 100,
        temperature_c=_first(monitor, 1e3, "temp1_input", "temp2_input"),
        power_w=_first(monitor, 1e6, "power1_average", "power1_input"),
        power_limit_w=_first(monitor, 1e6, "power1_cap", "power1_max"),
        sm_clock_mhz=None if sm_hz is None else sm_hz // 1_000_000,
        memory_clock_mhz=None if memory_hz is None else memory_hz // 1_000_000,
        energy_j=_first(monitor, 1e6, "energy1_input"),
    )


def _folder(device: Device, drm: Path) -> Path | None:
    slot = pci_order(device.pci_bus_id or "")
    for card in sorted(drm.glob("card*")):
        address = re.search(r"^PCI_SLOT_NAME=(\S+)$", text(card / "device" / "uevent"), re.MULTILINE)
        if address and pci_order(address[1]) == slot:
            return card / "device"
    return None


def _first(monitor: Path, unit: float, *files: str) -> float | None:
    told = (number(monitor / file) for file in files)
    return next((value / unit for value in told if value is not None), None)
