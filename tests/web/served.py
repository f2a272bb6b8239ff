"""A real `splitter ui` in a process of its own, on the emulated phoenix, with the real llama-server."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engine.oracle import RIGS, engine_dir, skeleton

ROOT = Path(__file__).parents[2]
TINY = ROOT / "examples" / "tiny.gguf"


@dataclass(frozen=True)
class Answer:
    """What came back: the status, the headers with lower-case names, the body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Served:
    """`base` is the address without a path; `key` opens it."""

    folder: Path
    words: tuple[str, ...] = ()
    port: int = 0
    engine: bool = True
    process: "subprocess.Popen[str]" = field(init=False)
    base: str = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Starts it, again on the same port once it had one."""
        words = ["ui", "--no-open", "--port", str(self.port), *self.words]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "splitter", *words], cwd=self.folder, env=self.env(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        self.base, _, self.key = line.partition("/?token=")
        self.base = self.base.rstrip("/")
        self.port = int(self.base.rpartition(":")[2])

    def env(self) -> dict[str, str]:
        """Folders of its own; the engine and its emulated cards where they are wanted."""
        names = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
        own = {name: str(self.folder / name.lower()) for name in names} | {"HOME": str(self.folder)}
        if not self.engine:
            return {**os.environ, **own, "PATH": "/usr/bin:/bin"}
        made = engine_dir()
        return {**os.environ, **own, **made.env(RIGS["phoenix"]), "PATH": f"{made.path / 'bin'}:{os.environ['PATH']}"}

    def splitter(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A terminal beside it."""
        argv = [sys.executable, "-m", "splitter", *words]
        return subprocess.run(argv, cwd=self.folder, env=self.env(), capture_output=True, text=True, check=False)

    def ask(self, path: str, *, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """One request with the key, unless other `headers` (underscores are hyphens) are given."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        said = said or {"Authorization": f"Bearer {self.key}"}
        if body is not None:
            said.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.base + path, data=body, method=method, headers=said)
        opener = urllib.request.build_opener(Still())
        try:
            with opener.open(request, timeout=60) as answer:
                return _answer(answer)
        except urllib.error.HTTPError as error:
            return _answer(error)

    def post(self, path: str, values: Any) -> Answer:
        """The values as JSON."""
        return self.ask(path, method="POST", body=json.dumps(values).encode())

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.process.wait()
        self._close()

    def close(self) -> None:
        """Ctrl-C, and what it launched is stopped."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        self._close()
        self.splitter("stop", "--all")

    def _close(self) -> None:
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class Still(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _answer(answer: Any) -> Answer:
    return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())


def models(folder: Path, *names: str) -> Path:
    """A folder with the tiny model and the headers of large ones."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.gguf").write_bytes(TINY.read_bytes())
    for name in names:
        target = folder / f"{name}.gguf"
        if not target.exists():
            subprocess.run(["cp", "--sparse=always", str(skeleton(name)), str(target)], check=True)
    return folder
