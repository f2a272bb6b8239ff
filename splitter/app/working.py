"""`splitter worker`: this machine's cards for an engine on another machine."""

import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from splitter.app.events import Events
from splitter.engine.command import EngineCommand, EngineRef, is_loopback
from splitter.engine.engines import DEFAULT, ENGINES
from splitter.engine.find import find_engine
from splitter.engine.supervision import Supervision
from splitter.errors import EngineNotFoundError, UsageError
from splitter.rig.nodes import FIRST_PORT

PROGRAMS = ("ggml-rpc-server", "rpc-server")
READY = "worker ready"
CLIENTS = ("Accepted client connection", "Client connection closed")  # a probe is one too
WHY_LOOPBACK = (
    "a worker reads and writes this machine's memory for anybody who reaches it, so it listens on loopback alone"
)


@dataclass(frozen=True, slots=True)
class WorkerWishes:
    """Which cards (the engine's names; () for all) to offer at which port; `while_asked_s`: end after so many seconds
    without a line on standard input."""

    cards: tuple[str, ...] = ()
    port: int = FIRST_PORT
    host: str = "127.0.0.1"
    engine_path: str | None = None
    while_asked_s: float | None = None


def refuse_beyond_loopback(host: str) -> None:
    """UsageError for a host that others could reach."""
    if not is_loopback(host):
        raise UsageError(
            f"{WHY_LOOPBACK}, not on {host[:60]!r}", "reach it through ssh: `splitter launch --nodes NAME`"
        )


def find_worker(engine_path: str | None) -> tuple[str, EngineRef]:
    """ggml-rpc-server beside llama-server, and the engine that it belongs to. EngineNotFoundError with what to do."""
    named = Path(engine_path).expanduser() if engine_path else None
    if named is not None and named.stem in PROGRAMS and named.is_file():
        engine = find_engine(DEFAULT.name, str(named.parent))
        return str(named), engine
    engine = find_engine(DEFAULT.name, engine_path)
    for folder in dict.fromkeys((Path(engine.path or "").parent, Path(engine.path or "").resolve().parent)):
        for program in PROGRAMS:
            found = shutil.which(str(folder / program))
            if found:
                return found, engine
    hint = "use a full llama.cpp release, or build it with -DGGML_RPC=ON"
    raise EngineNotFoundError(f"there is no {PROGRAMS[0]} beside {engine.path}", hint)


def serve_worker(wishes: WorkerWishes, events: Events) -> None:
    """Serves until it is interrupted, or nobody asks for it any more."""
    from splitter.run.rpc_worker import RpcWorker, WorkerHooks, worker_command

    refuse_beyond_loopback(wishes.host)
    path, engine = find_worker(wishes.engine_path)
    env = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    base = EngineCommand(engine, (path,), env)
    command = worker_command(path, wishes.cards or _all_cards(engine), wishes.port, base)
    asked = StillAsked(wishes.while_asked_s) if wishes.while_asked_s else None
    hooks = WorkerHooks(
        events.say,
        lambda line: events.say(f"worker: {line}") if line.strip() and not line.startswith(CLIENTS) else None,
        asked or _always,
        once=asked is not None,
    )
    with RpcWorker(command, Supervision(), hooks) as worker:
        worker.serve(lambda: events.say(f"{READY}: port {wishes.port}, build {engine.version or 'unknown'}"))
    events.say("nobody asks for the worker any more: it ended")


def _always() -> bool:
    return True


def _all_cards(engine: EngineRef) -> tuple[str, ...]:
    """Every card that the engine lists: named, or the worker would offer its CPU too."""
    from splitter.rig.listing import list_devices

    lister = ENGINES[engine.kind].lister(engine.path)
    return tuple(device.id for device in list_devices(lister)) if lister else ()


class StillAsked:
    """Whether a line came on standard input within so many seconds: the other machine writes one every few seconds, so
    a worker whose client vanished with its machine does not stay behind."""

    def __init__(self, silent_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._silent_s, self._clock, self._last_s = silent_s, clock, clock()
        self._closed = False
        threading.Thread(target=self._read, name="asked", daemon=True).start()

    def __call__(self) -> bool:
        return not self._closed and self._clock() - self._last_s < self._silent_s

    def _read(self) -> None:
        while sys.stdin.readline():
            self._last_s = self._clock()
        self._closed = True
