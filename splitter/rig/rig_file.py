"""Rig files (design.md section 4): YAML text -> Rig and back. Pure."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from splitter.errors import RigError
from splitter.rig.backends import BackendName, vendor
from splitter.rig.catalog import Card, Catalog
from splitter.rig.defaults import (
    CATALOG,
    DEFAULT,
    default_free_bytes,
    default_ids,
    fill_from_catalog,
    fill_host,
    shared_bandwidth,
    unified_limit_bytes,
    with_values,
)
from splitter.rig.device import Device, Host, Rig
from splitter.rig.nodes import PREFIX, with_nodes
from splitter.rig.rig_keys import DEVICE_KEYS, HOST_KEYS, RIG_KEYS, read_values, refuse_unknown, write_values
from splitter.rig.yaml_text import parse_yaml
from splitter.units import GIB

FILE = "rig file"
MAX_DEVICES = 64
_EXAMPLE = "a device is at least {name: RTX 3060, total_mib: 12288}"


def parse_rig(text: str, where: str, default_name: str, catalog: Catalog, system: str) -> Rig:
    """The rig described by `text`; `where` names it in errors, `system` is the `os` when the file names none.

    Only `name` and `total_mib` are required per device. Unknown specifications come from the catalog, free memory
    and RAM speed from defaults; `sources` of each value says "rig file", "catalog" or "default". RigError for
    anything that is not a rig.
    """
    data = parse_yaml(text, where)
    if not isinstance(data, Mapping) or not isinstance(data.get("devices"), list):
        raise RigError(f"{where} has no list of devices", f"{_EXAMPLE}, in a list under `devices:`")
    refuse_unknown(data, RIG_KEYS, where)
    host = _host(data.get("host") or {}, where, system)
    devices = _devices(data["devices"], where, catalog, host.os)
    return with_nodes(Rig(_name(data, default_name, where), fill_host(host, shared_bandwidth(devices)), devices), ())


def _name(data: Mapping[str, Any], default_name: str, where: str) -> str:
    name = data.get("name", default_name)
    if not isinstance(name, str) or not name.strip():
        raise RigError(f"{where}: name must be a text, not {name!r}", "quote it")
    return name


def _host(data: Any, where: str, system: str) -> Host:
    values = read_values(data, HOST_KEYS, f"{where}, host")
    host = Host(**{"os": system, **values}, sources=dict.fromkeys(values, FILE))
    total, free = host.ram_total_bytes, host.ram_free_bytes
    if total is not None and free is not None and free > total:
        raise RigError(f"{where}, host: ram_free_mib is more than ram_mib", "free memory is a part of the total")
    if "os" not in values:
        host = replace(host, sources={**host.sources, "os": DEFAULT})
    return host


def _devices(rows: list[Any], where: str, catalog: Catalog, system: str) -> tuple[Device, ...]:
    if len(rows) > MAX_DEVICES:
        raise RigError(f"{where} lists {len(rows)} devices", f"at most {MAX_DEVICES} can be planned")
    given = [_required(read_values(row, DEVICE_KEYS, _place(where, i)), _place(where, i)) for i, row in enumerate(rows)]
    ids = _default_ids(given, catalog)
    devices = [_device(values, id_, catalog, system) for values, id_ in zip(given, ids, strict=True)]
    seen: set[str] = set()
    for i, device in enumerate(devices):
        if device.id in seen:
            raise RigError(f"{_place(where, i)}: the id {device.id} is taken", "each device has an id of its own")
        if device.node is None and (device.rtt_s is not None or device.node_link_bytes_per_s is not None):
            raise RigError(f"{_place(where, i)}: rtt_ms and link_gb_per_s describe the way to a node", "name the node")
        if device.free_bytes > device.total_bytes:
            raise RigError(f"{_place(where, i)}: free_mib is more than total_mib", "free memory is a part of the total")
        seen.add(device.id)
    return tuple(devices)


def _default_ids(given: list[dict[str, Any]], catalog: Catalog) -> list[str]:
    """Local devices as their own backend numbers them, those of other machines as llama.cpp's RPC does."""
    here = [(values["name"], values["total_bytes"]) for values in given if not values.get("node")]
    local, away = iter(default_ids(here, catalog)), (f"{PREFIX}{index}" for index in range(len(given)))
    return [next(away if values.get("node") else local) for values in given]


def _place(where: str, index: int) -> str:
    return f"{where}, device {index + 1}"


def _required(values: dict[str, Any], place: str) -> dict[str, Any]:
    for key in ("name", "total_mib"):
        if DEVICE_KEYS[key].field not in values:
            raise RigError(f"{place} has no {key}", _EXAMPLE)
    return values


