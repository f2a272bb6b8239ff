"""Compute buffers against llama-fit-params 11434: Show 1's cases, 118 architectures, odd settings.

data/compute-answers.json.xz holds headers written by llama.cpp's own test-llama-archs with its sizes raised (up to 2048
wide, 32768 words) and what the engine answered; "+gqa" has a quarter of the K/V heads. `settings` are random flags on
skeletons.
"""

import json
import lzma
import statistics
import time
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from splitter.memory.compute.model import ComputeModel, ComputeUse
from splitter.memory.compute.proof import is_exact
from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.load import load_model
from splitter.units import MIB
from tests.engine.skeletons import write_skeleton
from tests.memory.engine_answers import ARCHIVE, NO_HOST, settings_of, truth
from tests.memory.engine_answers import answers as recorded

DATA = Path(__file__).parent / "data" / "compute-answers.json.xz"
PUBLIC = DATA.with_name("public-answers.tar.xz")  # tests/engine/public_headers.py
# A bf16 cache without flash attention whose layers are on the CPU, three slots to a batch of 64.
KNOWN_UNDER = {"llama-moe-2 -ngl 2 -c 262144 -ts 2.7,0,4.6 -ctk bf16 -ctv bf16 -fa off -np 3 -ub 64"}
Row = tuple[str, float, int]  # model, signed error in MiB, llama.cpp's MiB


@cache
def answers() -> Any:
    return json.loads(lzma.decompress(DATA.read_bytes()))


@pytest.fixture(scope="module")
def skeletons(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelFacts]:
    folder = tmp_path_factory.mktemp("skeletons")
    names = {case["model"] for case in truth()["cases"]}
    return {name: load_model(str(write_skeleton(name, folder))) for name in names}


def header(model: Any) -> ModelFacts:
    tensors = tuple(TensorInfo(name, tuple(shape), kind, size, 0) for name, shape, kind, size in model["tensors"])
    metadata = {key: tuple(value) if isinstance(value, list) else value for key, value in model["metadata"].items()}
    return ModelFacts(
        path=model["name"],
        name=model["name"],
        architecture=model["architecture"],
        quantization=None,
        file_bytes=0,
        layers=model["layers"],
        context_train=model["context_train"],
        parameters=0,
        vocabulary=model["vocabulary"],
        tensors=tensors,
        metadata=metadata,
    )


def flags(args: list[str], devices: int) -> Settings:
    """What `args` mean, for the flags that memory depends on."""
    settings = settings_of([arg for arg in args if arg not in {"--no-op-offload", "-cmoe"}], devices)
    return replace(settings, op_offload="--no-op-offload" not in args, cpu_moe="-cmoe" in args)


def compute_use(facts: ModelFacts, settings: Settings, placement: Placement) -> ComputeUse:
    return ComputeModel(facts, settings, NO_HOST).use(placement)


