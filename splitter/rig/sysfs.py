"""Asks Linux for AMD and Intel cards: /sys/class/drm/card*/device, and the files that name PCI ids.

Files: the kernel's amdgpu documentation (mem_info_vram_*, mem_info_gtt_*; Documentation/gpu/amdgpu) and
Documentation/ABI/testing/sysfs-bus-pci (vendor, device, revision, resource, uevent).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from splitter.rig.catalog import Catalog
from splitter.rig.nvml_devices import Detection
from splitter.rig.sysfs_devices import DrmCard, build_devices, pci_bar_bytes

DRM = Path("/sys/class/drm")
AMD_NAMES = (Path("/usr/share/libdrm/amdgpu.ids"), Path("/opt/amdgpu/share/libdrm/amdgpu.ids"))
PCI_NAMES = (Path("/usr/share/hwdata/pci.ids"), Path("/usr/share/misc/pci.ids"))


def detect(
    catalog: Catalog, drm: Path = DRM, amd_names: Sequence[Path] = AMD_NAMES, pci_names: Sequence[Path] = PCI_NAMES
) -> Detection:
    """The AMD and Intel cards with memory of their own, and why others are left out; nothing on other systems."""
    cards = tuple(read_cards(drm))
    if not cards:
        return Detection()
    return build_devices(cards, _first(amd_names), _first(pci_names), catalog)


def read_cards(drm: Path) -> Iterator[DrmCard]:
    """What the kernel says of each card; None where it does not say."""
    for folder in sorted(drm.glob("card*")):
        vendor = number(folder / "device" / "vendor", 16)
        if not re.fullmatch(r"card\d+", folder.name) or vendor is None:
            continue
        device = folder / "device"
        address = re.search(r"^PCI_SLOT_NAME=(\S+)$", text(device / "uevent"), re.MULTILINE)
        yield DrmCard(
            pci_bus_id=address[1] if address else device.resolve().name,
            vendor=vendor,
            device=number(device / "device", 16) or 0,
            revision=number(device / "revision", 16) or 0,
            product=text(device / "product_name").strip(),
            total_bytes=number(device / "mem_info_vram_total") or number(folder / "lmem_total_bytes"),
            used_bytes=number(device / "mem_info_vram_used"),
            shared_bytes=number(device / "mem_info_gtt_total"),
            shared_used_bytes=number(device / "mem_info_gtt_used"),
            bar_bytes=pci_bar_bytes(text(device / "resource")),
            display=any(text(status).strip() == "connected" for status in drm.glob(f"{folder.name}-*/status")),
        )


def text(path: Path) -> str:
    """A file's text; "" when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def number(path: Path, base: int = 10) -> int | None:
    """A file's number; None when there is none."""
    try:
        return int(text(path).strip(), base)
    except ValueError:
        return None


def _first(paths: Sequence[Path]) -> str:
    return next((told for path in paths if (told := text(path))), "")
