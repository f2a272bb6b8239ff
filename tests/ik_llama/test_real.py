"""pytest -m ik: what is planned against what the real server of the fork says when it loads, and the whole way."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from splitter.engine.engines import rules_of
from splitter.engine.find import find_engine
from splitter.engine.ik_llama.latent import Latent
from splitter.engine.ik_llama.memory import ik_memory
from splitter.engine.ik_llama.placement import experts_in_ram, layer_sizes, split_layers
from splitter.errors import EngineNotFoundError
from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.model.ggml_types import GGML_TYPES
from splitter.model.load import load_model
from splitter.units import MIB
from tests.engine.oracle import engine_dir, skeleton
from tests.ik_llama.real import free_port, gemma, load_lines, rpc_servers, server

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
TYPES = {kind.name.lower(): number for number, kind in GGML_TYPES.items()}
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
    host = memory.footprint(memory_on_host(facts)).host
    held = said.cache_bytes()
    assert held is not None, said.text[-2000:]
    assert abs(held - host.context_bytes) <= 0.5 * MIB
    MEASURED.append((name, host.compute_bytes, sum(said.buffers("compute ").values()), host.model_bytes))
    print(f"{name} {varied}: compute {host.compute_bytes / MIB:.0f} planned, {MEASURED[-1][2] / MIB:.0f} allocated")


LATENT: tuple[tuple[int, int, str, str, int, int], ...] = (
    (8192, 512, "on", "f16", 3, 256), (16384, 512, "on", "q4_0", 3, 256), (32768, 512, "on", "f16", 3, 256),
    (32768, 512, "on", "f16", 3, 1024), (32768, 512, "on", "q8_0", 2, 256), (8192, 512, "on", "f16", 0, 256),
    (8192, 512, "on", "f16", 1, 256), (8192, 512, "off", "f16", 3, 256), (8192, 512, "off", "f16", 1, 64),
    (16384, 64, "on", "f16", 3, 256),
)  # fmt: skip


@pytest.mark.parametrize("case", LATENT, ids=str)
def test_latent_attention_is_never_under(case: tuple[int, int, str, str, int, int], tmp_path: Path) -> None:
    """Its cache exactly, its compute buffer at least, for -mla and -amb; and the tensors that it makes."""
    context, batch, flash, kind, mla, bound = case
    facts = load_model(str(skeleton("deepseek-v2-lite-q4_k_m")))
    chosen = settings(context_size=context, ubatch_size=batch, flash_attention=flash, cache_type_k=kind)
    own = ("-mla", str(mla), "-amb", str(bound))
    said = load_lines(["-m", facts.path, *arguments(chosen), *own], tmp_path)
    memory = MemoryModel(facts, chosen, ik_memory(Latent(mla, bound)))
    host = memory.footprint(memory_on_host(facts)).host
    held = said.cache_bytes()
    assert held is not None, said.text[-2000:]
    assert abs(held - host.context_bytes) <= 0.5 * MIB
    assert host.compute_bytes >= sum(said.buffers("compute ").values())
    made = sum(GGML_TYPES[TYPES[kind]].row_bytes(elements) for kind, elements in said.made())
    assert made == host.model_bytes - MemoryModel(facts, chosen).model_bytes(memory_on_host(facts))[1]


@pytest.mark.parametrize(("shares", "experts"), [("2,1", 11), ("1,3", 5), ("5,4", 30), ("1,1", 47)])
def test_layers_and_experts_over_two_devices(shares: str, experts: int, tmp_path: Path) -> None:
    """Two of its RPC servers as devices, nothing read of the file: who gets which layer, whose experts stay in RAM."""
    facts = load_model(str(skeleton("qwen3-30b-a3b-q4_k_m")))
    chosen = settings(context_size=2048)
    with rpc_servers(2) as servers:
        said = load_lines(["-m", facts.path, *arguments(chosen)[:-2], "-ngl", "99", "--rpc", servers, "-ts", shares,
                           "-ncmoe", str(experts), "--dry-run"], tmp_path)  # fmt: skip
    sizes, compute = layer_sizes(facts, chosen)
    owners = split_layers(sizes, compute, facts.layers + 1, [float(share) for share in shares.split(",")])
    assert said.owners() == dict(enumerate(owners)), said.text[-2000:]
    assert said.in_ram() == set(experts_in_ram(owners[:-1], experts, 2))


def memory_on_host(facts: ModelFacts) -> Placement:
    return Placement((None,) * (placed_layers(facts) + 1), 0)


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


def answer(port: str, text: str) -> str:
    body = json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 24}).encode()
    asked = Request(f"http://127.0.0.1:{port}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urlopen(asked, timeout=120) as found:
        return str(json.load(found)["choices"][0]["message"]["content"])


@pytest.mark.parametrize("model", ["tiny", "gemma"])
def test_plan_launch_answer_bench_stop(model: str) -> None:
    port, path = str(free_port()), str(TINY if model == "tiny" else gemma())
    engine = ("--engine", "ik-llama", "--engine-path", server(), "-ngl", "0", "-c", "1024")
    planned = json.loads(splitter("plan", path, *engine, "--json").stdout)
    assert planned["data"]["engine"]["kind"] == "ik-llama"
    launched = splitter("launch", path, *engine, "--port", port, "--detach")
    assert launched.returncode == 0, launched.stdout + launched.stderr
    try:
        assert answer(port, "Say hello.") or model == "tiny"
        measured = splitter("bench", "--url", f"http://127.0.0.1:{port}", "--prompt-tokens", "64", "--generate", "16",
                            "--json")  # fmt: skip
        assert measured.returncode == 0, measured.stdout + measured.stderr
        assert '"ik-llama"' in measured.stdout
    finally:
        stopped = splitter("stop", "--all")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
