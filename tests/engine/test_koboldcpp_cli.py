"""`splitter launch --profile phoenix` with koboldcpp, over the command line: the stand-in in front of the real
llama-server on the emulated rig, so that it truly generates and truly runs out of memory."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from splitter.run.endpoint import any_free_port, ask, is_free
from splitter.units import MIB
from tests.engine.oracle import RIGS, RigRow, engine_dir
from tests.standin.install import install

pytestmark = [
    pytest.mark.engine,
    pytest.mark.usefixtures("no_process_left"),
    pytest.mark.skipif(sys.platform == "win32", reason="the stand-in forks"),
]

ROOT = Path(__file__).parents[2]
TINY = ROOT / "examples" / "tiny.gguf"
SPREAD = ("-dev", "CUDA2,CUDA0,CUDA1", "-ngl", "99", "-ts", "3,2,1")
RELEASES = ("1.123", "1.115.1", "1.76")


@contextmanager
def launching(
    folder: Path, release: str, *words: str, rig: Sequence[RigRow] = RIGS["phoenix"]
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`splitter launch --profile phoenix` for the tiny model and a koboldcpp release, on a rig that may differ."""
    engine = engine_dir()
    binary = install(
        folder, KCPP_RELEASE=release, KCPP_PAUSE_S="0.1", KCPP_BACKEND=str(engine.binary("llama-server"))
    )  # fmt: skip
    port = any_free_port()
    argv = [
        *(sys.executable, "-m", "splitter", "launch", str(TINY), "--profile", "phoenix"),
        *("--engine-path", str(binary), "--port", str(port), *words),
    ]
    env = {**os.environ, **engine.env(rig)}
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, port
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(30)


def document(process: subprocess.Popen[str]) -> Any:
    """The JSON object that stands on standard output when the engine is ready."""
    assert process.stdout
    text, until = "", time.monotonic() + 60
    while not text.endswith("\n}\n") and time.monotonic() < until:
        line = process.stdout.readline()
        assert line, f"ended early: {text}"
        text += line
    return json.loads(text)


@pytest.mark.parametrize("release", RELEASES)
def test_launched_asked_measured_and_stopped(tmp_path: Path, release: str) -> None:
    log = tmp_path / "engine.log"
    with launching(tmp_path, release, *SPREAD, "--log-file", str(log), "--json") as (process, port):
        data = document(process)["data"]
        url = f"http://127.0.0.1:{port}"
        assert data["url"] == url
        assert data["plan"]["engine"] == {
            "kind": "koboldcpp",
            "version": release,
            "path": str(tmp_path / "koboldcpp-linux-x64"),
        }
        assert data["plan"]["command"]["env"]["CUDA_VISIBLE_DEVICES"] == "2,0,1"
        reply = ask(url, "/api/v1/generate", body={"prompt": "The card", "max_length": 8}, timeout_s=60).json()
        assert reply["results"][0]["text"]
        bench = [
            *(sys.executable, "-m", "splitter", "bench", "--url", url, "--prompt-tokens", "64", "--generate", "16"),
            *("--repetitions", "2", "--json"),
        ]
        measured = json.loads(subprocess.run(bench, capture_output=True, text=True, check=True).stdout)["data"]
        perf = ask(url, "/api/extra/perf").json()
        assert measured["generation_tokens_per_s"]["maximum"] >= 1000 / perf["last_eval"] - 0.01
        assert measured["generation_tokens_per_s"]["minimum"] <= 1000 / perf["last_eval"] + 0.01
        assert perf["total_gens"] == 4
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert is_free("127.0.0.1", port)
    text = log.read_text(encoding="utf-8")
    planned = {device["id"]: device for device in data["plan"]["devices"]}
    for index, real in enumerate(("CUDA2", "CUDA0", "CUDA1")):  # its CUDA0 is the plan's first card
        weights, cache = buffers(text, "model")[f"CUDA{index}"], buffers(text, "KV").get(f"CUDA{index}", 0)
        assert weights == pytest.approx(planned[real]["model_bytes"] / MIB, abs=0.01)
        assert cache == pytest.approx(planned[real]["context_bytes"] / MIB, abs=0.01)  # 128 tokens more than asked for


def buffers(log: str, kind: str) -> dict[str, float]:
    """MiB of weights ("model") or cache ("KV") by device, in the engine's own numbering."""
    return {name: float(size) for name, size in re.findall(rf"(CUDA\d) {kind} buffer size = +([\d.]+) MiB", log)}


def failed(process: subprocess.Popen[str]) -> str:
    """What a launch that must end with exit code 4 says."""
    _, words = process.communicate(timeout=60)
    assert process.returncode == 4, words
    return " ".join(words.split())


@pytest.mark.parametrize("release", RELEASES)
def test_a_card_that_is_fuller_than_planned(tmp_path: Path, release: str) -> None:
    """No room for the cache on the plan's CUDA0, which the engine calls CUDA1."""
    rig = [("GTX 1050 Ti", 4096, 2, 112), *RIGS["phoenix"][1:]]
    with launching(tmp_path, release, *SPREAD, "-c", "65536", "--quiet", rig=rig) as (process, _):
        assert "koboldcpp ended while it loaded: CUDA0 had no room for another" in failed(process)


@pytest.mark.parametrize("release", RELEASES)
def test_a_card_that_is_full(tmp_path: Path, release: str) -> None:
    """No room for weights on the plan's CUDA1, which the engine calls CUDA2: a crash in old releases."""
    rig = [RIGS["phoenix"][0], ("RTX 2080", 8192, 0, 448), RIGS["phoenix"][2]]
    with launching(tmp_path, release, *SPREAD, "--quiet", rig=rig) as (process, _):
        assert "koboldcpp ended while it loaded: CUDA1 had no room for another" in failed(process)


def test_failures_as_json(tmp_path: Path) -> None:
    rig = [RIGS["phoenix"][0], ("RTX 2080", 8192, 0, 448), RIGS["phoenix"][2]]
    with launching(tmp_path, "1.123", *SPREAD, "--json", rig=rig) as (process, _):
        text, _ = process.communicate(timeout=60)
        said = json.loads(text)
    assert process.returncode == 4
    assert (said["status"], said["errors"][0]["code"]) == ("error", "engine_failed")
    assert "--margin" in said["errors"][0]["hint"]
