"""What llama.cpp 11434 answered: tests/engine/truth.json (MiB) and tests/data/engine-answers.tar.xz (bytes).

The archive is written by `python -m tests.engine.record_answers`; it holds headers without weights. Both were recorded
on an emulator without a host buffer, which is what --no-host makes of a real card: NO_HOST.
"""

import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from splitter.memory.footprint import Placement
from splitter.memory.rules import MemoryRules
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.model.header import read_header
from splitter.model.read_facts import facts_from_headers
from splitter.plan.placement import placement_of

TESTS = Path(__file__).parents[1]
ARCHIVE = TESTS / "data" / "engine-answers.tar.xz"
DEVICES = 3
NO_HOST = MemoryRules(host_buffer=False)
VALUES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "-ngl": ("gpu_layers", int),
    "-c": ("context_size", int),
    "-b": ("batch_size", int),
    "-ub": ("ubatch_size", int),
    "-ctk": ("cache_type_k", str),
    "-ctv": ("cache_type_v", str),
    "-fa": ("flash_attention", str),
    "-np": ("parallel", int),
    "-sm": ("split_mode", str),
    "-ncmoe": ("n_cpu_moe", int),
    "-ts": ("tensor_split", lambda text: tuple(map(float, text.split(",")))),
    "-ot": ("override_tensors", lambda text: (text,)),
}
SWITCHES: dict[str, tuple[str, bool]] = {
    "-kvu": ("kv_unified", True),
    "--swa-full": ("swa_full", True),
    "-nkvo": ("kv_offload", False),
}


def settings_of(args: Sequence[str], devices: int) -> Settings:
    """The settings that llama-fit-params' flags mean; its defaults are one slot and split caches."""
    order = tuple(f"CUDA{i}" for i in range(devices))
    values: dict[str, Any] = {"context_size": 0, "gpu_layers": -1, "parallel": 1, "kv_unified": False}
    words = iter(args)
    for word in words:
        if word in SWITCHES:
            values.update([SWITCHES[word]])
        else:
            name, read = VALUES[word]
            values[name] = read(next(words))
    return Settings(device_order=order, **values)


@dataclass(frozen=True)
class Bytes:
    """The head of a file that claims to be `size_bytes` long."""

    label: str
    size_bytes: int
    head: bytes

    def read(self, offset: int, size: int) -> bytes:
        return self.head[offset : offset + size]


@dataclass(frozen=True)
class Answer:
    """One recorded case: `rows` are model, context and compute bytes by buffer type (`CUDA0`, `CPU`, ...)."""

    model: str
    args: str
    shown: bool
    rows: dict[str, list[int]]
    pipeline: bool
    facts: ModelFacts

    def settings(self) -> Settings:
        return settings_of(self.args.split(), DEVICES)

    def placement(self) -> Placement:
        return placement_of(placed_layers(self.facts), self.settings(), (1,) * DEVICES)

    def device(self, index: int) -> list[int]:
        return self.rows.get(f"CUDA{index}", [0, 0, 0])

    def host(self) -> list[int]:
        """CPU and repacked weights together."""
        rows = [row for name, row in self.rows.items() if not name.startswith("CUDA")]
        return [sum(column) for column in zip(*rows, strict=True)] if rows else [0, 0, 0]


@cache
def answers(path: Path = ARCHIVE) -> tuple[Answer, ...]:
    """All cases recorded in an archive."""
    with tarfile.open(path) as archive:
        files = {member.name: _content(archive, member) for member in archive.getmembers()}
    cases = json.loads(files["answers.json"])
    facts = {case["model"]: _facts(case["model"], files[f"{case['model']}.gguf"], case["file_bytes"]) for case in cases}
    return tuple(
        Answer(case["model"], case["args"], case["shown"], case["rows"], case["pipeline"], facts[case["model"]])
        for case in cases
    )


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _facts(name: str, head: bytes, file_bytes: int) -> ModelFacts:
    return facts_from_headers((read_header(Bytes(name, file_bytes, head)),), name)


@cache
def truth() -> dict[str, Any]:
    """tests/engine/truth.json."""
    loaded: dict[str, Any] = json.loads((TESTS / "engine" / "truth.json").read_text(encoding="utf-8"))
    return loaded
