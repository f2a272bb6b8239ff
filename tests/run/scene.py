"""A scene for a fault: `splitter launch` as a process of its own, with user folders, a model and a port of its own.

Every process of a scene carries the scene's folder in its environment, so that whatever outlives it is found.
"""

import fcntl
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from splitter.run.endpoint import any_free_port, is_free
from splitter.run.registry import Registry
from tests.engine.oracle import RigRow, engine_dir
from tests.run.launched import TINY

FAKE = Path(__file__).parent / "fake_engine.py"
MARK = "SPLITTER_FAULT_SCENE"
CARDS: tuple[RigRow, ...] = (("RTX 3070", 8192, 7700, 448),)
PATIENCE_S = 60.0
EMPTY_S = 8.0  # how long a killed family may take to be gone

# What --engine-path names: asked for its version or its devices it is the real one; asked to serve, it does SERVE.
ENGINE = """#!/bin/sh
case " $* " in *" --port "*) ;; *) exec {real} "$@" ;; esac
port=0; for word; do [ "$last" = --port ] && port=$word; last=$word; done
{serve}
"""
REAL = 'exec {real} "$@"'
GATE = "touch {folder}/spawned; while [ ! -e {folder}/go ]; do sleep 0.02; done; " + REAL
STAND_IN = "exec {python} {fake} $port {behaviours}"


