"""What each published run of data/published_speeds.csv asks of its cards, by our own memory model.

    python -m tests.plan.speed_work SKELETONS

SKELETONS holds GGUF files with the true shapes of the models (tests/engine/skeletons.py writes such files), named as in
the column `model`. Written to data/speed_work.json, so that the refit needs no model.
"""

import csv
import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from splitter.engine.reading.command import read_command
from splitter.engine.reading.complete import complete_settings
from splitter.memory.model import MemoryModel
from splitter.model.attention import placed_layers
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from splitter.plan.work import Part, Portion, Work, work_in
from splitter.rig.catalog import find
from splitter.rig.device import Device, Host, Rig
from splitter.rig.files import load_catalog

DATA = Path(__file__).with_name("data")
ROWS, WORKS = DATA / "published_speeds.csv", DATA / "speed_work.json"
UNKNOWN_SIZE = 2**34  # of a card that the catalog does not know: such runs have one card


def rows() -> list[dict[str, str]]:
    """The published runs."""
    with ROWS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def works() -> dict[str, tuple[Work, int]]:
    """Work and micro-batch by `model|flags|cards|depth`, as `key` has it."""
    with WORKS.open(encoding="utf-8") as file:
        return {name: (_work(data["work"]), data["ubatch_size"]) for name, data in json.load(file).items()}


def key(row: dict[str, str]) -> str:
    """What decides a run's work: the model, the flags, the cards, the depth."""
    cards = row["gpus"] if ";" in row["gpus"] else "one"
    return "|".join((row["model"], row["flags"], cards, row["depth"]))


def work_of_row(row: dict[str, str], folder: Path) -> tuple[Work, int]:
    """The work of one run and its micro-batch; without -ts the engine splits by the memory of the cards."""
    facts = load_model(str(folder / f"{row['model']}.gguf"))
    sizes = [_size_bytes(name) for name in row["gpus"].split(";")]
    cards = tuple(Device(f"CUDA{i}", f"card {i}", size, size) for i, size in enumerate(sizes))
    read = read_command(["llama-server", *shlex.split(row["flags"], posix=False)], kind="llama-server")
    settings = complete_settings(read, facts, Rig("published", Host(), cards)).settings
    memory = MemoryModel(facts, settings)
    placement = placement_of(placed_layers(facts), settings, sizes[: len(settings.device_order)])
    return work_in(memory, placement, int(row["depth"])), settings.ubatch_size


def _size_bytes(name: str) -> int:
    card = find(load_catalog(), name)
    return (card.total_bytes if card else None) or UNKNOWN_SIZE


def main(folder: str) -> None:
    """Writes data/speed_work.json."""
    found: dict[str, Any] = {}
    for row in rows():
        if row["set"] == "localscore" or key(row) in found:
            continue
        work, ubatch_size = work_of_row(row, Path(folder))
        found[key(row)] = {"ubatch_size": ubatch_size, "work": _data(work)}
    WORKS.write_text("{\n" + ",\n".join(_lines(found)) + "\n}\n", encoding="utf-8")
    print(f"{len(found)} works in {WORKS}")


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for name, data in sorted(found.items()):
        yield f"{json.dumps(name)}: {json.dumps(data, separators=(',', ':'))}"


def _data(work: Work) -> dict[str, Any]:
    data = asdict(work)
    for share in (*data["devices"], data["host"], data["moved"]):
        for name in ("parts", "output"):
            share[name] = [[round(v) if isinstance(v, float) else v for v in part.values()] for part in share[name]]
    return data


def _work(data: dict[str, Any]) -> Work:
    devices = tuple(_portion(share) for share in data["devices"])
    host, moved = _portion(data["host"]), _portion(data["moved"])
    return Work(**{**data, "devices": devices, "host": host, "moved": moved, "shares": tuple(data["shares"])})


def _portion(data: dict[str, Any]) -> Portion:
    parts = {name: tuple(Part(*part) for part in data[name]) for name in ("parts", "output")}
    return Portion(**{**data, **parts})


if __name__ == "__main__":
    main(sys.argv[1])
