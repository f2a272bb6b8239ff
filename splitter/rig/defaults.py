"""What is assumed where neither a file nor a probe says: catalog values, free memory, RAM speed. Pure.

Every value filled in here is named in `sources` as "catalog" or "default".
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from splitter.rig.backends import BackendName, choose_backend, numbered, refuse_other_makers
from splitter.rig.catalog import Catalog, find
from splitter.rig.device import Device, Host
from splitter.units import GIB, MIB, from_mib, to_mib

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

_FROM_CATALOG = ("bandwidth_bytes_per_s", "compute_capability", "sm_count", "fp16_flops", "link_bytes_per_s", "unified")
# What Metal lets a GPU take of the RAM (recommendedMaxWorkingSetSize as llama.cpp prints it): 10922 MiB of 16 GiB,
# 21845 of 32, 27648 of 36, 49152 of 64, 98304 of 128. `sudo sysctl iogpu.wired_limit_mb=N` changes it.
METAL_SMALL_BYTES = 32 * GIB
# Linux' amdgpu (ttm pages_limit), Intel's drivers and Windows give a GPU without memory of its own half of the RAM.
DRIVER_LIMIT_SHARE = 0.5


def default_free_bytes(total_bytes: int, display: bool | None, os: str) -> int:
    """Free memory of an idle card in whole MiB: total less 2 % for the driver, less the desktop on the display card."""
    taken = int(total_bytes * DRIVER_SHARE) + (DISPLAY_BYTES[os] if display else 0)
    return from_mib(max(0, int(to_mib(total_bytes - taken))))


def default_ids(
    names_and_sizes: list[tuple[str, int]], catalog: Catalog, backend: BackendName | None = None
) -> list[str]:
    """CUDA0, CUDA1, ... for NVIDIA cards and cards of unknown make; Vulkan0, ... where others are among them.

    `backend` chooses instead; RigError for a card that it does not drive.
    """
    cards = [(name, find(catalog, name, size)) for name, size in names_and_sizes]
    if backend is not None:
        refuse_other_makers(backend, cards)
    return numbered(backend or choose_backend(cards), len(cards))


def unified_limit_bytes(ram_bytes: int, vendor: str) -> int:
    """The most that a GPU without memory of its own may take of `ram_bytes`: Metal's and the drivers' defaults.

    CUDA's integrated GPUs (GB10, Jetson) may take all of it.
    """
    if vendor == "apple":
        return ram_bytes * 2 // 3 if ram_bytes <= METAL_SMALL_BYTES else ram_bytes * 3 // 4
    return ram_bytes if vendor == "nvidia" else int(ram_bytes * DRIVER_LIMIT_SHARE)


def fill_from_catalog(device: Device, catalog: Catalog) -> Device:
    """`device` with each unknown specification taken from the catalog's card of its name and size, if there is one."""
    card = find(catalog, device.name, device.total_bytes)
    if card is None:
        return device
    known = {field: getattr(card, field) for field in _FROM_CATALOG if getattr(device, field) is None}
    device = replace(device, family=card.family, measured=card.measured)
    return with_values(device, {field: value for field, value in known.items() if value not in {None, False}}, CATALOG)


def with_values(device: Device, values: Mapping[str, Any], source: str) -> Device:
    """`device` with `values` set and their source noted."""
    return replace(device, **values, sources={**device.sources, **dict.fromkeys(values, source)})


def shared_bandwidth(devices: Iterable[Device]) -> float | None:
    """The speed of the RAM, bytes/s, where a GPU of this machine uses it too; None where none does."""
    return max((d.bandwidth_bytes_per_s or 0.0 for d in devices if d.unified and d.node is None), default=None)


def fill_host(host: Host, unified_bytes_per_s: float | None = None) -> Host:
    """`host` with free RAM (85 % of the total) and RAM speed (40 GB/s, or that of the GPU that shares it) assumed where
    they are unknown."""
    assumed: dict[str, Any] = {}
    if host.ram_free_bytes is None and host.ram_total_bytes is not None:
        assumed["ram_free_bytes"] = int(host.ram_total_bytes * RAM_FREE_SHARE)
    if host.ram_bandwidth_bytes_per_s is None:
        assumed["ram_bandwidth_bytes_per_s"] = unified_bytes_per_s or RAM_BANDWIDTH_BYTES_PER_S
    return replace(host, **assumed, sources={**host.sources, **dict.fromkeys(assumed, DEFAULT)})
