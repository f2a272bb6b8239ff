"""Records to the report's tables: every measured point, the machine, the cards while measuring."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from splitter.bench.records.record import Point, Record
from splitter.bench.report.values import ReportTable
from splitter.bench.report.words import finite, measured, milliseconds, size, value_of, whole, word
from splitter.bench.stats import Percentiles

POINTS = ("record", "depth", "at once", "runs", "prompt t/s", "generation t/s", "first token ms p50", "p95", "p99",
          "between ms p50", "p95", "p99", "J/token", "ended by")  # fmt: skip
CARDS = ("record", "card", "\N{DEGREE SIGN}C before", "\N{DEGREE SIGN}C after", "MHz before", "MHz after",
         "W after", "throttled")  # fmt: skip


def about(records: Sequence[Record]) -> str:
    """Engine, build, model and rig in one line."""
    parts: dict[str, None] = {}
    for record in records:
        engine = record.engine
        parts[f"{engine.kind} {engine.version or ''}".strip()] = None
        parts[record.model.quantization or ""] = None
        parts[word(record.rig, "name")] = None
    named = [part for part in parts if part]
    return " \N{MIDDLE DOT} ".join(named[:6])


def points_sheet(records: Iterable[Record]) -> tuple[ReportTable, ...]:
    """Every measured point of every record."""
    rows = tuple(_point_row(record, point) for record in records for point in record.points)
    words = frozenset({"record", "ended by"})
    return (ReportTable("Every measured point", POINTS, rows, words),) if rows else ()


def _point_row(record: Record, point: Point) -> tuple[str, ...]:
    name = f"{record.id}: {record.label or record.kind}" if record.id is not None else record.label or record.kind
    energy = finite(point.energy_j_per_token)
    return (
        name,
        str(point.depth),
        str(point.concurrency),
        str(point.repetitions),
        measured(value_of(point.prompt_tokens_per_s)),
        measured(value_of(point.generation_tokens_per_s)),
        *_percentiles(point.first_token_s),
        *_percentiles(point.inter_token_s),
        "?" if energy is None else f"{energy:.2f}",
        point.ended_by or "-",
    )


def _percentiles(found: Percentiles | None) -> tuple[str, str, str]:
    if found is None:
        return ("?", "?", "?")
    return milliseconds(finite(found.p50)), milliseconds(finite(found.p95)), milliseconds(finite(found.p99))


def rig_sheet(records: Sequence[Record]) -> tuple[ReportTable, ...]:
    """Engine, model, host and rig: one row per fact, the values that differ side by side."""
    rows = tuple((name, "; ".join(values)) for name, values in _facts(records).items())
    return (ReportTable("What was measured, and where", ("fact", "value"), rows, frozenset({"fact", "value"})),)


def _facts(records: Sequence[Record]) -> dict[str, dict[str, None]]:
    facts: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in _record_facts(record):
            if value:
                facts.setdefault(name, {})[value] = None
    times = sorted(record.created_at for record in records)
    if times:
        facts["measured"] = {times[0]: None} if times[0] == times[-1] else {f"{times[0]} to {times[-1]}": None}
    return facts


def _record_facts(record: Record) -> Iterable[tuple[str, str]]:
    engine, model, host = record.engine, record.model, record.host
    yield "model", model.name or ""
    yield "model file", f"{model.path}, {size(model.file_bytes)}" if model.path else ""
    yield "architecture", ", ".join(part for part in (model.architecture, model.quantization) if part)
    yield "header SHA-256", model.header_sha256 or ""
    yield "engine", f"{engine.kind} {engine.version or '(unknown build)'}"
    yield "engine file", engine.path or ""
    yield "rig", word(record.rig, "name")
    devices = (record.rig or {}).get("devices")
    for device in devices if isinstance(devices, Sequence) else ():
        if isinstance(device, Mapping):
            yield "cards", _card(device)
    cores = f"{host.cores} cores" if host.cores else ""
    ram = f"{size(host.ram_bytes)} RAM" if host.ram_bytes else ""
    yield "host", ", ".join(part for part in (host.cpu, cores, ram, host.os) if part)
    yield "driver", record.driver_version or ""


def _card(device: Mapping[str, Any]) -> str:
    total = whole(device, "total_bytes")
    return f"{word(device, 'id')} {word(device, 'name')}, {size(total)}".strip()


def cards(records: Iterable[Record]) -> tuple[ReportTable, ...]:
    """Temperature, clock, power and throttling before and after."""
    rows = tuple(dict.fromkeys(row for record in records for row in _card_rows(record)))
    return (
        (ReportTable("Cards while measuring", CARDS, rows, frozenset({"record", "card", "throttled"})),) if rows else ()
    )


def _card_rows(record: Record) -> Iterable[tuple[str, ...]]:
    after = {word(card, "device_id"): card for card in record.cards_after if isinstance(card, Mapping)}
    for before in record.cards_before:
        if not isinstance(before, Mapping):
            continue
        card = word(before, "device_id")
        now = after.get(card, {})
        throttled = now.get("throttled")
        yield (
            record.label or f"{record.kind} {record.id or ''}",
            f"{card} {word(before, 'name')}".strip(),
            *(_number(found, "temperature_c") for found in (before, now)),
            *(_number(found, "sm_clock_mhz") for found in (before, now)),
            _number(now, "power_w"),
            "?" if not isinstance(throttled, Sequence) else ", ".join(map(str, throttled)) or "no",
        )


def _number(data: Mapping[str, Any], name: str) -> str:
    found = finite(data.get(name))
    return "?" if found is None else f"{found:.0f}"
