"""The engine's listing, the driver's answers and the catalog -> devices. Pure. The engine has the last word."""

import re
from collections.abc import Iterable, Sequence

from splitter.rig.backend import prefix_of
from splitter.rig.backends import DEVICE_NAMES, BackendName
from splitter.rig.card_name import read_name
from splitter.rig.catalog import SIZE_TOLERANCE, Catalog, find
from splitter.rig.defaults import fill_from_catalog, with_values
from splitter.rig.device import Device
from splitter.rig.listed import ListedDevice
from splitter.rig.nvml_devices import NVML, Detection
from splitter.units import MIB

ENGINE = "engine"
# Seen: 561 MiB on an RTX PRO 6000, 527 on an H200 (driver 580, build 11434: 142629 MiB listed, 143156 free by NVML).
LARGEST_CONTEXT_BYTES = 640 * MIB
_FROM_DRIVER = ("bandwidth_bytes_per_s", "compute_capability", "sm_count", "link_bytes_per_s", "display", "uuid",
                "pci_bus_id")  # fmt: skip
# GPUs that share the host's RAM (GGML_BACKEND_DEVICE_TYPE_IGPU, which the listing does not tell): names of Intel's and
# AMD's. An Arc is one unless it has a model such as A770, B580.
INTEGRATED = re.compile(
    r"(hd|iris|xe|intel) graphics|radeon(\(tm\))? graphics|vega \d+ graphics|radeon(\(tm\))? (\d{3}m|80[456]0s)|"
    r"^apple |nvidia (gb10|thor)|\borin\b|xavier"
)
# Two channels of DDR5 carry about 90 GB/s; integrated GPUs with four and more are built for models.
WIDE_BYTES_PER_S = 200e9
ARC = re.compile(r"\barc\b")
ARC_CARD = re.compile(r"\barc(\(tm\))? (pro )?[ab]\d\d")


def combine(
    listed: Sequence[ListedDevice], driver: Sequence[Device], catalog: Catalog, asked: BackendName | None = None
) -> Detection:
    """The listed devices, enriched; left out, with a note: cards that a second backend shows again, slow integrated
    GPUs beside cards. `asked` takes the devices of one backend alone."""
    if asked is not None:
        listed = [row for row in listed if prefix_of(row.id) in {DEVICE_NAMES[asked], "RPC"}]
    once = _without_doubles(listed)
    discrete = [row for row in once if not is_integrated(row.name) or _is_wide(row, catalog)]
    kept = discrete or once
    notes = [
        f"{row.id} ({row.name}) is left out: another backend shows the same card" for row in listed if row not in once
    ]
    notes += [f"{row.id} ({row.name}) is left out: it shares the host's RAM" for row in once if row not in kept]
    unmatched = list(driver)
    devices = []
    for row in kept:
        match = _driver_device(row, unmatched)
        if match is not None:
            unmatched.remove(match)
        devices.append(_device(row, match, catalog))
    return Detection(tuple(devices), tuple(notes))


def worth_beside(devices: Iterable[Device]) -> tuple[Device, ...]:
    """Those that are worth a place beside cards: the ones with memory of their own, or with a machine's fast RAM."""
    return tuple(d for d in devices if not d.unified or (d.bandwidth_bytes_per_s or 0) >= WIDE_BYTES_PER_S)


def _is_wide(row: ListedDevice, catalog: Catalog) -> bool:
    """Whether an integrated GPU is worth a card's place: Strix Halo, GB10, Apple."""
    card = find(catalog, row.name, row.total_bytes)
    return card is not None and card.bandwidth_bytes_per_s >= WIDE_BYTES_PER_S


def is_integrated(name: str) -> bool:
    """Whether a device of this name uses the host's RAM."""
    plain = name.lower().replace("(r)", "")
    if ARC.search(plain):
        return ARC_CARD.search(plain) is None
    return INTEGRATED.search(plain) is not None


def _without_doubles(listed: Iterable[ListedDevice]) -> list[ListedDevice]:
    first_backend: dict[tuple[str, ...], str] = {}
    kept = []
    for row in listed:
        words = read_name(row.name).words
        if prefix_of(row.id) == "RPC" or first_backend.setdefault(words, prefix_of(row.id)) == prefix_of(row.id):
            kept.append(row)
    return kept


def _driver_device(row: ListedDevice, driver: Sequence[Device]) -> Device | None:
    """The driver's device of this line: both are in PCI order, so the first of that name and size is it."""
    words = read_name(row.name).words
    for device in driver:
        near = abs(device.total_bytes - row.total_bytes) <= SIZE_TOLERANCE * device.total_bytes
        if near and read_name(device.name).words == words:
            return device
    return None


def _device(row: ListedDevice, match: Device | None, catalog: Catalog) -> Device:
    """The listed device, with the driver's facts of its card.

    The engine lists what is free beside its own context, the driver what is free before there is one; as long as that
    explains the difference, the driver's figure stands, for the context is part of every plan's overhead.
    """
    sources = dict.fromkeys(("id", "name", "total_bytes", "free_bytes"), ENGINE)
    device = Device(row.id, row.name, row.total_bytes, row.free_bytes, sources=sources)
    for field in _FROM_DRIVER if match else ():
        if match and getattr(match, field) is not None:
            device = with_values(device, {field: getattr(match, field)}, match.sources.get(field, NVML))
    if match and prefix_of(row.id) == "CUDA" and 0 < match.free_bytes - row.free_bytes <= LARGEST_CONTEXT_BYTES:
        free = min(match.free_bytes, row.total_bytes)  # an idle card: the two round differently
        device = with_values(device, {"free_bytes": free}, match.sources.get("free_bytes", NVML))
    if is_integrated(row.name) and prefix_of(row.id) != "RPC":
        device = with_values(device, {"unified": True}, ENGINE)
    return fill_from_catalog(device, catalog)