@dataclass(frozen=True)
class Stage:
    """What a scene is made of. `serve`: what the engine does instead of serving; `true_mib`: what the card really has
    free; `supervision`: lines of the profile; `flags` of launch; `env` may name {folder}."""

    serve: str = REAL
    behaviours: str = ""
    model: Path = TINY
    context: int = 1024
    true_mib: int = CARDS[0][2]
    supervision: Sequence[str] = ()
    flags: Sequence[str] = ("--restart", "never")
    env: dict[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    log: str | None = None
    terminal: bool = False
    port_taken: bool = False


class Scene:
    """One launch on `stage`, in `folder`."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.folder, self.port = stage, folder, any_free_port()
        self.model, self.out = folder / "model.gguf", folder / "launch.out"
        self.log = Path(stage.log) if stage.log else folder / "engine.log"
        self.env = self._env()
        shutil.copyfile(stage.model, self.model)
        self._write_files()
        self.side: int | None = None
        self.holder = self.take_port() if stage.port_taken else None
        self.metrics_port = any_free_port()
        self.supervisor = self._start()
        self.family: dict[int, psutil.Process] = {}

    def _env(self) -> dict[str, str]:
        folders = {f"XDG_{name}_HOME": str(self.folder / name) for name in ("STATE", "CACHE", "CONFIG", "DATA")}
        truth = [(name, total, self.stage.true_mib, speed) for name, total, _, speed in CARDS]
        own = {name: text.format(folder=self.folder) for name, text in self.stage.env.items()}
        path = {"PYTHONPATH": str(self.folder / "modules")}
        more = {MARK: str(self.folder), "COLUMNS": "2000", "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **engine_dir().env(truth), **folders, **path, **more, **own}

    def _write_files(self) -> None:
        real = engine_dir().binary("llama-server")
        names = {"real": real, "python": sys.executable, "fake": FAKE, "folder": self.folder}
        serve = self.stage.serve.format(**names, behaviours=self.stage.behaviours)
        engine = self.folder / "llama-server"
        engine.write_text(ENGINE.format(real=real, serve=serve))
        engine.chmod(0o755)
        modules = self.folder / "modules"
        modules.mkdir()
        for module, text in self.stage.modules.items():
            (modules / module).write_text(text)
        (name, total, free, speed) = CARDS[0]
        (self.folder / "rig.yaml").write_text(
            "name: rig\nhost: {ram_mib: 32768, ram_free_mib: 30000, ram_gb_per_s: 40, cores: 2, os: linux}\n"
            f"devices: [{{name: {name}, id: CUDA0, total_mib: {total}, free_mib: {free}, gb_per_s: {speed}}}]\n"
        )
        rows = [f"  {row}" for row in ("backoff_s: 0.1", *self.stage.supervision)]
        (self.folder / "scene.yaml").write_text("\n".join(("model: model.gguf", "supervision:", *rows)) + "\n")

    def _start(self) -> psutil.Popen:
        argv = [sys.executable, "-m", "splitter", "launch", "--profile", str(self.folder / "scene.yaml")]
        argv += ["--rig", str(self.folder / "rig.yaml")]
        argv += ["--engine-path", str(self.folder / "llama-server"), "--port", str(self.port), "--margin", "0"]
        argv += ["-c", str(self.stage.context), "--log-file", str(self.log)]
        argv += [word.format(metrics=self.metrics_port) for word in self.stage.flags]
        if self.stage.terminal:
            return self._start_in_terminal(argv)
        with self.out.open("wb") as out:
            return psutil.Popen([*argv, "--quiet"], env=self.env, stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def _start_in_terminal(self, argv: list[str]) -> psutil.Popen:
        """A session of its own, whose controlling terminal `side` holds; what it shows goes to `out`."""
        import pty

        self.side, inside = pty.openpty()

        def control() -> None:
            os.setsid()
            fcntl.ioctl(inside, termios.TIOCSCTTY, 0)

        started = psutil.Popen(argv, env=self.env, stdin=inside, stdout=inside, stderr=inside, preexec_fn=control)
        os.close(inside)
        self.shows = threading.Thread(target=self._drain, daemon=True)
        self.shows.start()
        return started

    def _drain(self) -> None:
        """Reads what is shown, as a terminal does, until it is closed."""
        with self.out.open("ab", buffering=0) as file:
            while (side := self.side) is not None:
                if not select.select([side], [], [], 0.05)[0]:
                    continue
                with suppress(OSError):  # EIO: nobody holds the other side any more
                    file.write(os.read(side, 65536))

    def close_terminal(self) -> None:
        """What the user does with the window's cross."""
        side, self.side = self.side, None
        if side is not None:
            self.shows.join()
            os.close(side)

    def take_port(self) -> socket.socket:
        """Another program on the engine's port."""
        holder = socket.create_server(("127.0.0.1", self.port))
        self.holder = holder
        return holder

    def said(self) -> str:
        """Everything that launch said."""
        return self.out.read_text(encoding="utf-8", errors="replace") if self.out.exists() else ""

    def until(self, what: Callable[[], object], name: str) -> None:
        """Waits for `what`; it is an error when the launch ends before."""
        end_s = time.monotonic() + PATIENCE_S
        while not what():
            assert self.supervisor.poll() is None, f"ended before it was {name}: {self.said()[-600:]}"
            assert time.monotonic() < end_s, f"was never {name}: {self.said()[-600:]}"
            time.sleep(0.02)
        self.family |= {p.pid: p for p in self.supervisor.children(recursive=True)}

    def ready(self, times: int = 1) -> psutil.Process:
        """The engine, when launch said so for the `times`-th time."""
        self.until(lambda: len(re.findall("ready at|is ready again", self.said())) >= times, f"ready {times} times")
        return self.engine()

    def engine(self) -> psutil.Process:
        """The engine's process: the one that was given the port."""
        for process in self.supervisor.children(recursive=True):
            if str(self.port) in process.cmdline():
                return process
        raise AssertionError("there is no engine")

    def spawned(self) -> None:
        """Waits until the engine's process is there and waits at its gate."""
        self.until((self.folder / "spawned").exists, "spawned")

    def go(self) -> None:
        """Opens the gate."""
        (self.folder / "go").touch()

    def ended(self) -> int:
        """The launch's exit code."""
        try:
            return int(self.supervisor.wait(PATIENCE_S))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"launch never ended: {self.said()[-600:]}") from None

    def left(self) -> list[str]:
        """What the launch left behind: processes, a stale entry, a port in use."""
        self._let_go()
        end_s = time.monotonic() + EMPTY_S
        while (processes := self._processes()) and time.monotonic() < end_s:
            time.sleep(0.05)
        found = [f"process {words}" for words in processes]
        found += [f"entry {name}" for name in self.listed()]
        return found if is_free("127.0.0.1", self.port) else [*found, "port"]

    def listed(self) -> list[str]:
        """The names that `splitter ps` lists, asked as it asks."""
        folder = self.folder / "STATE" / "splitter" / "instances"
        return [entry.name for entry in Registry(folder).entries()]

    def _let_go(self) -> None:
        if self.holder is not None:
            self.holder.close()
        self.close_terminal()

    def _processes(self) -> list[str]:
        found = {p.pid: p for p in psutil.process_iter() if is_of(p, str(self.folder))} | self.family
        return [" ".join(words_of(p))[:80] for p in found.values() if lives(p)]

    def clean(self) -> None:
        """Ends whatever is left, however it came about."""
        for process in [*self.family.values(), *(p for p in psutil.process_iter() if is_of(p, str(self.folder)))]:
            if lives(process):
                process.kill()
        self.supervisor.poll()
        self._let_go()


def is_of(process: psutil.Process, mark: str) -> bool:
    """Whether the process was started in that scene."""
    try:
        return bool(process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):
        return False


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def words_of(process: psutil.Process) -> list[str]:
    """Its command line, as far as it can be read."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return [str(process.pid)]
