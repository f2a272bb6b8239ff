"""Records as JSON, CSV and Markdown. The Markdown fits an issue thread: rig, command, table."""

import csv
import io
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from splitter.bench.records.figures import milliseconds, percent, speed
from splitter.bench.records.record import Point, Record, to_dict
from splitter.printable import printable_lines
from splitter.units import format_bytes

COLUMNS = ("id", "created_at", "kind", "group", "label", "engine", "engine_version", "model", "quantization",
           "n_prompt", "n_generate", "depth", "concurrency", "repetitions", "prompt_tokens_per_s",
           "generation_tokens_per_s", "generation_min", "generation_max", "generation_half_width", "first_token_p50_s",
           "first_token_p95_s", "first_token_p99_s", "inter_token_p50_s", "inter_token_p95_s", "inter_token_p99_s",
           "energy_j_per_token", "ended_by", "error")  # fmt: skip


def summary(record: Record) -> dict[str, Any]:
    """A record without samples, settings and cards."""
    heavy = {"settings", "rig", "devices", "cards_before", "cards_after", "points"}
    data = {name: value for name, value in to_dict(record).items() if name not in heavy}
    points = [{k: v for k, v in point.items() if k != "samples"} for point in to_dict(record)["points"]]
    return {**data, "points": points}


def as_json(records: Sequence[Record]) -> str:
    """All of every record."""
    return json.dumps({"version": 1, "records": [to_dict(record) for record in records]}, indent=2) + "\n"


def as_csv(records: Sequence[Record]) -> str:
    """One row per point, and one without figures for what could not be measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in records:
        for point in record.points or (None,):
            writer.writerow([_cell(value) for value in (*_about_row(record), *_point_row(point), record.error)])
    return text.getvalue()


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


def _about_row(record: Record) -> tuple[Any, ...]:
    names = (record.engine.kind, record.engine.version, record.model.name or record.model.path)
    return (record.id, record.created_at, record.kind, record.group, record.label, *names, record.model.quantization)


def _point_row(point: Point | None) -> tuple[Any, ...]:
    if point is None:
        return (None,) * 18
    prompt, generation = point.prompt_tokens_per_s, point.generation_tokens_per_s
    range_ = (generation.median, generation.minimum, generation.maximum) if generation else (None,) * 3
    shape = (point.n_prompt, point.n_generate, point.depth, point.concurrency, point.repetitions)
    times = [
        value
        for found in (point.first_token_s, point.inter_token_s)
        for value in ((found.p50, found.p95, found.p99) if found else (None,) * 3)
    ]
    speeds = (prompt.median if prompt else None, *range_, point.half_width)
    return (*shape, *speeds, *times, point.energy_j_per_token, point.ended_by)


def as_markdown(records: Sequence[Record]) -> str:
    """One section per record."""
    return printable_lines("\n".join("\n".join(_section(record)) for record in records) + "\n")


def _section(record: Record) -> Iterator[str]:
    yield f"### {_md(record.model.name or record.model.path or '?')}{f' ({_md(record.label)})' if record.label else ''}"
    yield ""
    yield from (f"- {name}: {_md(value)}" for name, value in about(record) if name != "command")
    yield ""
    if record.argv:
        yield from ("```", shlex.join(record.argv).replace("```", "` ` `"), "```", "")
    if record.error:
        yield from (f"Not measured: {_md(record.error)}", "")
    if record.points:
        yield from _markdown_table(record.points)


def _markdown_table(points: Sequence[Point]) -> Iterator[str]:
    heads = (
        "test",
        "depth",
        "at once",
        "prompt t/s",
        "generation t/s",
        "95 % interval",
        "first token ms",
        "between ms",
    )
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for point in points:
        speeds = (
            speed(point.prompt_tokens_per_s),
            speed(point.generation_tokens_per_s),
            f"+/- {percent(point.half_width)}",
        )
        times = (milliseconds(point.first_token_s), milliseconds(point.inter_token_s))
        test = f"pp{point.n_prompt} + tg{point.n_generate} x {point.repetitions}"
        yield f"| {' | '.join((test, str(point.depth), str(point.concurrency), *speeds, *times))} |"
    yield ""
    yield "Speeds: median (smallest-largest); times: p50/p95/p99. Measured with `splitter bench`."
    for warning in dict.fromkeys(w for point in points for w in point.warnings):
        yield f"- warning: {warning}"
    yield ""


def _md(text: str) -> str:
    """Text from files cannot become Markdown."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char if char.isprintable() else " " for char in text)


def about(record: Record) -> Iterator[tuple[str, str]]:
    """Everything but the points, name and text."""
    engine, model, host = record.engine, record.model, record.host
    yield "measured", record.created_at
    yield "engine", " ".join(part for part in (engine.kind, engine.version, engine.path) if part)
    size = format_bytes(model.file_bytes) if model.file_bytes else None
    parts = (model.path, model.architecture, model.quantization, size)
    yield "model", ", ".join(str(part) for part in parts if part) or "?"
    if model.header_sha256:
        yield "header", f"sha256 {model.header_sha256}"
    ram = format_bytes(host.ram_bytes) if host.ram_bytes else None
    cores = f"{host.cores} cores" if host.cores else None
    yield "host", ", ".join(part for part in (host.os, host.cpu, cores, ram) if part) or "?"
    yield from _cards(record)
    if record.predicted and record.predicted.generation_tokens_per_s:
        yield "predicted", f"{record.predicted.generation_tokens_per_s:.1f} t/s ({record.predicted.basis})"
    if record.argv:
        yield "command", shlex.join(record.argv)
    if record.note:
        yield "note", record.note


def _cards(record: Record) -> Iterator[tuple[str, str]]:
    """The rig as planned, and the cards' state after measuring."""
    devices = (record.rig or {}).get("devices")
    for device in devices if isinstance(devices, Sequence) else ():
        if not isinstance(device, Mapping):
            continue
        total = device.get("total_bytes")
        size = f", {format_bytes(total)}" if isinstance(total, int) else ""
        yield str(device.get("id", "?")), f"{device.get('name', '?')}{size}"
    if record.driver_version:
        yield "driver", record.driver_version
    for card in record.cards_after:
        yield str(card.get("device_id", "?")), f"after measuring: {_state(card)}"


def _state(card: Mapping[str, Any]) -> str:
    texts = {
        "temperature_c": "{:.0f} C",
        "power_w": "{:.0f} W",
        "sm_clock_mhz": "{} MHz",
        "memory_clock_mhz": "memory {} MHz",
    }
    known = [text.format(card[name]) for name, text in texts.items() if isinstance(card.get(name), int | float)]
    slow = card.get("throttled")
    slow = slow if isinstance(slow, list | tuple) else ()
    return ", ".join([*known, *(f"throttled: {reason}" for reason in slow)]) or "it does not tell"


FORMATS: dict[str, Callable[[Sequence[Record]], str]] = {"json": as_json, "csv": as_csv, "md": as_markdown}
