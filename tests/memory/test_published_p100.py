"""Show 4: 130 loads of Qwen3.5-122B-A10B on four real Tesla P100, ours against what the cards printed.

data/published-p100x4.csv, from https://github.com/miminashi/llm-server-ops (report/attachment/<log>, commits 990ca7b,
d374bdc and 3bfb996; builds b8829 and b8893 of llama.cpp). Sizes are MiB as printed; `ot`, `ts` and the rest of the
flags are those of the scripts beside each log, `oom_*` what the driver refused, `smi_used*` what nvidia-smi said after
the load. `now*` is what the dry run of build 11434 says to the same flags on four emulated P100
(`test_published_engine.py` asks again): it parts our errors from changes between the builds.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from splitter.memory.footprint import Footprint
from splitter.memory.model import MemoryModel
from splitter.memory.overhead import device_overhead
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from splitter.units import MIB
from tests.memory.published_models import MODELS

DATA = Path(__file__).parent / "data" / "published-p100x4.csv"
MODEL = "qwen3.5-122b-a10b-ud-q4_k_m"
FREE_MIB, DEVICES, SMS = 16013, 4, 56
Row = dict[str, str]


def rows() -> list[Row]:
    with DATA.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def usable() -> list[Row]:
    """All but -sm row, which splitter does not plan."""
    return [row for row in rows() if row["sm"] == "layer"]


def settings_of(row: Row) -> Settings:
    return Settings(
        context_size=int(row["c"]),
        gpu_layers=999,
        device_order=tuple(f"CUDA{i}" for i in range(DEVICES)),
        tensor_split=tuple(map(float, row["ts"].split(","))) if row["ts"] else (),
        batch_size=int(row["b"]),
        ubatch_size=int(row["ub"]),
        cache_type_k=row["kv"],
        cache_type_v=row["kv"],
        flash_attention="on" if row["fa"] == "on" else "off",
        parallel=1,
        kv_unified=False,
        override_tensors=tuple(row["ot"].split(",")),
    )


@cache
def footprint_of(facts_path: str, index: int) -> Footprint:
    facts, settings = _facts(facts_path), settings_of(usable()[index])
    placement = placement_of(placed_layers(facts), settings, (FREE_MIB * MIB,) * DEVICES)
    return MemoryModel(facts, settings).footprint(placement)


@cache
def _facts(path: str) -> ModelFacts:
    return load_model(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(MODELS[MODEL](MODEL).write(tmp_path_factory.mktemp("published")))


@dataclass(frozen=True)
class Compared:
    """One device of one load, MiB; `printed` None where it was never allocated."""

    row: Row
    device: int
    ours: float
    printed: float | None
    now: float


def compute(model: str) -> Iterator[Compared]:
    for index, row in enumerate(usable()):
        for i, use in enumerate(footprint_of(model, index).devices):
            refused = row["oom_mib"] if row["oom_device"] == str(i) else ""
            printed = row[f"compute{i}"] or refused
            yield Compared(row, i, use.compute_bytes / MIB, float(printed) if printed else None, float(row[f"now{i}"]))


def test_the_header_is_the_posted_file(model: str) -> None:
    """The log: 71.27 GiB, 122.11 B parameters, and so many tensors of each type."""
    facts = _facts(model)
    assert round(facts.file_bytes / 1024**3, 2) == 71.27
    assert round(facts.parameters / 1e9, 2) == 122.11
    assert Counter(t.ggml_type for t in facts.tensors) == {0: 361, 8: 373, 12: 96, 13: 48, 14: 1}


def test_show_4_weights_and_caches_of_the_p100_loads(model: str) -> None:
    worst: dict[str, float] = defaultdict(float)
    for index, row in enumerate(usable()):
        for i, use in enumerate(footprint_of(model, index).devices):
            caches = float(row[f"kv{i}"]) + float(row[f"rs{i}"])
            for term, off in (
                ("model", use.model_bytes / MIB - float(row[f"model{i}"])),
                ("KV + recurrent", use.context_bytes / MIB - caches),
            ):
                worst[term] = max(worst[term], off, key=abs)
    print(f"\nShow 4, four P100: {len(usable())} of {len(rows())} loads (the others: -sm row), {DEVICES} cards each")
    for term, off in worst.items():
        print(f"  {term:15} worst difference {off:+.3f} MiB")
        assert abs(off) < 0.02


def test_show_4_compute_of_the_p100_loads(model: str) -> None:
    """Ours is build 11434's; the table says what b8829 and b8893 printed instead."""
    groups: dict[tuple[str, str], list[Compared]] = defaultdict(list)
    for one in compute(model):
        kind = "first card" if one.device == 0 else "last card" if one.device == DEVICES - 1 else "middle cards"
        cache_type = "f16" if one.row["kv"] == "f16" else "quantised"
        groups[kind, f"-fa {one.row['fa']}, {cache_type} KV"].append(one)
    print("\nShow 4, four P100, compute buffers: ours - printed, ours - dry run of 11434 (MiB; lowest to highest)")
    for (card, kind), found in sorted(groups.items()):
        printed = [one.ours - one.printed for one in found if one.printed is not None]
        now = [one.ours - one.now for one in found]
        spans = [f"{min(offs):+8.1f} to {max(offs):+8.1f}" for offs in (printed, now)]
        print(f"  {card:12} {kind:23} {len(printed):4d} printed {spans[0]} | 11434 {spans[1]}")
    print(
        "  first card: b8829 and 11434 stage experts alike (432 + 528 MiB at -ub 128), but not what stands beside\n"
        "  them at -ub 1024 and more; quantised KV: since then the f16 copy for flash attention counts in the buffer,\n"
        "  before it came from the pool"
    )
    for one in compute(model):
        assert one.ours - one.now > -max(16, 0.03 * one.now), (one.row["log"], one.device)
        assert one.ours - one.now < max(128, 0.35 * one.now), (one.row["log"], one.device)


