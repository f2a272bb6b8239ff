"""Rig, plan, script, launch with the embedded engine, ps, logs, stop: as a user types them, on Windows."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitter.run.endpoint import any_free_port

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="Windows alone")
EXAMPLE = Path(__file__).parents[3] / "examples" / "tiny.gguf"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space and letters of three scripts in its name."""
    folder = tmp_path_factory.mktemp("a") / "Моя 模型 größe"
    folder.mkdir()
    (folder / "tiny model.gguf").write_bytes(EXAMPLE.read_bytes())
    return folder


EMBEDDED = ("--engine", "embedded", "-c", "256")


def started(home: Path, *words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "splitter", *words],
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(home),
    )


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "APPDATA": str(home / "r"), "LOCALAPPDATA": str(home / "l")}


def splitter(home: Path, *words: str, code: int = 0, timeout_s: float = 200) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "splitter", *words],
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        env=environment(home),
        check=False,
    )
    assert done.returncode == code, done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
    return done.stdout.decode("utf-8")


def data(home: Path, *words: str, code: int = 0) -> Any:
    return json.loads(splitter(home, *words, "--json", code=code))["data"]


def test_plan_and_script(home: Path) -> None:
    plan = data(home, "plan", "tiny model.gguf", "--gpus", "1050ti,2080", "--engine-version", "11434")
    assert [device["id"] for device in plan["devices"]]
    splitter(home, "script", "tiny model.gguf", "--gpus", "1050ti,2080", "--engine-version", "11434", "-o", "out dir")
    (batch,) = (home / "out dir").glob("*.bat")
    assert b"tiny model.gguf" in batch.read_bytes()


def test_launch_detached_ps_logs_stop(home: Path) -> None:
    port = any_free_port()
    launch = ("launch", "tiny model.gguf", *EMBEDDED, "--port", str(port), "--detach")
    splitter(home, *launch, "--name", "first")
    try:
        (running,) = data(home, "ps")["instances"]
        assert running["name"] == "first"
        body = json.dumps({"prompt": "a", "n_predict": 4}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/completion", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert "content" in json.load(answer)
        assert "build_info" in splitter(home, "logs", "first")
        splitter(home, *launch, "--name", "second", code=4)  # the port is taken
        supervisor = psutil.Process(running["supervisor_pid"])
        family = supervisor.children(recursive=True)
        assert family
    finally:
        splitter(home, "stop", "first")
    deadline = time.monotonic() + 30
    while any(child.is_running() for child in family) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [child for child in family if child.is_running()]
    assert data(home, "ps")["instances"] == []


def test_logs_follow_until_the_end(home: Path) -> None:
    port = any_free_port()
    splitter(home, "launch", "tiny model.gguf", *EMBEDDED, "--port", str(port), "--detach", "--name", "followed")
    with started(home, "logs", "followed", "-f") as following:
        try:
            time.sleep(2)
            assert following.poll() is None
        finally:
            splitter(home, "stop", "followed")
        said = following.communicate(timeout=60)[0].decode("utf-8")
    assert following.returncode == 0
    assert "build_info" in said


def test_a_killed_supervisor_takes_engine_and_grandchild_along(home: Path) -> None:
    """A job object: Windows ends what is in it when its last handle is closed, however the holder ends."""
    engine = home / "koboldcpp.py"
    engine.write_text("import runpy\nrunpy.run_module('tests.standin', run_name='__main__', alter_sys=True)\n")
    words = ("--engine", "koboldcpp", "--engine-path", str(engine), "-ngl", "0", "-c", "256")
    splitter(home, "launch", "tiny model.gguf", *words, "--port", str(any_free_port()), "--detach", "--name", "killed")
    running = next(item for item in data(home, "ps")["instances"] if item["name"] == "killed")
    supervisor = psutil.Process(running["supervisor_pid"])
    family = supervisor.children(recursive=True)
    below = [process for process in family if running["engine_pid"] in {p.pid for p in process.parents()}]
    assert below, "the engine has a child of its own"
    supervisor.kill()
    deadline = time.monotonic() + 30
    while any(process.is_running() for process in family) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [process for process in family if process.is_running()]
    assert data(home, "ps")["instances"] == []
