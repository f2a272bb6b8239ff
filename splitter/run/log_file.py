"""A log file that never grows past its share of the disk, and never takes down what it tells about.

NAME.log is the newest, NAME.log.1 the one before, and so on. Windows lets nobody rename a file that another program
holds open: then the file grows on, and the change is tried again later.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from splitter.errors import EngineError
from splitter.units import from_mib

DEFAULT_BYTES = from_mib(10)
DEFAULT_FILES = 5
RETRY_S = 10.0  # after a refusal (disk full, file held open by a reader)


def say_on_stderr(text: str) -> None:
    """One line on standard error, if there is one."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(f"splitter: {text}\n")
            sys.stderr.flush()


class LogFile:
    """Writes lines; safe from several threads. `files` counts the newest one too.

    `fresh` True: what is there is emptied; False: it becomes NAME.log.1. EngineError when it
    cannot be opened; what fails later is said once per failure through `on_trouble`, and the lines meanwhile are lost.
    """

    def __init__(
        self,
        path: Path,
        max_bytes: int = DEFAULT_BYTES,
        files: int = DEFAULT_FILES,
        *,
        fresh: bool = True,
        on_trouble: Callable[[str], None] = say_on_stderr,
    ) -> None:
        self.path = path
        self._max_bytes, self._files, self._on_trouble = max_bytes, max(1, files), on_trouble
        self._lock = threading.Lock()
        self._retry_at_s = 0.0
        self._lost = 0
        self._file: IO[bytes] | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not fresh and path.is_file() and path.stat().st_size:
                shift(path, self._files)
            self._file = opened(path, "wb")
        except OSError as error:
            raise EngineError(
                f"the log file {path} cannot be written: {error.strerror}", "choose another file with --log-file"
            ) from (None)
        self._size = self._file.tell()

    def write(self, line: str) -> None:
        """One line, without its end; never raises OSError."""
        data = (line + "\n").encode("utf-8", "replace")
        with self._lock:
            try:
                self._write(data)
            except OSError as error:
                self._refused(error)

    def close(self) -> None:
        """Closing twice is fine; a line that comes later opens the file again."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                with suppress(OSError):
                    file.close()

    def _write(self, data: bytes) -> None:
        if self._file is None:
            if time.monotonic() < self._retry_at_s:
                self._lost += 1
                return
            self._file = opened(self.path, "ab")
            self._size = self._file.tell()
        if self._size and self._size + len(data) > self._max_bytes and time.monotonic() >= self._retry_at_s:
            self._rotate()
        if self._lost:
            data = f"splitter: {self._lost} lines are missing here\n".encode() + data
        self._file.write(data)
        self._size += len(data)
        self._lost = 0

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
        try:
            shift(self.path, self._files)
        except OSError:  # Windows: somebody reads it
            self._retry_at_s = time.monotonic() + RETRY_S
        self._file = opened(self.path, "ab")
        self._size = self._file.tell()

    def _refused(self, error: OSError) -> None:
        self._lost += 1
        self._retry_at_s = time.monotonic() + RETRY_S
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
        self._on_trouble(f"the log file {self.path} cannot be written ({error.strerror}); the engine runs on")


def opened(path: Path, mode: str) -> IO[bytes]:
    """The file, unbuffered and for the user alone: an engine's log may hold prompts."""

    def private(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    return open(path, mode, buffering=0, opener=private)


def shift(path: Path, files: int) -> None:
    """NAME.log.1 becomes NAME.log.2, NAME.log becomes NAME.log.1; what is beyond `files` goes."""
    for number in range(files - 1, 0, -1):
        source = path if number == 1 else numbered(path, number - 1)
        if source.exists():
            source.replace(numbered(path, number))
    if files == 1:
        path.unlink(missing_ok=True)


def numbered(path: Path, number: int) -> Path:
    """The `number`-th file before the newest."""
    return path if number == 0 else path.with_name(f"{path.name}.{number}")
