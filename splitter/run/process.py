"""Starts an engine's process, reads what it says, and ends it with everything it started."""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from splitter.engine.command import EngineCommand
from splitter.errors import EngineError, EngineNotFoundError

RING_LINES = 2000
LONGEST_LINE = 16384  # characters of a longer line are cut into lines of this length
JOIN_S = 2.0  # how long a dead engine's output may take to drain


class Process:
    """A running engine in a process group of its own, so that a Ctrl-C in the terminal reaches only the supervisor.

    `on_line` gets every line of stdout and stderr, from a thread; `on_exit` gets the exit code (negative: the signal)
    after the last line. What the engine started is killed when it ends.
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
        self._log = open_log(log_file, append=append) if log_file else None
        self._popen = spawn(command)
        atexit.register(self.kill)
        self._pump = threading.Thread(target=self._read, name="engine log", daemon=True)
        self._waiter = threading.Thread(target=self._wait, name="engine exit", daemon=True)
        self._pump.start()
        self._waiter.start()

    @property
    def pid(self) -> int:
        """The process id, which on POSIX is also its group's."""
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
            self._signal_group(signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM to the group; on Windows TerminateProcess."""
        if sys.platform == "win32":
            self._popen.terminate()
        else:
            self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the process and all its descendants, also those that left its group."""
        if self._popen.returncode is None:
            kill_tree(self.pid)

    def _send_windows(self, event: int) -> None:
        try:
            self._popen.send_signal(event)
        except OSError:  # no console to send it through
            self._popen.terminate()

    def _signal_group(self, number: int) -> None:
        if sys.platform != "win32" and self._popen.returncode is None:
            kill_group(self.pid, number)

    def _read(self) -> None:
        stream = self._popen.stdout
        if stream is None:
            return
        try:
            for line in text_lines(stream):
                self._lines.append(line)
                self._write_log(line)
                if self._on_line:
                    self._on_line(line)
        finally:  # an engine whose output nobody reads would block when the pipe is full
            for _ in text_lines(stream):
                pass
            stream.close()

    def _write_log(self, line: str) -> None:
        if self._log is None:
            return
        try:
            self._log.write(line + "\n")
        except OSError as error:  # a full disk must not take the engine down
            self._lines.append(f"splitter: the log file ends here: {error.strerror}")
            self._log = None

    def _wait(self) -> None:
        if sys.platform != "win32" and hasattr(os, "waitid"):
            # The dead leader keeps the group's number until it is reaped: nothing else can be hit.
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            kill_group(self.pid, signal.SIGKILL)
        code = self._popen.wait()
        atexit.unregister(self.kill)
        self._pump.join(JOIN_S)
        self._close_log()
        if self._on_exit:
            self._on_exit(code)

    def _close_log(self) -> None:
        if self._log is not None:
            log, self._log = self._log, None
            try:
                log.close()
            except OSError as error:
                self._lines.append(f"splitter: the log file is incomplete: {error.strerror}")


def spawn(command: EngineCommand) -> "subprocess.Popen[bytes]":
    """Starts `command` with its variables added to ours; stderr goes into stdout so that the order is kept.

    EngineNotFoundError when the program is missing, EngineError when the system cannot run it.
    """
    try:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **command.env, **secrets(command)},
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    except FileNotFoundError:
        message = f"there is no program {command.argv[0]}"
        raise EngineNotFoundError(message, "give its path with --engine-path, or use --engine embedded") from None
    except OSError as error:
        message = f"{command.argv[0]} cannot be started: {error.strerror}"
        raise EngineError(message, "check that it is a program for this machine and may be executed") from None


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


def open_log(path: Path, *, append: bool) -> IO[str]:
    """The log file, emptied unless `append`ed to (a restart), line-buffered; its folder is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a" if append else "w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise EngineError(f"the log file {path} cannot be written: {error.strerror}", "choose another place") from None


def text_lines(stream: IO[bytes]) -> Iterator[str]:
    """The stream's lines without their ends; bytes that are not UTF-8 become U+FFFD."""
    while raw := stream.readline(LONGEST_LINE):
        yield raw.decode("utf-8", "replace").rstrip("\r\n")


def kill_group(group: int, number: int) -> None:
    """Signals a POSIX process group; one that is gone already is fine."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            os.killpg(group, number)


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
