"""What the Linux kernel says of AMD and Intel cards -> devices. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitter.rig.catalog import Catalog, find
from splitter.rig.combine import is_integrated, worth_beside
from splitter.rig.defaults import DEFAULT, default_free_bytes, default_ids, fill_from_catalog
from splitter.rig.device import Device
from splitter.rig.nvml_devices import Detection, pci_order
from splitter.units import GIB

SYSFS = "sysfs"
AMD, INTEL, NVIDIA = 0x1002, 0x8086, 0x10DE
MAKERS = {AMD: "AMD", INTEL: "Intel"}
# Discrete Intel cards by PCI id (the kernel's include/drm/intel/pciids.h names the chips).
INTEL_CARDS = {
    0x56A0: "Intel Arc A770", 0x56A1: "Intel Arc A750", 0x56A2: "Intel Arc A580", 0x56A5: "Intel Arc A380",
    0x56A6: "Intel Arc A310", 0xE20B: "Intel Arc B580", 0xE20C: "Intel Arc B570",
}  # fmt: skip
# An APU's carve-out of the host's RAM; no card with less is of use.
LEAST_BYTES = GIB


@dataclass(frozen=True, slots=True)
class DrmCard:
    """One card as the kernel tells it. `bar_bytes` is its largest memory window: with resizable BAR all of it;
    `shared_bytes` what it may take of the host's RAM (amdgpu's GTT)."""

    pci_bus_id: str
    vendor: int
    device: int
    revision: int = 0
    product: str = ""
    total_bytes: int | None = None
    used_bytes: int | None = None
    shared_bytes: int | None = None
    shared_used_bytes: int | None = None
    bar_bytes: int | None = None
    display: bool = False


def build_devices(cards: Sequence[DrmCard], amd_names: str, pci_names: str, catalog: Catalog) -> Detection:
    """The AMD and Intel cards in PCI order, as Vulkan0, Vulkan1, ...; what is left out stands in the notes: a GPU that
    shares the host's RAM beside a card, or that does not tell how much of it it may take.

    `amd_names` is the text of libdrm's amdgpu.ids, `pci_names` that of pci.ids; both may be "".
    """
    devices: list[Device] = []
    integrated: list[tuple[Device | None, str]] = []
    notes: list[str] = []
    for card in sorted(cards, key=lambda card: pci_order(card.pci_bus_id)):
        if card.vendor == NVIDIA:
            notes.append(f"the NVIDIA card at {card.pci_bus_id} has no NVIDIA driver: it cannot be used")
        if card.vendor not in MAKERS:
            continue
        name = name_of(card, amd_names, pci_names)
        total = memory_of(card, name, catalog)
        if is_integrated(name) or (total is not None and total < LEAST_BYTES):
            shared = _integrated(card, name, catalog) if is_integrated(name) else None
            integrated.append((shared, f"{name} ({card.pci_bus_id}) is left out: it shares the host's RAM"))
        elif total is None:
            notes.append(f"{name} ({card.pci_bus_id}) does not report its memory: describe it in a rig file")
        else:
            devices.append(_device(card, name, total, catalog))
    known = [device for device, _ in integrated if device is not None]
    kept = worth_beside(known) if devices else known
    notes = [note for device, note in integrated if device not in kept] + notes
    devices = sorted((*devices, *kept), key=lambda device: pci_order(device.pci_bus_id or ""))
    ids = default_ids([(device.name, device.total_bytes) for device in devices], catalog)
    return Detection(tuple(_named(device, id_) for device, id_ in zip(devices, ids, strict=True)), tuple(notes))


def _integrated(card: DrmCard, name: str, catalog: Catalog) -> Device | None:
    """A GPU that shares the host's RAM: its carve-out and what amdgpu lets it take besides, as Vulkan counts it."""
    if card.total_bytes is None or card.shared_bytes is None:
        return None
    used = (card.used_bytes or 0) + (card.shared_used_bytes or 0)
    total = card.total_bytes + card.shared_bytes
    whole = _device(replace(card, total_bytes=total, used_bytes=used), name, total, catalog)
    return replace(whole, unified=True, sources={**whole.sources, "unified": SYSFS})


def name_of(card: DrmCard, amd_names: str, pci_names: str) -> str:
    """The card's public name: its own word, libdrm's by chip and revision, pci.ids' by chip, else its number."""
    maker = MAKERS[card.vendor]
    known = (
        card.product,
        _amd_name(card, amd_names) if card.vendor == AMD else INTEL_CARDS.get(card.device, ""),
        _pci_name(card, pci_names),
    )
    name = next((text for text in known if text), f"GPU {card.device:04x}")
    return name if name.startswith(maker) else f"{maker} {name}"


def _amd_name(card: DrmCard, text: str) -> str:
    """Lines of amdgpu.ids: device, revision, name, split by a comma and a tab, ids in hexadecimal."""
    row = re.search(rf"^{card.device:04X},\s*{card.revision:02X},\s*(.+?)\s*$", text, re.MULTILINE | re.IGNORECASE)
    return row[1] if row else ""


def _pci_name(card: DrmCard, text: str) -> str:
    """pci.ids: a vendor's line, then its devices one tab deep; a chip's public names stand in brackets."""
    _, _, rest = f"\n{text}".partition(f"\n{card.vendor:04x}  ")
    own = re.split(r"\n(?=[0-9a-f])", rest, maxsplit=1)[0]
    row = re.search(rf"^\t{card.device:04x}  (.+)$", own, re.MULTILINE)
    if row is None:
        return ""
    public = re.search(r"\[(.+)\]", row[1])
    return public[1] if public else row[1]


def memory_of(card: DrmCard, name: str, catalog: Catalog) -> int | None:
    """Bytes on the card: as told, else the catalog's, else a memory window of a GiB or more; None when unknown."""
    if card.total_bytes is not None:
        return card.total_bytes
    known = find(catalog, name, card.bar_bytes)
    if known is not None:
        return known.total_bytes
    return card.bar_bytes if card.bar_bytes is not None and card.bar_bytes >= LEAST_BYTES else None


def pci_bar_bytes(text: str) -> int | None:
    """The largest window of a PCI device's `resource` file, whose lines are start, end and flags."""
    rows = [line.split() for line in text.splitlines()]
    sizes = [int(row[1], 16) - int(row[0], 16) + 1 for row in rows if len(row) == 3 and int(row[1], 16)]
    return max(sizes, default=None)


def _device(card: DrmCard, name: str, total: int, catalog: Catalog) -> Device:
    told = card.total_bytes is not None and card.used_bytes is not None
    free = max(0, total - (card.used_bytes or 0)) if told else default_free_bytes(total, card.display, "linux")
    sources = {
        **dict.fromkeys(("name", "display", "pci_bus_id"), SYSFS),
        "total_bytes": SYSFS if card.total_bytes is not None else "catalog",
        "free_bytes": SYSFS if told else DEFAULT,
    }
    unnumbered = Device("", name, total, free, display=card.display, pci_bus_id=card.pci_bus_id, sources=sources)
    return fill_from_catalog(unnumbered, catalog)


def _named(device: Device, device_id: str) -> Device:
    return replace(device, id=device_id, sources={**device.sources, "id": DEFAULT})
