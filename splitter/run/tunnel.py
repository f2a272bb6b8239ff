"""One ssh session per node: it runs the worker there and carries its port here; both end with it."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from splitter.engine.command import EngineCommand, EngineRef
from splitter.errors import EngineError, EngineNotFoundError
from splitter.printable import printable
from splitter.rig.node_file import SavedNode
from splitter.run import endpoint
from splitter.run.process import Process
from splitter.run.rpc_worker import READY_S
from splitter.run.ssh import BEAT_S, CONNECT_S, blame, ssh_argv, worker_words

READY = re.compile(r"worker ready: port (\d+), build (\S+)")
BARE_READY = re.compile(r"Starting RPC server")  # the engine's own worker, which does not tell its build
ANSWER_BYTES = 1 << 19
END_S = 5.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a command on a node printed, and how it ended."""

    code: int
    out: bytes
    errors: str


def run_on(node: SavedNode, words: Sequence[str], *, timeout_s: float = 60.0, given: bytes = b"") -> Said:
    """Runs `words` on a node with `given` as input. EngineError when ssh is missing or gives no answer in time."""
    argv = ssh_argv(node, words)
    try:
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            stop = threading.Timer(timeout_s, process.kill)
            stop.start()
            errors: list[bytes] = []
            beside = threading.Thread(target=_drain, args=(process.stderr, errors), daemon=True)
            feeder = threading.Thread(target=_feed, args=(process.stdin, given), daemon=True)
            beside.start()
            feeder.start()
            out = process.stdout.read(ANSWER_BYTES + 1) if process.stdout else b""
            if len(out) > ANSWER_BYTES:
                process.kill()
            code = process.wait()
            beside.join(END_S)
            late = not stop.is_alive()
            stop.cancel()
    except FileNotFoundError:
        raise EngineNotFoundError("ssh was not found", "install OpenSSH's client") from None
    if late:
        raise EngineError(
            f"{node.name} gave no answer in {timeout_s:.0f} s", "is it switched on, and reachable from here?"
        )
    return Said(code, out, printable(b"".join(errors).decode("utf-8", "replace"), 2000))


def _drain(stream: object, into: list[bytes]) -> None:
    read = getattr(stream, "read", None)
    while read and (more := read(4096)):
        if len(into) < 64:  # the rest is read and dropped
            into.append(more)


def _feed(stream: object, given: bytes) -> None:
    try:
        if hasattr(stream, "write"):
            stream.write(given)
            stream.close()  # type: ignore[attr-defined]
    except OSError:
        pass


class Tunnel:
    """The session of one node. `on_line` gets what is said there."""

    def __init__(self, node: SavedNode, cards: Sequence[str], on_line: Callable[[str], None]) -> None:
        self.node, self.cards = node, tuple(cards)
        self.port = endpoint.any_free_port()
        self.build: str | None = None
        self._on_line = on_line
        self._ready, self._gone = threading.Event(), threading.Event()
        self._process: Process | None = None

    @property
    def worker(self) -> str:
        """Where the engine reaches it."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """ssh's process."""
        return None if self._process is None else self._process.pid

    def start(self, away_port: int) -> None:
        """Returns when the worker is ready. EngineError that says what is wrong with the node when it is not."""
        words = worker_words(self.node, self.cards, away_port)
        command = EngineCommand(EngineRef("ssh"), ssh_argv(self.node, words, forward=(self.port, away_port)))
        self._process = process = Process(command, on_line=self._line, on_exit=self._exit, listens=True)
        threading.Thread(target=self._beat, name=f"beat {self.node.name}", daemon=True).start()
        until_s = time.monotonic() + CONNECT_S + READY_S
        while not self._ready.wait(0.05):
            if self._gone.is_set() or time.monotonic() > until_s:
                what, hint = blame(self.node, "\n".join(process.lines()))
                self.end()
                said = next((line for line in reversed(process.lines()) if line.strip()), "")
                raise EngineError(f"{self.node.name}: {what} ({printable(said, 200)})", hint)

    def alive(self) -> bool:
        """Whether the session lasts."""
        return self._process is not None and not self._gone.is_set()

    def bytes_carried(self) -> int:
        """What ssh read and wrote so far; 0 where the system does not tell."""
        import psutil

        try:
            used = psutil.Process(self.pid or 0).io_counters()  # type: ignore[attr-defined,unused-ignore]
        except (psutil.Error, AttributeError, NotImplementedError):
            return 0
        return int(used.read_chars + used.write_chars) if hasattr(used, "read_chars") else int(used.read_bytes)

    def end(self) -> None:
        """Ends the session: sshd hangs up on the worker."""
        if self._process is not None:
            self._process.kill()
            self._gone.wait(END_S)

    def _line(self, line: str) -> None:
        if not line.strip():  # the echo of a beat
            return
        told = READY.search(line)
        if told or BARE_READY.search(line):
            self.build = told[2] if told else self.build
            if told or (self.node.engine and not self.node.splitter):
                self._ready.set()
        self._on_line(f"{self.node.name}: {printable(line, 400)}")

    def _beat(self) -> None:
        while self._process is not None and not self._gone.wait(BEAT_S):
            self._process.say("\n")

    def _exit(self, _code: int) -> None:
        self._gone.set()
