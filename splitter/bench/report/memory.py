"""The rows of the memory chart: of a plan, and of what a record says of one."""

from collections.abc import Iterable, Mapping
from typing import Any

from splitter.bench.records.record import Record
from splitter.bench.report.values import PARTS, Memory, MemoryRow
from splitter.bench.report.words import layer_words, whole, word
from splitter.memory.footprint import MemoryUse
from splitter.plan.plan import PlannedDevice

MOST_PLACEMENTS = 6
MAKERS = ("NVIDIA ", "GeForce ", "AMD ", "Intel ")


def planned_row(planned: PlannedDevice) -> MemoryRow:
    """One card of a plan."""
    device = planned.device
    return MemoryRow(
        name=f"{device.id} {_short(device.name)}",
        layers=layer_words(planned.layers, planned.holds_output),
        sizes=_use_sizes(planned.memory, planned.margin_bytes),
        free_bytes=device.free_bytes,
        total_bytes=device.total_bytes,
    )


def host_row(use: MemoryUse, ram_free_bytes: int | None, layers: tuple[int, ...], output: bool) -> MemoryRow:
    """The host's share of a plan."""
    return MemoryRow("Host RAM", layer_words(layers, output), _use_sizes(use, 0), ram_free_bytes)


def _use_sizes(use: MemoryUse, margin_bytes: int) -> tuple[int, ...]:
    parts = (use.model_bytes, use.context_bytes, use.compute_bytes, use.overhead_bytes(), margin_bytes)
    return tuple(max(size, 0) for size in parts)


def recorded_row(device: Mapping[str, Any]) -> MemoryRow:
    """One card as a record describes it; what the record lacks is unknown."""
    return MemoryRow(
        name=f"{word(device, 'id')} {_short(word(device, 'name'))}".strip() or "?",
        layers=layer_words(device.get("layers"), device.get("holds_output") is True),
        sizes=_sizes(device),
        free_bytes=whole(device, "free_bytes"),
        total_bytes=whole(device, "total_bytes"),
    )


def _short(name: str) -> str:
    for maker in MAKERS:
        name = name.removeprefix(maker)
    return name


def _sizes(data: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(max(whole(data, f"{part}_bytes") or 0, 0) for part in PARTS)


def memories(records: Iterable[Record]) -> tuple[Memory, ...]:
    """One per placement that differs, under the name of the first record that has it."""
    found: dict[tuple[MemoryRow, ...], str] = {}
    for record in records:
        rows = tuple(recorded_row(device) for device in record.devices or () if isinstance(device, Mapping))
        if any(row.claimed_bytes() for row in rows) and rows not in found:
            found[rows] = record.label or (f"record {record.id}" if record.id is not None else "plan")
    return tuple(Memory(title, rows) for rows, title in found.items())[:MOST_PLACEMENTS]
