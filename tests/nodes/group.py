"""A launch over the lab's machines, as a person starts it: what it says, whether it answers, what is left of it."""

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from splitter.run.endpoint import any_free_port, ask
from tests.engine.oracle import RigRow
from tests.nodes.lab import Lab

ROOT = Path(__file__).parents[2]
SHAPE = ["--layers", "24", "--embd", "512", "--ffn", "1024", "--heads", "8", "--kv-heads", "2"]
FAR: dict[str, tuple[RigRow, ...]] = {
    "attic": (("RTX 3060", 12288, 292, 360),),
    "cellar": (("RTX 2080", 8192, 292, 448),),
}
THREE: dict[str, tuple[RigRow, ...]] = {
    **FAR,
    "cellar": (("RTX 2080", 8192, 308, 448),),
    "loft": (("RTX 3070", 8192, 900, 448),),
}
HERE: tuple[RigRow, ...] = (("GTX 1050 Ti", 4096, 138, 112),)
# 7 layers with the output layer, some 259 MB: more than HERE has, whatever the driver takes.
BIG = ["--layers", "6", "--embd", "1024", "--ffn", "12288", "--heads", "16", "--kv-heads", "4"]
START_S, LONGEST_S = 90.0, 60.0


def small_model(folder: Path) -> Path:
    """Of some 55 MB, that generates; no single card of FAR and HERE holds it beside its driver's context."""
    return made(folder / "small24.gguf", SHAPE)


def made(path: Path, shape: Sequence[str]) -> Path:
    """A model of this shape that generates."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        make = [sys.executable, str(ROOT / "examples" / "make_model.py"), "-o", str(path), *shape]
        subprocess.run(make, check=True)
    return path


class Launched:
    """One `splitter launch --nodes`: `words` is all it said so far."""

    def __init__(self, lab: Lab, model: Path, *more: str, nodes: str = "attic,cellar", layers: str = "25") -> None:
        self.lab, self.port = lab, any_free_port()
        args = ["launch", str(model), "--nodes", nodes, "-ngl", layers, "-c", "512", "-ub", "128", "-np", "1"]
        args += ["--margin", "0", "--port", str(self.port), "--name", "group", *more]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "splitter", *args],
            env={**lab.env, "COLUMNS": "200"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace",
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def words(self) -> str:
        return "".join(self.lines)

    def entry(self) -> dict[str, Any] | None:
        """What `splitter ps` knows of it."""
        done = self.lab.splitter("ps", "--json", code=None)
        with suppress(ValueError, KeyError, TypeError, IndexError):
            found: dict[str, Any] = json.loads(done.stdout)["data"]["instances"][0]
            return found
        return None

    def answers(self, tokens: int = 8, timeout_s: float = LONGEST_S) -> dict[str, Any] | None:
        """The timings of an answer; None where there is none."""
        body = {"prompt": "The card", "n_predict": tokens, "temperature": 0, "ignore_eos": True}
        try:
            answer = ask(self.url, "/completion", body=body, timeout_s=timeout_s).json()
        except (OSError, http.client.HTTPException):
            return None
        return answer.get("timings") if isinstance(answer, dict) else None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, starts: int = 1, timeout_s: float = START_S) -> float:
        """Seconds until the server's start number `starts` is ready."""
        began, sign = time.monotonic(), "ready at" if starts == 1 else f"(start {starts})"
        while sign not in self.words:
            assert self.process.poll() is None, self.words[-4000:]
            assert time.monotonic() - began < timeout_s, self.words[-4000:]
            time.sleep(0.1)
        return time.monotonic() - began

    def wait_said(self, text: str, timeout_s: float = START_S) -> None:
        began = time.monotonic()
        while text not in self.words:
            assert time.monotonic() - began < timeout_s, f"nobody said {text!r}: {self.words[-4000:]}"
            time.sleep(0.1)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._reader.join(5)
        return code


@contextmanager
def launched(lab: Lab, model: Path, *more: str, nodes: str = "attic,cellar", layers: str = "25") -> Iterator[Launched]:
    """Stopped whatever happens."""
    group = Launched(lab, model, *more, nodes=nodes, layers=layers)
    try:
        yield group
    finally:
        group.stop()


def left_over(lab: Lab) -> list[str]:
    """What is still alive of a group that ended: workers, ssh, servers."""
    until_s = time.monotonic() + 15
    while True:
        found = [f"{machine.name}: {worker.pid}" for machine in lab.machines.values() for worker in machine.workers()]
        for process in psutil.process_iter(["name", "cmdline"]):
            with suppress(psutil.Error):
                line = " ".join(process.info["cmdline"] or ())
                if str(lab.folder) in line and process.info["name"] in {"ssh", "llama-server", "ggml-rpc-server"}:
                    found.append(line[:200])
        if not found or time.monotonic() > until_s:
            return found
        time.sleep(0.2)
