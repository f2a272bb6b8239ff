"""launch --detach, ps, logs and stop as separate processes around the embedded engine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitter.run.endpoint import any_free_port, is_free
from tests.cli.conftest import TINY
from tests.run.test_supervisor import gone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """`run(*words)`: one splitter process with a state folder of its own; what it left running is stopped."""
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}

    def call(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "splitter", *words]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=180)

    yield call
    call("stop", "--all")


def data(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"]


def detach(run: Run, port: int, *words: str) -> Any:
    return data(run("launch", TINY, "--engine", "embedded", "--port", str(port), "--detach", "--json", *words))


def test_the_life_of_a_detached_instance(run: Run, tmp_path: Path) -> None:
    port = any_free_port()
    entry = detach(run, port)
    assert (entry["name"], entry["phase"], entry["port"]) == ("tiny", "ready", port)
    (listed,) = data(run("ps", "--json"))["instances"]
    assert listed["id"] == entry["id"]
    assert os.getsid(listed["supervisor_pid"]) == listed["supervisor_pid"]
    assert "tiny" in run("ps").stdout
    refused = run("launch", TINY, "--engine", "embedded", "--port", str(port))
    assert (refused.returncode, "splitter stop tiny" in refused.stderr) == (4, True)
    assert any("listening" in line for line in data(run("logs", "--json"))["lines"])
    nearest = run("stop", "tinny")
    assert (nearest.returncode, "did you mean tiny?" in nearest.stderr) == (1, True)
    stopped = run("stop", "tiny")
    assert stopped.returncode == 0, stopped.stderr
    assert gone(listed["supervisor_pid"])
    assert gone(listed["engine_pid"])
    assert is_free("127.0.0.1", port)
    assert data(run("ps", "--json"))["instances"] == []
    ended = data(run("logs", "tiny", "--json"))
    assert ended["lines"]
    assert not ended["running"]
    left = sorted(path.name for path in (tmp_path / "state" / "splitter").rglob("*") if path.is_file())
    assert left == ["instances.lock", "tiny.log"]


def test_a_killed_supervisor_leaves_nothing(run: Run) -> None:
    port = any_free_port()
    entry = detach(run, port, "--name", "victim")
    os.kill(entry["supervisor_pid"], signal.SIGKILL)
    assert gone(entry["engine_pid"])
    assert data(run("ps", "--json"))["instances"] == []
    assert is_free("127.0.0.1", port)


def test_a_failure_in_the_background_is_the_foregrounds(run: Run) -> None:
    done = run("launch", "missing.gguf", "--engine", "embedded", "--detach")
    assert done.returncode == 1
    assert "missing.gguf" in done.stderr
    assert "try:" in done.stderr


def test_a_closed_terminal_ends_a_launch_in_the_foreground(run: Run, tmp_path: Path) -> None:
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["XDG_STATE_HOME"] = str(tmp_path / "state")
        port = str(any_free_port())
        os.execv(
            sys.executable, [sys.executable, "-m", "splitter", "launch", TINY, "--engine", "embedded", "--port", port]
        )
    said = b""
    while b"ready at" not in said:
        said += os.read(terminal, 4096)
    processes = psutil.Process(pid).children(recursive=True)
    os.close(terminal)
    assert os.waitpid(pid, 0)[0] == pid
    assert all(gone(process.pid) for process in processes)
    assert data(run("ps", "--json"))["instances"] == []
