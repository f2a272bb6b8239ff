"""`splitter launch` as a person runs it, on the example model, for tests that ask, watch and time what it serves."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from splitter.run.endpoint import any_free_port, health
from tests.engine.oracle import engine_dir

TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"
START_S, STOP_S = 120, 60


@dataclass(frozen=True)
class Launched:
    """A serving instance: the supervisor, and its engine's pid and URL."""

    supervisor: psutil.Popen
    pid: int
    url: str


def words(engine: str, port: int, *more: str) -> list[str]:
    """The command line of a launch on the CPU."""
    path = ["--engine-path", str(engine_dir().binary("llama-server"))] if engine == "llama-server" else []
    flags = ["-dev", "none", "-t", "1", "-c", "4096", "-np", "8", "--port", str(port)]
    return [sys.executable, "-m", "splitter", "launch", str(TINY), "--engine", engine, *path, *flags, *more]


@contextmanager
def shown(engine: str, *more: str, screen: Path | None = None) -> Iterator[Launched]:
    """Serves in a terminal of its own, where launch shows its live view, kept in `screen`; `pid` is the supervisor's.
    POSIX only."""
    import pty

    port = any_free_port()
    terminal, side = pty.openpty()
    supervisor = psutil.Popen(words(engine, port, *more), stdin=side, stdout=side, stderr=side, start_new_session=True)
    os.close(side)
    threading.Thread(target=drain, args=(terminal, screen), daemon=True).start()
    try:
        url, end_s = f"http://127.0.0.1:{port}", time.monotonic() + START_S
        while health("llama-server", url) != "ready":
            assert supervisor.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.1)
        yield Launched(supervisor, supervisor.pid, url)
    finally:
        stop(supervisor)


def drain(terminal: int, screen: Path | None) -> None:
    """Reads what is shown, as a terminal does."""
    file = (screen or Path(os.devnull)).open("ab", buffering=0)
    with file, suppress(OSError):  # EIO: nobody holds the other side any more
        while said := os.read(terminal, 65536):
            file.write(said)
    os.close(terminal)


@contextmanager
def launched(engine: str, folder: Path, *more: str) -> Iterator[Launched]:
    """Serves while the block runs; its --json output lies in `folder`."""
    out, err = folder / "launch.json", folder / "launch.err"
    with out.open("wb") as file, err.open("wb") as errors:
        supervisor = psutil.Popen(words(engine, any_free_port(), "--json", *more), stdout=file, stderr=errors)
        try:
            data = wait_ready(supervisor, out, err)
            yield Launched(supervisor, int(data["pid"]), str(data["url"]))
        finally:
            stop(supervisor)


def wait_ready(supervisor: psutil.Popen, out: Path, err: Path) -> dict[str, Any]:
    """The data that launch reports when the engine is ready."""
    end_s = time.monotonic() + START_S
    while not out.read_text(encoding="utf-8").endswith("}\n"):
        if supervisor.poll() is not None or time.monotonic() > end_s:
            raise AssertionError(f"not ready: {out.read_text()[-2000:]}{err.read_text()[-2000:]}")
        time.sleep(0.05)
    data = json.loads(out.read_text(encoding="utf-8"))["data"]
    assert isinstance(data, dict)
    return data


def stop(supervisor: psutil.Popen) -> None:
    """Asks it to end as a service manager does; kills it only when it does not."""
    if supervisor.poll() is not None:
        return
    family = supervisor.children(recursive=True)
    supervisor.terminate()
    try:
        supervisor.wait(STOP_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        raise
    finally:
        for process in psutil.wait_procs(family, timeout=5)[1]:
            process.kill()
