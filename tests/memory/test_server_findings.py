"""Issue 13's findings as tests: figures that the real llama-server 11434 printed on the rig emulator (MiB)."""

import tarfile
from functools import cache
from pathlib import Path

import pytest

from splitter.engine.llama_server.dry_run_rows import beside_server
from splitter.errors import UsageError
from splitter.memory.footprint import Footprint
from splitter.memory.model import MemoryModel
from splitter.memory.rules import LLAMA_CPP, LLAMA_SERVER, MemoryRules
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.model.header import read_header
from splitter.model.read_facts import facts_from_headers
from splitter.plan.evaluate import evaluate
from splitter.plan.placement import placement_of
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.rig.device import Device, Host, Rig
from splitter.units import MIB
from tests.memory.engine_answers import Bytes
from tests.memory.server_answers import server_settings

HEADERS = Path(__file__).parent / "data" / "finding-headers.tar.xz"
QWEN, GEMMA = "qwen3.5-0.8b-mtp-q8_0", "gemma-4-31b-q8_0"
FILE_BYTES = {QWEN: 1092822624, GEMMA: 32619894688}
MTP = "-ngl 999 -c 131072 -ctk q8_0 -ctv q8_0 -np 1 --spec-type draft-mtp --spec-draft-n-max 3"


@cache
def facts(name: str) -> ModelFacts:
    with tarfile.open(HEADERS) as archive:
        file = archive.extractfile(f"{name}.gguf")
        assert file is not None
        return facts_from_headers((read_header(Bytes(name, FILE_BYTES[name], file.read())),), name)


def footprint(name: str, args: str, devices: int, rules: MemoryRules = LLAMA_SERVER) -> Footprint:
    settings = server_settings(args.split(), devices)
    placement = placement_of(placed_layers(facts(name)), settings, (8000,) * devices)
    return MemoryModel(facts(name), settings, rules).footprint(placement)


def near(ours_bytes: int, printed_mib: float) -> bool:
    return abs(ours_bytes / MIB - printed_mib) < 0.3


def test_1_the_server_reserves_logits_for_its_slots() -> None:
    for ubatch, served, dry in ((2048, 320.39, 2148), (512, 80.2, 537)):
        args = f"-ngl 999 -c 8192 -ub {ubatch} -np 1"
        assert near(footprint(QWEN, args, 2).devices[1].compute_bytes, served)
        assert footprint(QWEN, args, 2, LLAMA_CPP).devices[1].compute_bytes // MIB == dry


def test_2_mtp_is_counted() -> None:
    """Weights 21, recurrent state four times, a cache of its own in f16 although -ctk q8_0, compute 553."""
    first, second = footprint(QWEN, MTP, 2).devices
    assert near(first.context_bytes, 450.81)
    assert near(second.model_bytes, 509.54)
    assert near(second.context_bytes, 442.25 + 256.00)
    assert near(second.compute_bytes, 801.13 + 553.06)
    plain = footprint(QWEN, MTP.partition(" --spec")[0], 2).devices[1]
    assert near(second.model_bytes - plain.model_bytes, 20.74)


def test_2_mtp_without_mtp_layers_is_refused() -> None:
    rig = Rig("one", Host(), (Device("CUDA0", "RTX 5090", 32607 * MIB, 32000 * MIB, 1.8e12),))
    with pytest.raises(UsageError, match="has no MTP layers to draft with"):
        solve(facts(GEMMA), rig, Request(fixed={"spec_type": "draft-mtp"}))


def test_3_gemma_4_with_a_quantised_cache_and_layers_in_ram() -> None:
    held = footprint(GEMMA, "-ngl 37 -c 262144 -np 1 -ctk q8_0 -ctv q8_0", 1).devices[0]
    assert held.compute_bytes // MIB == 4074


def test_7_split_by_tensor_with_mtp() -> None:
    """The most that each emulated device handed out."""
    for args, peaks in (
        ("-c 8192 -np 1", (560.0, 560.0)),
        ("-c 16384 -np 2 -ts 2,1 --spec-draft-n-max 2", (832.4, 442.4)),
        ("-c 32768 -np 1 -ctk q8_0 -ctv q8_0", (742.3, 742.3)),
    ):
        uses = footprint(QWEN, f"-sm tensor -ngl 999 {args} --spec-type draft-mtp", 2).devices
        assert all(near(use.breakdown_bytes(), peak) for use, peak in zip(uses, peaks, strict=True)), args


def test_a_proof_says_where_the_dry_run_is_beside_its_server() -> None:
    rig = Rig("two", Host(), tuple(Device(f"CUDA{i}", "RTX 3070", 8192 * MIB, 8000 * MIB, 4.48e11) for i in range(2)))
    settings = server_settings(["-ngl", "999", "-c", "8192", "-ub", "2048", "-np", "1", "-ts", "1,1"], 2)
    said = beside_server(evaluate(facts(QWEN), rig, settings))
    assert said == (
        "llama-fit-params counts 1.79 GiB more on CUDA1 than its server holds (logits of a whole micro-batch):"
        " the figures are the server's"
    )
    small = server_settings(["-ngl", "999", "-c", "8192", "-ub", "1", "-b", "1", "-np", "1", "-ts", "1,1"], 2)
    assert beside_server(evaluate(facts(QWEN), rig, small)) is None
