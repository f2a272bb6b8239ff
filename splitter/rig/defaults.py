"""What is assumed where neither a file nor a probe says: catalog values, free memory, RAM speed. Pure.

Every value filled in here is named in `sources` as "catalog" or "default".
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from splitter.rig.catalog import Card, Catalog, find
from splitter.rig.device import Device, Host
from splitter.units import MIB, from_mib, to_mib

CATALOG = "catalog"
DEFAULT = "default"

# Share of a card's memory that driver and ECC bookkeeping keep: CUDA shows 24135 of a 3090's 24576 MiB, 32109 of a
# 5090's 32607 (llama-server logs), that is 1.5-2 %.
DRIVER_SHARE = 0.02
# What a desktop holds on the card that shows it; browsers and compositors take more, a bare X server less.
DISPLAY_BYTES = {"linux": 400 * MIB, "windows": 700 * MIB, "macos": 0}
# Dual-channel DDR4-3200: 51.2 GB/s on paper, about 40 GB/s in memory-bound loops on all cores.
RAM_BANDWIDTH_BYTES_PER_S = 40e9
# Left to the operating system and other programs where a rig file does not say what is free.
RAM_FREE_SHARE = 0.85

_FROM_CATALOG = ("bandwidth_bytes_per_s", "compute_capability", "sm_count", "fp16_flops", "link_bytes_per_s")
_VENDOR_WORDS = {"amd": ("radeon", "instinct", "amd"), "intel": ("arc", "intel")}


def default_free_bytes(total_bytes: int, display: bool | None, os: str) -> int:
    """Free memory of an idle card in whole MiB: total less 2 % for the driver, less the desktop on the display card."""
    taken = int(total_bytes * DRIVER_SHARE) + (DISPLAY_BYTES[os] if display else 0)
    return from_mib(max(0, int(to_mib(total_bytes - taken))))


def default_ids(names_and_sizes: list[tuple[str, int]], catalog: Catalog) -> list[str]:
    """CUDA0, CUDA1, ... for NVIDIA cards and cards of unknown make; Vulkan0, ... for AMD and Intel."""
    counts: dict[str, int] = {}
    ids = []
    for name, size in names_and_sizes:
        backend = "CUDA" if vendor(name, find(catalog, name, size)) == "nvidia" else "Vulkan"
        ids.append(f"{backend}{counts.get(backend, 0)}")
        counts[backend] = counts.get(backend, 0) + 1
    return ids


def vendor(name: str, card: Card | None) -> str:
    """ "nvidia", "amd" or "intel"; a name that gives no sign is taken for NVIDIA."""
    if card is not None:
        return card.vendor
    words = set(name.lower().replace("(r)", " ").split())
    return next((maker for maker, signs in _VENDOR_WORDS.items() if words & set(signs)), "nvidia")


def fill_from_catalog(device: Device, catalog: Catalog) -> Device:
    """`device` with each unknown specification taken from the catalog's card of its name and size, if there is one."""
    card = find(catalog, device.name, device.total_bytes)
    if card is None:
        return device
    known = {field: getattr(card, field) for field in _FROM_CATALOG if getattr(device, field) is None}
    device = replace(device, family=card.family, measured=card.measured)
    return with_values(device, {field: value for field, value in known.items() if value is not None}, CATALOG)


def with_values(device: Device, values: Mapping[str, Any], source: str) -> Device:
    """`device` with `values` set and their source noted."""
    return replace(device, **values, sources={**device.sources, **dict.fromkeys(values, source)})


def fill_host(host: Host) -> Host:
    """`host` with free RAM (85 % of the total) and RAM speed (40 GB/s) assumed where they are unknown."""
    assumed: dict[str, Any] = {}
    if host.ram_free_bytes is None and host.ram_total_bytes is not None:
        assumed["ram_free_bytes"] = int(host.ram_total_bytes * RAM_FREE_SHARE)
    if host.ram_bandwidth_bytes_per_s is None:
        assumed["ram_bandwidth_bytes_per_s"] = RAM_BANDWIDTH_BYTES_PER_S
    return replace(host, **assumed, sources={**host.sources, **dict.fromkeys(assumed, DEFAULT)})
