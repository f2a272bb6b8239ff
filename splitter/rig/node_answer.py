"""What another machine says of its cards, read as a stranger's word: sizes, kinds, characters are checked. Pure."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from splitter.errors import RigError
from splitter.printable import printable
from splitter.rig.defaults import with_values
from splitter.rig.device import Device
from splitter.rig.listed import ListedDevice
from splitter.rig.rig_file import MAX_DEVICES

MOST_BYTES = 1 << 18
MOST_DEPTH = 12
LARGEST_BYTES, LARGEST_RATE = 1 << 47, 1e17
SOURCE = "node"
_RATES = ("bandwidth_bytes_per_s", "fp16_flops", "link_bytes_per_s")
_HINT = "update splitter there; until then describe its cards in a rig file: `splitter node add NAME HOST --rig FILE`"


def read_node_rig(answer: bytes, node: str) -> tuple[Device, ...]:
    """The devices in the answer of `splitter rig --json`, as devices of `node`; RigError for anything else."""
    if len(answer) > MOST_BYTES:
        raise RigError(f"{node} answered with more than {MOST_BYTES} bytes", _HINT)
    text = answer.decode("utf-8", "replace")
    if text.count("[") + text.count("{") > MAX_DEVICES * MOST_DEPTH:
        raise _wrong(node, "it is nested too deep")
    try:
        said = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _wrong(node, "it is no JSON") from None
    data = said.get("data") if isinstance(said, Mapping) else None
    rows = data.get("devices") if isinstance(data, Mapping) else None
    if not isinstance(rows, list) or len(rows) > MAX_DEVICES:
        raise _wrong(node, "it has no list of devices")
    devices = tuple(_device(row, node) for row in rows if not (isinstance(row, Mapping) and row.get("node")))
    if len({device.id for device in devices}) != len(devices):
        raise _wrong(node, "it names a device twice")
    return devices


def devices_of(listed: tuple[ListedDevice, ...], node: str) -> tuple[Device, ...]:
    """The same from an engine's own listing, which has been read."""
    sources = dict.fromkeys(("id", "name", "total_bytes", "free_bytes"), SOURCE)
    return tuple(
        Device(row.id, printable(row.name), row.total_bytes, row.free_bytes, node=node, node_id=row.id, sources=sources)
        for row in listed
        if _is_id(row.id)
    )


def _refuse(word: str) -> float:
    raise ValueError(word)


def _wrong(node: str, what: str) -> RigError:
    return RigError(f"the answer of {node} to `splitter rig --json` cannot be used: {what}", _HINT)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z]{1,16}\d{1,3}", value, re.ASCII) is not None


def _device(row: Any, node: str) -> Device:
    if not isinstance(row, Mapping) or not _is_id(row.get("id")):
        raise _wrong(node, "a device has no id of an engine")
    name = row.get("name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 96:
        raise _wrong(node, "a device has no name that can be shown")
    total, free = _size(row, "total_bytes", node), _size(row, "free_bytes", node)
    if total <= 0 or free > total:
        raise _wrong(node, "a device has more free memory than it has")
    said = row.get("compute_capability")
    capability = said if isinstance(said, str) and re.fullmatch(r"\d{1,2}\.\d", said, re.ASCII) else None
    device = Device(
        row["id"], name.strip(), total, free, node=node, node_id=row["id"],
        compute_capability=capability,
        sm_count=_count(row.get("sm_count")),
        display=row.get("display") is True or None,
        sources=dict.fromkeys(("id", "name", "total_bytes", "free_bytes"), SOURCE),
    )  # fmt: skip
    rates = {field: rate for field in _RATES if (rate := _rate(row.get(field), node)) is not None}
    return with_values(device, rates, SOURCE)


def _size(row: Mapping[str, Any], key: str, node: str) -> int:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_BYTES:
        raise _wrong(node, f"{key} is no size")
    return value


def _rate(value: Any, node: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST_RATE:
        raise _wrong(node, "a speed is no number")
    return float(value) if math.isfinite(value) else None


def _count(value: Any) -> int | None:
    sound = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**5
    return value if sound else None
