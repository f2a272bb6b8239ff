"""A supervised ggml-rpc-server on loopback: ready when it accepts a connection, started anew when its client goes."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from splitter.engine.command import EngineCommand, Server
from splitter.engine.supervision import Supervision
from splitter.errors import EngineError
from splitter.run import endpoint
from splitter.run.failure import quoted
from splitter.run.process import Process

READY_S = 60.0
LOOK_S = 0.25
ACCEPT_S = 1.0
NO_CACHE = "Failed to create cache directory"


@dataclass(frozen=True, slots=True)
class WorkerHooks:
    """`say` gets a remark, `on_line` each line of the worker, `asked` whether somebody still wants it. `once`: it
    belongs to a launch, which starts everything anew when it ends."""

    say: Callable[[str], None]
    on_line: Callable[[str], None]
    asked: Callable[[], bool] = lambda: True
    once: bool = False


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts a TCP connection there. Not while a client is served: it would wait behind it."""
    try:
        with socket.create_connection((host, port), ACCEPT_S):
            return True
    except OSError:
        return False


def clients(pid: int, port: int) -> int:
    """How many connections `pid` or a descendant has on its port; 0 where the system does not tell."""
    import psutil

    try:
        root = psutil.Process(pid)
        rows = [c for p in (root, *root.children(recursive=True)) for c in p.net_connections("tcp")]
    except psutil.Error:
        return 0
    return sum(row.status in {"ESTABLISHED", "CLOSE_WAIT"} and row.laddr[1:] == (port,) for row in rows)


class RpcWorker:
    """One worker. Leaving the `with` ends it and everything it started."""

    def __init__(self, command: EngineCommand, supervision: Supervision, hooks: WorkerHooks) -> None:
        self._command, self._supervision, self._hooks = command, supervision, hooks
        self._process: Process | None = None
        self._ended = threading.Event()

    def __enter__(self) -> "RpcWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int | None:
        """The worker's process."""
        return None if self._process is None else self._process.pid

    def end(self) -> None:
        """Kills it: it has nothing to save, and hangs on a client that is gone."""
        if self._process is not None:
            self._process.kill()
            self._ended.wait(self._supervision.kill_timeout_s)

    def start(self) -> None:
        """Returns when it accepts connections. EngineError with its last words when it does not get there.

        Where its cache's folder cannot be made it serves without one: every load then sends all weights."""
        try:
            self._start()
        except EngineError as error:
            if NO_CACHE not in error.message or "-c" not in self._command.argv:
                raise
            self._hooks.say("its cache cannot be written (is the disk full?): every load sends all weights")
            self._command = replace(self._command, argv=tuple(word for word in self._command.argv if word != "-c"))
            self._start()

    def _start(self) -> None:
        server = self._command.server
        endpoint.require_free(server)
        self._ended.clear()
        self._process = process = Process(
            self._command, on_line=self._hooks.on_line, on_exit=lambda _code: self._ended.set()
        )
        until_s = time.monotonic() + READY_S
        while not (accepts(server.port) and endpoint.listens(process.pid, server.port)):
            if self._ended.is_set():  # with exit code 0 even for a port that is taken
                raise EngineError(f"the worker ended before it was ready{quoted(process.lines())}", "read what it says")
            if time.monotonic() > until_s:
                self.end()
                raise EngineError(f"the worker was not ready after {READY_S:.0f} s", "read what it says")
            time.sleep(LOOK_S / 5)

    def serve(self, ready: Callable[[], None]) -> None:
        """Serves until nobody asks for it any more; `ready` is called after every start.

        A worker whose client went is started anew: it may hold memory, and a client that vanished keeps it busy."""
        in_row = 0
        self.start()
        ready()
        served, started_s = False, time.monotonic()
        while self._hooks.asked():
            gone = self._ended.wait(LOOK_S)
            if self._hooks.once:
                if gone:
                    raise EngineError("the worker ended", "the machine that uses it starts it again")
                continue
            count = 0 if gone or self._process is None else clients(self._process.pid, self._command.server.port)
            if not gone and (count or not served):
                served = served or count > 0
                continue
            self._hooks.say("the worker ended: it is started again" if gone else "its client went: it is started anew")
            self.end()
            in_row = in_row + 1 if time.monotonic() - started_s < self._supervision.healthy_after_s and gone else 0
            if in_row > self._supervision.max_restarts:
                raise EngineError(f"the worker ended {in_row} times in a row", "read what it says")
            time.sleep(self._supervision.pause_s(in_row) if in_row else 0.0)
            self.start()
            ready()
            served, started_s = False, time.monotonic()


def worker_command(path: str, cards: tuple[str, ...], port: int, base: EngineCommand) -> EngineCommand:
    """ggml-rpc-server on loopback with its cache, for these cards."""
    argv = (path, "-H", "127.0.0.1", "-p", str(port), "-c", *(("-d", ",".join(cards)) if cards else ()))
    return EngineCommand(base.engine, argv, base.env, Server(port=port))
