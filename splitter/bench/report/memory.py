"""A plan's device dictionaries (design.md 3) to the rows of the memory chart."""

from collections.abc import Iterable, Mapping
from typing import Any

from splitter.bench.records.record import Record
from splitter.bench.report.values import PARTS, Memory, MemoryRow
from splitter.bench.report.words import layer_words, whole, word

MOST_PLACEMENTS = 6
MAKERS = ("NVIDIA ", "GeForce ", "AMD ", "Intel ")


def card_row(device: Mapping[str, Any]) -> MemoryRow:
    """One card as its dictionary describes it."""
    name = word(device, "name")
    for maker in MAKERS:
        name = name.removeprefix(maker)
    return MemoryRow(
        name=f"{word(device, 'id')} {name}".strip() or "?",
        layers=layer_words(device.get("layers"), device.get("holds_output") is True),
        sizes=_sizes(device),
        free_bytes=whole(device, "free_bytes"),
        total_bytes=whole(device, "total_bytes"),
    )


def host_row(host: Mapping[str, Any], layers: tuple[int, ...], output: bool) -> MemoryRow:
    """The host's share of a plan."""
    return MemoryRow("Host RAM", layer_words(layers, output), _sizes(host), whole(host, "ram_free_bytes"))


def _sizes(data: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(max(whole(data, f"{part}_bytes") or 0, 0) for part in PARTS)


def memories(records: Iterable[Record]) -> tuple[Memory, ...]:
    """One per placement that differs, under the name of the first record that has it."""
    found: dict[tuple[MemoryRow, ...], str] = {}
    for record in records:
        rows = tuple(card_row(device) for device in record.devices or () if isinstance(device, Mapping))
        if any(row.claimed_bytes() for row in rows) and rows not in found:
            found[rows] = record.label or (f"record {record.id}" if record.id is not None else "plan")
    return tuple(Memory(title, rows) for rows, title in found.items())[:MOST_PLACEMENTS]
