"""The keys of a rig file: which value each fills, what it may hold, how it is written back. Pure.

`total_mib` and its kin are MiB, `gb_per_s` 10^9 bytes/s, `fp16_tflops` 10^12 FLOP/s; splitter's values are bytes,
bytes/s and FLOP/s. Rates are whole numbers, so that a saved rig loads back as it was.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from splitter.errors import RigError
from splitter.printable import printable
from splitter.rig.node_names import NODE_NAME_WORDS, is_node_name
from splitter.units import MIB

GIGA = 10**9
TERA = 10**12
OPERATING_SYSTEMS = ("linux", "windows", "macos")


@dataclass(frozen=True, slots=True)
class RigKey:
    """One key of a rig file: the field it fills, how its value is read (or ValueError: what is wrong) and written."""

    field: str
    read: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value


def _number(value: Any, low: float, high: float) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 - all readers speak through ValueError
    if not low <= value <= high:
        raise ValueError(f"must lie between {low:g} and {high:g}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ValueError("must be a text")
    return value.strip()


def _node(value: Any) -> str:
    if not is_node_name(_text(value)):
        raise ValueError(f"must be {NODE_NAME_WORDS}")
    return _text(value)


def _endpoint(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}:\d{1,5}", _text(value)):
        raise ValueError("must look like 127.0.0.1:50052")
    return _text(value)


def _device_id(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z][\w.]*(\[[^\[\],\s]+\])?", _text(value)):
        raise ValueError("must be the engine's name for the device, such as CUDA0 or Vulkan1")
    return _text(value)


def _capability(value: Any) -> str:
    if not re.fullmatch(r"\d{1,2}\.\d", str(value)):
        raise ValueError('must look like "8.6"')
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - all readers speak through ValueError
    return value


def _system(value: Any) -> str:
    if value not in OPERATING_SYSTEMS:
        raise ValueError(f"must be one of {', '.join(OPERATING_SYSTEMS)}")
    return str(value)


def _mib(low: float) -> Callable[[Any], int]:
    return lambda value: round(_number(value, low, 2**27) * MIB)


def _rate(unit: int) -> Callable[[Any], float]:
    return lambda value: float(round(_number(value, 0.001, 10**6) * unit))


def _count(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError("must be a whole number")  # noqa: TRY004 - all readers speak through ValueError
    return int(_number(value, 1, 10**5))


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _in(unit: int) -> Callable[[float], float | int]:
    return lambda value: _whole(value / unit)


DEVICE_KEYS: Mapping[str, RigKey] = {
    "name": RigKey("name", _text),
    "id": RigKey("id", _device_id),
    "total_mib": RigKey("total_bytes", _mib(1), _in(MIB)),
    "free_mib": RigKey("free_bytes", _mib(0), _in(MIB)),
    "gb_per_s": RigKey("bandwidth_bytes_per_s", _rate(GIGA), _in(GIGA)),
    "compute_capability": RigKey("compute_capability", _capability),
    "display": RigKey("display", _flag),
    "sm_count": RigKey("sm_count", _count),
    "fp16_tflops": RigKey("fp16_flops", _rate(TERA), _in(TERA)),
    "pcie_gb_per_s": RigKey("link_bytes_per_s", _rate(GIGA), _in(GIGA)),
    "unified": RigKey("unified", _flag),
    "uuid": RigKey("uuid", _text),
    "pci_bus_id": RigKey("pci_bus_id", _text),
    "node": RigKey("node", _node),
    "rtt_ms": RigKey("rtt_s", lambda value: _number(value, 0, 10**5) / 1000, lambda value: _whole(value * 1000)),
    "link_gb_per_s": RigKey("node_link_bytes_per_s", _rate(GIGA), _in(GIGA)),
    "node_id": RigKey("node_id", _device_id),
    "worker": RigKey("worker", _endpoint),
}
HOST_KEYS: Mapping[str, RigKey] = {
    "ram_mib": RigKey("ram_total_bytes", _mib(1), _in(MIB)),
    "ram_free_mib": RigKey("ram_free_bytes", _mib(0), _in(MIB)),
    "ram_gb_per_s": RigKey("ram_bandwidth_bytes_per_s", _rate(GIGA), _in(GIGA)),
    "cores": RigKey("cores", _count),
    "os": RigKey("os", _system),
}
RIG_KEYS = ("name", "host", "devices")


def read_values(data: Any, keys: Mapping[str, RigKey], where: str) -> dict[str, Any]:
    """Field -> value for every key of the mapping `data`; RigError for an unknown key or a wrong value."""
    if not isinstance(data, Mapping):
        raise RigError(f"{where} must hold keys and values", f"its keys are {', '.join(keys)}")
    refuse_unknown(data, tuple(keys), where)
    values = {}
    for name, value in data.items():
        if value is None:
            continue
        try:
            values[keys[name].field] = keys[name].read(value)
        except ValueError as problem:
            shown = printable(repr(value), 60)
            raise RigError(f"{where}: {name} {problem}, not {shown}", "leave it out if you do not know it") from None
    return values


def refuse_unknown(data: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """RigError naming the nearest known key if `data` has a key that is not in `known`."""
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"the keys are {', '.join(known)}"
            raise RigError(f"{where}: '{printable(key, 60)}' is not a key", hint)


def write_values(value: Any, keys: Mapping[str, RigKey]) -> dict[str, Any]:
    """Key -> value as a rig file says it; what is unknown is left out."""
    found = {name: (key, getattr(value, key.field)) for name, key in keys.items()}
    return {name: key.write(held) for name, (key, held) in found.items() if held is not None}
