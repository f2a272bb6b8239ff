"""The command line against the real llama.cpp on the emulated phoenix rig: planned, launched, measured, stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitter.run.endpoint import any_free_port, ask, is_free
from splitter.units import MIB
from tests.engine.oracle import RIGS, dry_run, engine_dir, skeleton

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
PHOENIX = RIGS["phoenix"]
READY_S, STOP_S = 60, 30


def splitter(*words: str) -> list[str]:
    return [sys.executable, "-m", "splitter", *words]


def environment() -> dict[str, str]:
    return {**os.environ, **engine_dir().env(PHOENIX)}


def run_json(*words: str) -> Any:
    done = subprocess.run(splitter(*words, "--json"), env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["data"]


VOCABULARY = 152_064  # of the 32B skeleton


def flags_after_model(argv: list[str]) -> list[str]:
    """The placement flags, without program, model, --fit and server flags (llama-fit-params knows none of those)."""
    start = argv.index("-c")
    end = argv.index("--host")
    return argv[start:end]


@pytest.fixture(scope="module")
def small_64_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many layers as the 32B model, small enough to run here."""
    path = tmp_path_factory.mktemp("model") / "small64.gguf"
    make = [sys.executable, str(ROOT / "examples" / "make_model.py"), "--layers", "64", "--context", "8192"]
    subprocess.run([*make, "-o", str(path)], check=True)
    return path


def test_the_32b_plan_is_accepted_by_the_dry_run() -> None:
    data = run_json("plan", str(skeleton("qwen2.5-32b-q4_k_m")), "--rig", "phoenix")
    order = data["settings"]["device_order"]
    rows = dry_run(skeleton("qwen2.5-32b-q4_k_m"), PHOENIX, flags_after_model(data["command"]["argv"]))
    held = {row.device: row for row in rows}
    assert set(order) <= set(held)
    logits_mib = VOCABULARY * 4 * data["settings"]["ubatch_size"] / MIB  # the dry run's, which no server reserves
    for device in data["devices"]:
        row = held[device["id"]]
        extra_mib = logits_mib * device["holds_output"]
        assert (row.model_mib + row.context_mib + row.compute_mib + 3) * MIB < device["free_bytes"]
        assert abs(device["model_bytes"] / MIB - row.model_mib) <= 1
        assert abs(device["context_bytes"] / MIB - row.context_mib) <= 1
        difference_mib = device["compute_bytes"] / MIB - row.compute_mib
        assert -max(16, 0.03 * row.compute_mib) - extra_mib <= difference_mib <= 128


def test_verify_says_so() -> None:
    model = str(skeleton("qwen2.5-32b-q4_k_m"))
    data = run_json("plan", model, "--engine-path", str(engine_dir().binary("llama-server")), "--verify")
    assert data["verified"]["by"] == "llama-fit-params"
    assert all(device["headroom_bytes"] >= 0 for device in data["devices"])


@pytest.fixture
def launched(small_64_layers: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`splitter launch` with the 32B plan's own split, and the URL it serves."""
    port = any_free_port()
    three_cards = ("--rig", "phoenix", "--device", "CUDA1,CUDA2,CUDA0", "--workload", "16:256")
    plan = run_json("plan", str(skeleton("qwen2.5-32b-q4_k_m")), *three_cards)["settings"]
    words = (
        *("launch", str(small_64_layers), "--engine-path", str(engine_dir().binary("llama-server"))),
        *("-c", str(plan["context_size"]), "-ngl", str(plan["gpu_layers"]), "-dev", ",".join(plan["device_order"])),
        *("-ts", ",".join(map(str, plan["tensor_split"])), "--port", str(port), "--json"),
    )
    with subprocess.Popen(splitter(*words), env=environment(), stdout=subprocess.PIPE, text=True) as process:
        yield process, f"http://127.0.0.1:{port}"
        process.kill()


def test_launch_answers_measures_and_leaves_nothing(launched: tuple[subprocess.Popen[str], str]) -> None:
    process, url = launched
    assert process.stdout
    said = read_document(process)
    assert said["status"] == "ok"
    assert said["data"]["url"] == url
    assert {device["id"] for device in said["data"]["plan"]["devices"]} == {"CUDA0", "CUDA1", "CUDA2"}
    assert said["data"]["plan"]["verified"]["by"] == "llama-fit-params"
    reply = ask(url, "/completion", body={"prompt": "A card", "n_predict": 8}, timeout_s=60).json()
    assert reply["tokens_predicted"] == 8
    bench = run_json("bench", "--url", url, "--prompt-tokens", "64", "--generate", "16", "--repetitions", "2")
    assert bench["generation_tokens_per_s"]["median"] > 0
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    assert process.wait(STOP_S) == 130
    assert not any(child.is_running() for child in children)
    assert is_free("127.0.0.1", int(url.rsplit(":", 1)[1]))


def read_document(process: subprocess.Popen[str]) -> Any:
    """The one JSON object that `launch` prints when the engine is ready."""
    assert process.stdout
    text, until = "", time.monotonic() + READY_S
    while time.monotonic() < until:
        line = process.stdout.readline()
        text += line
        if line == "}\n":
            return json.loads(text)
        assert line, f"ended early: {text}"
    raise AssertionError(text)
