"""What the real llama-server 11434 held on the rig emulator: tests/data/server-answers.tar.xz.

Written by `python -m tests.engine.record_server`; it holds headers without weights, so that no engine is needed here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.model.header import read_header
from splitter.model.read_facts import facts_from_headers
from tests.engine.record_server import read_archive
from tests.memory.engine_answers import Bytes, settings_of

ARCHIVE = Path(__file__).parents[1] / "data" / "server-answers.tar.xz"
VALUES = {"--spec-type": ("spec_type", str), "--spec-draft-n-max": ("spec_draft_n_max", int)}
SWITCHES = {"--no-op-offload": ("op_offload", False), "-cmoe": ("cpu_moe", True)}
Terms = tuple[float, float, float]  # MiB: model, context, compute


@dataclass(frozen=True)
class Served:
    """One case: what each device held by the server's own buffer lines (all contexts), and what fit-params said."""

    model: str
    args: str
    devices: int
    facts: ModelFacts
    held: tuple[Terms, ...]
    dry: tuple[Terms, ...] | None

    def settings(self) -> Settings:
        return server_settings(self.args.split(), self.devices)


def server_settings(words: list[str], devices: int) -> Settings:
    """The settings that llama-server's flags mean: without -np four slots over one cache."""
    known: list[str] = []
    own: dict[str, Any] = {}
    rest: Iterator[str] = iter(words)
    for word in rest:
        if word in VALUES:
            name, read = VALUES[word]
            own[name] = read(next(rest))
        elif word in SWITCHES:
            own.update([SWITCHES[word]])
        else:
            known.append(word)
    slots = [] if "-np" in known else ["-np", "4", "-kvu"]
    return replace(settings_of([*known, *slots], devices), **own)


@cache
def served() -> tuple[Served, ...]:
    """All recorded cases."""
    heads, cases = read_archive(ARCHIVE)
    sizes = {case["model"]: case["file_bytes"] for case in cases}
    facts = {name: facts_from_headers((read_header(Bytes(name, sizes[name], heads[name])),), name) for name in sizes}
    return tuple(_served(case, facts[case["model"]]) for case in cases)


def _served(case: dict[str, Any], facts: ModelFacts) -> Served:
    contexts, dry = case["server"]["contexts"], case["fit_params"]
    names = [f"CUDA{i}" for i in range(case["devices"])]
    held = [tuple(sum(c.get(name, [0.0] * 3)[term] for c in contexts) for term in range(3)) for name in names]
    said = None if dry is None else [tuple(size / 2**20 for size in dry.get(name, [0] * 3)) for name in names]
    return Served(
        case["model"],
        case["args"],
        case["devices"],
        facts,
        tuple((m, c, b) for m, c, b in held),
        None if said is None else tuple((m, c, b) for m, c, b in said),
    )
