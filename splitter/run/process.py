"""Starts an engine's process, reads what it says, and ends it with everything it started."""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from splitter.engine.command import EngineCommand
from splitter.errors import EngineError, EngineNotFoundError
from splitter.run.guard import Guard
from splitter.run.job_object import JobObject
from splitter.run.log_file import LogFile

RING_LINES = 2000
LONGEST_LINE = 16384  # characters of a longer line are cut into lines of this length
JOIN_S = 2.0  # how long a dead engine's output may take to drain


class Process:
    """A running engine in a process group of its own, so that a Ctrl-C in the terminal reaches only the supervisor.

    `on_line` gets every line of stdout and stderr, from a thread; `on_exit` gets the exit code (negative: the signal)
    after the last line. What the engine started is killed when it ends; and all of it when we end without a word
    (SIGKILL), by the guard or the job object. `append`: the log file is not emptied (a restart).
    """

    def __init__(
        self,
        command: EngineCommand,
        *,
        on_line: Callable[[str], None] | None = None,
        on_exit: Callable[[int], None] | None = None,
        log_file: Path | None = None,
        append: bool = False,
    ) -> None:
        self._lines: deque[str] = deque(maxlen=RING_LINES)
        self._on_line, self._on_exit = on_line, on_exit
        self._log = LogFile(log_file, append=append) if log_file else None
        self._popen, self._keeper = spawn(command)
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
        except OSError:  # no console to send it through
            self._popen.terminate()

    def _read(self) -> None:
        stream = self._popen.stdout
        if stream is None:
            return
        try:
            for line in text_lines(stream):
                self._lines.append(line)
                if self._log is not None:
                    self._log.write(line)
                if self._on_line:
                    self._on_line(line)
        finally:  # an engine whose output nobody reads would block when the pipe is full
            for _ in text_lines(stream):
                pass
            stream.close()

    def _wait(self) -> None:
        code = self._popen.wait()
        self._keeper.end()
        atexit.unregister(self.kill)
        self._pump.join(JOIN_S)
        if self._log is not None:
            self._log.close()
        if self._on_exit:
            self._on_exit(code)


def spawn(command: EngineCommand) -> "tuple[subprocess.Popen[bytes], Guard | JobObject]":
    """Starts `command` with its variables added to ours; stderr goes into stdout so that the order is kept.

    EngineNotFoundError when the program is missing, EngineError when the system cannot run it.
    """
    try:
        environment = {**os.environ, **command.env, **secrets(command)}
        keeper = JobObject() if sys.platform == "win32" else Guard()
        try:
            return start(command, environment, keeper), keeper
        except BaseException:
            keeper.end()
            raise
    except FileNotFoundError:
        message = f"there is no program {command.argv[0]}"
        raise EngineNotFoundError(message, "give its path with --engine-path, or use --engine embedded") from None
    except OSError as error:
        message = f"{command.argv[0]} cannot be started: {error.strerror}"
        raise EngineError(message, "check that it is a program for this machine and may be executed") from None


def start(command: EngineCommand, environment: dict[str, str], keeper: Guard | JobObject) -> "subprocess.Popen[bytes]":
    """The engine's process, kept by `keeper`."""
    popen = subprocess.Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        **keeper.popen_options(),
    )
    keeper.adopt(popen)
    return popen


def secrets(command: EngineCommand) -> dict[str, str]:
    """The variables whose value is the first line of a file. EngineError for a file that cannot be read or is empty:
    the engine would serve without a key."""
    return {name: first_line(path) for name, path in command.env_files.items()}


def first_line(path: str) -> str:
    """The first line of a file of secrets, without its end."""
    try:
        line = Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"the key file {path} cannot be read: {error}", "check the path") from None
    if not line:
        raise EngineError(f"the key file {path} has an empty first line", "write the key into its first line")
    return line


def text_lines(stream: IO[bytes]) -> Iterator[str]:
    """The stream's lines without their ends; bytes that are not UTF-8 become U+FFFD."""
    while raw := stream.readline(LONGEST_LINE):
        yield raw.decode("utf-8", "replace").rstrip("\r\n")


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


def exit_words(exit_code: int | None) -> str:
    """An exit code for people: signals by name, Windows' status codes in hexadecimal."""
    if exit_code is None:
        return "no exit code"
    if exit_code < 0:
        names = {s.value: s.name for s in signal.Signals}
        return f"killed by {names.get(-exit_code, f'signal {-exit_code}')}"
    return f"exit code {exit_code:#x}" if exit_code > 0xFFFF else f"exit code {exit_code}"
