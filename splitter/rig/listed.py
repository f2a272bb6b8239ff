"""The text of llama-server's `--list-devices`, read. Pure.

The lines are llama.cpp's (common/arg.cpp, `common_print_available_devices`, build 11434).
"""

import re
from dataclasses import dataclass

from splitter.units import from_mib

HEADER = "Available devices:"
ROW = re.compile(
    r"^\s+(?P<id>[A-Za-z]\w*(?:\[[^\]\s]+\])?): (?P<name>.+) \((?P<total>\d+) MiB, (?P<free>\d+) MiB free\)\s*$"
)


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """One line of the listing; MiB are rounded down by the engine."""

    id: str
    name: str
    total_bytes: int
    free_bytes: int


def parse_listing(text: str) -> tuple[ListedDevice, ...] | None:
    """The devices after the line "Available devices:", () for "(none)"; None if the text holds no listing.

    Accelerators without memory of their own (BLAS) are left out.
    """
    _, header, rows = text.partition(HEADER)
    if not header:
        return None
    found = [match for line in rows.splitlines() if (match := ROW.match(line))]
    listed = (
        ListedDevice(m["id"], m["name"].strip(), from_mib(int(m["total"])), from_mib(int(m["free"]))) for m in found
    )
    return tuple(device for device in listed if device.total_bytes)