def _device(values: dict[str, Any], default_id: str, catalog: Catalog, system: str) -> Device:
    sources = dict.fromkeys(values, FILE)
    device = Device(**{"id": default_id, "free_bytes": 0, **values}, sources=sources)
    if "id" not in values:
        device = with_values(device, {"id": default_id}, DEFAULT)
    if "free_bytes" not in values:
        free = default_free_bytes(device.total_bytes, device.display, system)
        device = with_values(device, {"free_bytes": free}, DEFAULT)
    return fill_from_catalog(device, catalog)


def rig_from_cards(
    cards: tuple[Card, ...],
    sized: tuple[bool, ...],
    name: str,
    catalog: Catalog,
    host: Host,
    *,
    backend: BackendName | None = None,
) -> Rig:
    """A rig of `cards` in this order; `sized` tells whose memory size the user gave. The first card has no display
    of its own: free memory is what a headless card has.

    A GPU that shares the host's memory brings its machine along: a chip that is sold with memory (GB10, Apple, Strix
    Halo) is the whole machine's RAM, any other takes its part of this host's.
    """
    host, pooled = _machine_of(cards, host)
    sizes = [pooled.get(card.name, card.total_bytes or 0) for card in cards]
    ids = default_ids([(card.name, size) for card, size in zip(cards, sizes, strict=True)], catalog, backend)
    devices = []
    for card, given, id_, total in zip(cards, sized, ids, sizes, strict=True):
        free = min(total, host.ram_free_bytes or total) if card.unified else default_free_bytes(total, None, host.os)
        sources = {"name": CATALOG, "total_bytes": "given" if given else CATALOG, "id": DEFAULT, "free_bytes": DEFAULT}
        device = Device(id_, card.name, total, free, sources=sources)
        devices.append(fill_from_catalog(device, catalog))
    notes = tuple(_pool_note(card, host, pooled[card.name]) for card in dict.fromkeys(cards) if card.unified)
    return Rig(name, fill_host(host, shared_bandwidth(devices)), tuple(devices), notes)


def _machine_of(cards: tuple[Card, ...], host: Host) -> tuple[Host, dict[str, int]]:
    """The host around `cards`, and what each GPU that shares its memory may take, by the card's name."""
    unified = [card for card in cards if card.unified]
    if not unified:
        return host, {}
    chip = max((card.total_bytes or 0 for card in unified), default=0)
    system = "macos" if any(card.vendor == "apple" for card in unified) else host.os
    speed = max(card.bandwidth_bytes_per_s for card in unified)
    if chip:
        told = dict.fromkeys(("ram_total_bytes", "ram_bandwidth_bytes_per_s", "os"), CATALOG)
        host = fill_host(Host(chip, None, speed, host.cores, system, {**host.sources, **told}))
    elif host.sources.get("ram_bandwidth_bytes_per_s") == DEFAULT:
        host = replace(host, ram_bandwidth_bytes_per_s=speed)
    ram = host.ram_total_bytes or 0
    return host, {card.name: unified_limit_bytes(ram, vendor(card.name, card)) for card in unified}


def _pool_note(card: Card, host: Host, limit_bytes: int) -> str:
    size = f"{(host.ram_total_bytes or 0) / GIB:.0f} GiB"
    taken = f"{card.name} shares the host's {size} of RAM and may take {limit_bytes / GIB:.0f} GiB of them"
    if card.vendor == "apple":
        return f'{taken}; name another size like "{card.name} 64GB"'
    return taken


def dump_rig(rig: Rig) -> str:
    """`rig` as a rig file that loads back to an equal rig (notes are not kept).

    Besides design.md's keys it may hold sm_count, fp16_tflops, pcie_gb_per_s, uuid, pci_bus_id, node_id and
    worker. A comment below each line names what was taken from the catalog or assumed.
    """
    lines = [f"name: {_flow(rig.name)}", f"host: {_flow(write_values(rig.host, HOST_KEYS))}{_assumed(rig.host)}"]
    lines.append("devices:" if rig.devices else "devices: []")
    lines += [f"  - {_flow(write_values(device, DEVICE_KEYS))}{_assumed(device)}" for device in rig.devices]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.removesuffix("...\n").strip()


def _assumed(value: Device | Host) -> str:
    keys = DEVICE_KEYS if isinstance(value, Device) else HOST_KEYS
    by_source: dict[str, list[str]] = {}
    for key, spec in keys.items():
        source = value.sources.get(spec.field)
        if key not in {"name", "id"} and source in {CATALOG, DEFAULT} and getattr(value, spec.field) is not None:
            by_source.setdefault(source, []).append(key)
    words = "; ".join(f"{source}: {', '.join(names)}" for source, names in by_source.items())
    return f"\n    # {words}" if words else ""


def nearest(name: str, known: tuple[str, ...]) -> str:
    """A hint naming the shipped rig that `name` looks like, or all of them."""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"the shipped rigs are {', '.join(known)}"