def errors(name: str, use: ComputeUse, found: list[int]) -> list[Row]:
    """Signed errors of the devices; llama.cpp rounds down."""
    return [(name, size // MIB - mib, mib) for size, mib in zip(use.devices, found[: len(use.devices)], strict=True)]


def is_under(row: Row) -> bool:
    return row[1] < -max(16, 0.03 * row[2])


def is_over(row: Row, mib: float, share: float) -> bool:
    return row[1] > max(mib, share * row[2])


def show(title: str, rows: list[Row]) -> None:
    by_model: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_model[row[0]].append(row)
    print(f"\n{title}: {len(rows)} devices, signed worst errors in MiB")
    for name, found in sorted(by_model.items()):
        low, high = min(found, key=lambda r: r[1]), max(found, key=lambda r: r[1])
        print(f"  {name:28} {len(found):4d} devices  {low[1]:+6.0f} of {low[2]:5d}  {high[1]:+6.0f} of {high[2]:5d}")


def test_show_1_compute_is_within_its_bounds(skeletons: dict[str, ModelFacts]) -> None:
    rows: list[Row] = []
    host: list[Row] = []
    for case in truth()["cases"]:
        mib = [row["compute_mib"] for row in case["devices"]]
        layers = tuple(None if name == "CPU" else int(name[4:]) for name in case["layer_device"])
        placement = Placement(layers, len(mib) - 1)
        use = compute_use(skeletons[case["model"]], flags(case["args"], placement.devices), placement)
        rows += errors(case["model"], use, mib)
        host.append((case["model"], use.host // MIB - mib[-1], mib[-1]))
        assert use.pipeline == case["pipeline"]
        assert use.proven
    show("Show 1, compute", rows)
    show("Show 1, compute of the host", host)
    assert not any(map(is_under, rows))
    assert sum(is_over(row, 48, 0.15) for row in rows) <= 0.05 * len(rows)
    assert not any(is_over(row, 128, 0.35) for row in rows)
    assert max(abs(row[1]) for row in rows + host) <= 1  # what the rebuilt graph really reaches


def test_random_settings_are_met(skeletons: dict[str, ModelFacts]) -> None:
    rows: list[Row] = []
    for name, devices, args, mib, layers, pipeline in answers()["settings"]:
        placement = Placement(tuple(None if layer < 0 else layer for layer in layers), devices)
        use = compute_use(skeletons[name], flags(args, devices), placement)
        rows += errors(name, use, mib)
        assert use.pipeline == pipeline
    show(f"{len(answers()['settings'])} random settings, compute", rows)
    assert not any(is_under(row) or is_over(row, 48, 0.15) for row in rows)


def test_breadth_of_architectures() -> None:
    """Proven ones within Show 1's bounds; the others not below what was reserved for them."""
    rows: list[Row] = []
    others: list[Row] = []
    for model in answers()["models"]:
        facts = header(model)
        for case, devices, mib, layers, _ in model["answers"]:
            placement = Placement(tuple(None if layer < 0 else layer for layer in layers), devices)
            use = compute_use(facts, flags(answers()["flags"][case], devices), placement)
            (rows if is_exact(facts.architecture) else others).extend(errors(model["name"], use, mib))
    show("Breadth, proven architectures", rows)
    show("Breadth, the others", others)
    exact = sum(abs(row[1]) <= 1 for row in rows)
    print(f"exact to the MiB: {exact} of {len(rows)} devices of proven architectures")
    assert not any(map(is_under, rows))
    assert sum(is_over(row, 48, 0.15) for row in rows) <= 0.05 * len(rows)
    assert not any(is_over(row, 128, 0.35) for row in rows)
    assert not any(map(is_under, others))


@pytest.mark.parametrize("archive", [ARCHIVE, PUBLIC], ids=["varied headers", "public shapes"])
def test_headers_and_settings_recorded_in_bytes(archive: Path) -> None:
    """Every case whose compute buffers llama.cpp gave in bytes: random headers and flags, and published shapes."""
    rows: list[Row] = []
    others: list[Row] = []
    for case in recorded(archive):
        if "-sm tensor" in case.args:
            continue
        use = compute_use(case.facts, case.settings(), case.placement())
        found = [case.device(i)[2] for i in range(len(use.devices))]
        errors_mib = [(ours - theirs) / MIB for ours, theirs in zip(use.devices, found, strict=True)]
        name = f"{case.model} {case.args}" if any(abs(error) > 16 for error in errors_mib) else case.facts.architecture
        kept = rows if use.proven else others
        kept.extend((name, error, size // MIB) for error, size in zip(errors_mib, found, strict=True))
    exact = sum(abs(row[1]) < 1 for row in rows)
    show(f"{archive.name}, proven", rows)
    print(f"exact to the MiB: {exact} of {len(rows)} devices of proven architectures")
    assert {row[0] for row in rows if is_under(row)} <= KNOWN_UNDER
    assert not any(map(is_under, others))
    assert exact >= 0.95 * len(rows)
    assert sum(is_over(row, 48, 0.15) for row in rows) <= 0.01 * len(rows)


def test_an_unknown_architecture_is_estimated_and_said_to_be_unproven(skeletons: dict[str, ModelFacts]) -> None:
    known = skeletons["llama-3.1-8b-q4_k_m"]
    renamed = {key.replace("llama.", "neverheard."): value for key, value in known.metadata.items()}
    facts = replace(known, architecture="neverheard", metadata=renamed)
    settings = flags(["-c", "8192"], 2)
    placement = Placement((0,) * 16 + (1,) * 17, 2)
    ours, sure = compute_use(facts, settings, placement), compute_use(known, settings, placement)
    assert not ours.proven
    assert all(a > b for a, b in zip(ours.devices, sure.devices, strict=True))


def test_a_device_that_holds_nothing_has_no_buffer(skeletons: dict[str, ModelFacts]) -> None:
    use = compute_use(skeletons["tinyllama-1.1b-q4_0"], flags(["-c", "4096"], 3), Placement((1,) * 23, 3))
    assert use.devices[0] == use.devices[2] == 0
    assert use.uncertainty[0] == 0 < use.uncertainty[1]


def test_speed_of_many_placements(skeletons: dict[str, ModelFacts]) -> None:
    """A solver asks for thousands of placements of one model: nearly all are answered from what is known."""
    facts, settings = skeletons["llama-3.3-70b-q4_k_m"], flags(["-c", "16384"], 4)
    started = time.perf_counter()
    model = ComputeModel(facts, settings)
    model.use(Placement((0,) * 20 + (1,) * 20 + (2,) * 20 + (3,) * 21, 4))
    first = time.perf_counter() - started
    times = []
    for a in range(5, 25):
        for b in range(5, 25):
            placement = Placement((0,) * a + (1,) * b + (2,) * 20 + (3,) * (61 - a - b), 4)
            started = time.perf_counter()
            model.use(placement)
            times.append(time.perf_counter() - started)
    further = 1000 * statistics.median(times)
    print(f"\nfirst placement with precomputation {1000 * first:.1f} ms, further ones median {further:.3f} ms")
    assert statistics.median(times) < first / 3, "what is known must not be computed again"