def test_without_build_changes_compute_is_what_the_cards_printed(model: str) -> None:
    """Cards that stage nothing, with flash attention on an f16 cache: no change between the builds."""
    same = [
        one
        for one in compute(model)
        if one.device and one.printed is not None and (one.row["fa"], one.row["kv"]) == ("on", "f16")
    ]
    assert len(same) == 135
    assert max(abs(one.ours - (one.printed or 0)) for one in same) < 0.3


def test_show_4_refused_buffers(model: str) -> None:
    """What cudaMalloc refused is what we said the card would need."""
    refused = [one for one in compute(model) if one.row["oom_device"] == str(one.device)]
    print(f"\nShow 4, four P100: {len(refused)} refused allocations (MiB): ours, refused")
    for one in refused:
        print(f"  {one.row['log'].rsplit('/', 1)[1]:42} CUDA{one.device} {one.ours:9.1f} {one.printed:9.1f}")
    assert len(refused) == 15
    assert all(one.printed is not None and one.ours > 0.95 * one.printed for one in refused)


def test_show_4_what_nvidia_smi_saw() -> None:
    """Used memory beyond the printed buffers: the driver's context and the pool's first growth."""
    ours = sum(size for _, size in device_overhead(16269 * MIB, sm_count=SMS, compute_capability="6.0")) / MIB
    seen = [
        float(row[f"smi_used{i}"]) - sum(float(row[f"{part}{i}"]) for part in ("model", "kv", "rs", "compute"))
        for row in usable()
        if row["smi_used0"]
        for i in range(DEVICES)
    ]
    print(f"\nShow 4, P100 beyond its buffers: {min(seen):.0f} to {max(seen):.0f} MiB printed, ours {ours:.0f}")
    assert len(seen) == 28
    assert max(seen) <= ours
