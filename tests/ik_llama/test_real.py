"""pytest -m ik: what is planned against what the real server of the fork says when it loads, and the whole way."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from splitter.engine.engines import rules_of
from splitter.engine.find import find_engine
from splitter.engine.ik_llama.placement import layer_sizes
from splitter.errors import EngineNotFoundError
from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.load import load_model
from splitter.units import MIB
from tests.engine.oracle import engine_dir, skeleton
from tests.ik_llama.real import load_lines, server

pytestmark = pytest.mark.ik
TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"
NAMES = ("llama-3.1-8b-q4_k_m", "qwen3-30b-a3b-q4_k_m", "gemma-3-27b-q4_k_m", "gpt-oss-20b-mxfp4",
         "deepseek-v2-lite-q4_k_m", "qwen2.5-0.5b-q8_0")  # fmt: skip
VARIED: tuple[dict[str, object], ...] = (
    {"context_size": 512}, {"context_size": 1000}, {"context_size": 4096}, {"context_size": 8192, "ubatch_size": 64},
    {"context_size": 2048, "ubatch_size": 1024}, {"context_size": 4096, "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    {"context_size": 4096, "cache_type_k": "q6_0", "cache_type_v": "q4_0"}, {"context_size": 2048, "parallel": 4},
    {"context_size": 2048, "flash_attention": "off"}, {"context_size": 16384, "cache_type_k": "q4_0"},
)  # fmt: skip
MEASURED: list[tuple[str, int, int, int]] = []


def settings(**varied: object) -> Settings:
    base = {**rules_of("ik-llama").assumed, "gpu_layers": 0, "device_order": (), "swa_full": True, **varied}
    return Settings(**base)


def arguments(of: Settings) -> list[str]:
    flash = "off" if of.flash_attention == "off" else "on"
    return ["-c", str(of.context_size), "-b", str(of.batch_size), "-ub", str(of.ubatch_size), "-ctk", of.cache_type_k,
            "-ctv", of.cache_type_v, "-fa", flash, "-np", str(of.parallel), "-ngl", "0"]  # fmt: skip


@pytest.mark.parametrize("varied", VARIED, ids=lambda varied: "-".join(f"{v}" for v in varied.values()))
@pytest.mark.parametrize("name", NAMES)
def test_weights_caches_and_needs_are_the_servers(name: str, varied: dict[str, object], tmp_path: Path) -> None:
    facts, chosen = load_model(str(skeleton(name))), settings(**varied)
    said = load_lines(["-m", facts.path, *arguments(chosen)], tmp_path)
    layers, (ours, compute) = said.layers(), layer_sizes(facts, chosen)
    assert len(layers) == placed_layers(facts), said.text[-2000:]
    for (weights, cached, _), size in zip(layers, ours, strict=False):
        assert abs(weights + cached - size) <= 0.03 * MIB
    assert abs(max(need for _, _, need in layers) - compute) <= 0.02 * MIB
    memory = MemoryModel(facts, chosen, rules_of("ik-llama").memory)
    host = memory.footprint(Placement((None,) * (placed_layers(facts) + 1), 0)).host
    held = said.cache_bytes()
    assert held is not None, said.text[-2000:]
    assert abs(held - host.context_bytes) <= 0.5 * MIB
    MEASURED.append((name, host.compute_bytes, sum(said.buffers("compute ").values()), host.model_bytes))
    print(f"{name} {varied}: compute {host.compute_bytes / MIB:.0f} planned, {MEASURED[-1][2] / MIB:.0f} allocated")


def test_compute_buffers_for_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    """Its graph is its own: the estimate is said to be one. Printed, per model, ours and theirs in MiB."""
    with capsys.disabled():
        for name, ours, theirs, _ in MEASURED:
            print(f"\n{name}: compute planned {ours / MIB:.0f}, allocated {theirs / MIB:.0f} MiB", end="")


def test_found_by_its_help_and_not_mistaken() -> None:
    assert find_engine("ik-llama", server()).kind == "ik-llama"
    with pytest.raises(EngineNotFoundError, match="is not ik-llama"):
        find_engine("ik-llama", str(engine_dir().binary("llama-server")))


def splitter(*words: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "splitter", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=tempfile.gettempdir()
    )


@pytest.mark.parametrize("model", [TINY], ids=["tiny"])
def test_plan_launch_answer_bench_stop(model: Path) -> None:
    engine = ("--engine", "ik-llama", "--engine-path", server(), "-ngl", "0", "-c", "1024")
    planned = json.loads(splitter("plan", str(model), *engine, "--json").stdout)
    assert planned["data"]["engine"]["kind"] == "ik-llama"
    launched = splitter("launch", str(model), *engine, "--port", "18471", "--detach")
    assert launched.returncode == 0, launched.stdout + launched.stderr
    try:
        measured = splitter("bench", "--url", "http://127.0.0.1:18471", "--prompt-tokens", "64", "--generate", "16",
                            "--json")  # fmt: skip
        assert measured.returncode == 0, measured.stdout + measured.stderr
        assert '"ik-llama"' in measured.stdout
    finally:
        stopped = splitter("stop", "--all")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
