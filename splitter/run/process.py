"""Starts an engine's process, reads what it says, and ends it with everything it started."""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from splitter.engine.command import EngineCommand
from splitter.errors import EngineError, EngineNotFoundError
from splitter.masking import SECRET_NAME, masked, masker, secrets_in
from splitter.run.guard import Guard
from splitter.run.job_object import JobObject
from splitter.run.keys import read_key

RING_LINES = 2000
LONGEST_LINE = 16384  # characters of a longer line are cut into lines of this length
LONGEST_READ = 1 << 20  # bytes of a line that never ends
HELD_BACK = 4096  # bytes before such a cut in which a word may go on: no secret is cut in two
SHORTEST_SECRET = 4  # of what may be hidden anywhere in a log: a shorter key would take half of its words
JOIN_S = 2.0  # how long a dead engine's output may take to drain


class Process:
    """A running engine in a process group of its own, so that a Ctrl-C in the terminal reaches only the supervisor.

    `on_line` gets every line of stdout and stderr without the secrets in it, from a thread; `on_exit` gets the exit
    code (negative: the signal) after the last line. What the engine started is killed when it ends; and all of it when
    we end without a word (SIGKILL), by the guard or the job object.
    """

    def __init__(
        self,
        command: EngineCommand,
        *,
        on_line: Callable[[str], None] | None = None,
        on_exit: Callable[[int], None] | None = None,
        listens: bool = False,
    ) -> None:
        """`listens`: it reads what `say` writes; else its input is empty."""
        self._lines: deque[str] = deque(maxlen=RING_LINES)
        self._on_line, self._on_exit = on_line, on_exit
        known = secrets(command)
        self._mask = masker({*known.values(), *hidden(command)})
        self._popen, self._keeper = spawn(command, known, listens=listens)
        atexit.register(self.kill)
        self._pump = threading.Thread(target=self._read, name="engine log", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name="engine exit", daemon=True)
        self._pump.start()
        self._waiter.start()

    @property
    def pid(self) -> int:
        """The process id. Its group on POSIX is the guard's."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.returncode

    def say(self, text: str) -> None:
        """Writes to its input; what it does not take is lost."""
        if self._popen.stdin is not None:
            with suppress(OSError, ValueError):
                self._popen.stdin.write(text.encode())
                self._popen.stdin.flush()

    def lines(self) -> tuple[str, ...]:
        """The last RING_LINES lines it wrote."""
        return tuple(self._lines)

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT to the group; on Windows Ctrl-Break, the only such event a group can be sent."""
        if sys.platform == "win32":
            self._send_windows(signal.CTRL_BREAK_EVENT)
        else:
            self._keeper.signal(signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM to the group; on Windows TerminateProcess."""
        if sys.platform == "win32":
            self._popen.terminate()
        else:
            self._keeper.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process and all its descendants, also those that left its group."""
        if self._popen.returncode is None:
            kill_tree(self.pid)

    def _send_windows(self, event: int) -> None:
        try:
            self._popen.send_signal(event)
        except (OSError, SystemError):  # no console to send it through; os.kill then raises either
            self._popen.terminate()

    def _read(self) -> None:
        stream = self._popen.stdout
        if stream is None:
            return
        try:
            for line in text_lines(stream, self._mask):
                self._lines.append(line)
                if self._on_line:
                    self._on_line(line)
        finally:  # an engine whose output nobody reads would block when the pipe is full
            while stream.read(LONGEST_READ):
                pass
            stream.close()

    def _wait(self) -> None:
        code = self._popen.wait()
        self._keeper.end()
        atexit.unregister(self.kill)
        self._pump.join(JOIN_S)
        if self._on_exit:
            self._on_exit(code)


def spawn(
    command: EngineCommand, known: Mapping[str, str], *, listens: bool = False
) -> "tuple[subprocess.Popen[bytes], Guard | JobObject]":
    """Starts `command` with its variables and the secret ones, `known`, added to ours; stderr goes into stdout so that
    the order is kept.

    EngineNotFoundError when the program is missing, EngineError when the system cannot run it.
    """
    try:
        environment = {**os.environ, **command.env, **known}
        keeper = JobObject() if sys.platform == "win32" else Guard()
        try:
            return start(command, environment, keeper, listens=listens), keeper
        except BaseException:
            keeper.end()
            raise
    except FileNotFoundError:
        message = f"the program {command.argv[0]} was not found"
        raise EngineNotFoundError(message, "give its path with --engine-path, or use --engine embedded") from None
    except OSError as error:
        message = f"{command.argv[0]} cannot be started: {error.strerror}"
        raise EngineError(message, "check that it is a program for this machine and may be executed") from None


def start(
    command: EngineCommand, environment: dict[str, str], keeper: Guard | JobObject, *, listens: bool = False
) -> "subprocess.Popen[bytes]":
    """The engine's process, kept by `keeper`."""
    popen = subprocess.Popen(
        command.argv,
        stdin=subprocess.PIPE if listens else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        **keeper.popen_options(),
    )
    keeper.adopt(popen)
    return popen


def secrets(command: EngineCommand) -> dict[str, str]:
    """The variables whose value is the key in a file. EngineError as `read_key`."""
    return {name: read_key(path) for name, path in command.env_files.items()}


def hidden(command: EngineCommand) -> frozenset[str]:
    """What its log must never show beside `secrets`: keys in its arguments, its key file and the environment."""
    inherited = {name: value for name, value in {**os.environ, **command.env}.items() if SECRET_NAME.search(name)}
    return frozenset(
        secret
        for secret in (*secrets_in(command.argv), *keys_of(command), *inherited.values())
        if len(secret) >= SHORTEST_SECRET
    )


def keys_of(command: EngineCommand) -> list[str]:
    """The keys in the server's key file: llama-server takes one from each line. [] for a file that cannot be read."""
    try:
        return Path(command.server.api_key_file or os.devnull).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return []


def text_lines(stream: IO[bytes], mask: Callable[[str], str] = masked) -> Iterator[str]:
    """The stream's lines without their ends and without secrets; bytes that are not UTF-8 become U+FFFD.

    Of a line that was written over itself (progress, with carriage returns) the last state remains.
    """
    for raw in whole_lines(stream):
        line = mask(last_state(raw.decode("utf-8", "replace")))
        yield from (line[at : at + LONGEST_LINE] for at in range(0, max(1, len(line)), LONGEST_LINE))


def whole_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines; one of more than LONGEST_READ bytes in pieces, cut between words where it has any."""
    held = b""
    while raw := stream.readline(LONGEST_READ):
        raw, held = held + raw, b""
        if not raw.endswith(b"\n") and len(raw) >= LONGEST_READ:
            cut = raw.rfind(b" ", -HELD_BACK)
            raw, held = (raw[: cut + 1], raw[cut + 1 :]) if cut >= 0 else (raw, b"")
        yield raw
    if held:
        yield held


def last_state(line: str) -> str:
    """What a terminal shows of `line` in the end."""
    states = [state for state in line.rstrip("\r\n").split("\r") if state]
    return states[-1] if states else ""


def kill_tree(pid: int) -> None:
    """Kills `pid` and its descendants, parents first so that none is restarted."""
    import psutil

    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
