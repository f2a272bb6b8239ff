"""Reads the end of a rotating log and follows it. Holds no file open between two looks: on Windows that would keep the
writer from rotating."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from splitter.masking import masked
from splitter.run.log_file import numbered

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a log was read: which file (it keeps its identity when it is renamed) and how many bytes of it."""

    file: Identity | None = None
    offset: int = 0


def files_of(path: Path) -> list[Path]:
    """The log's files that are there, the newest first."""
    found = [path] if path.is_file() else []
    number = 1
    while (older := numbered(path, number)).is_file():
        found.append(older)
        number += 1
    return found


def tail(path: Path, count: int) -> tuple[list[str], Mark]:
    """The last `count` whole lines over all files, and where the reading ended. OSError when a file is closed to us."""
    lines: list[str] = []
    mark = Mark()
    for number, file in enumerate(files_of(path)):
        content, here = read_from(file, 0)
        if number == 0:
            mark = here
        lines = [*content, *lines]
        if len(lines) >= count:
            break
    return lines[-count:] if count else [], mark


def new_lines(path: Path, mark: Mark) -> tuple[list[str], Mark]:
    """What was written since `mark`, through any rotation that happened meanwhile."""
    files = files_of(path)
    lines: list[str] = []
    for file in reversed(files[: position(files, mark) + 1]):
        known = identity(file) == mark.file
        content, mark = read_from(file, mark.offset if known else 0)
        lines += content
    return lines, mark


def position(files: list[Path], mark: Mark) -> int:
    """Where the marked file is by now; the newest where it is gone."""
    return next((number for number, file in enumerate(files) if identity(file) == mark.file), 0)


def identity(file: Path) -> Identity | None:
    """What a file keeps when it is renamed; None when it is gone."""
    try:
        status = file.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino)


def read_from(file: Path, offset: int) -> tuple[list[str], Mark]:
    """The whole lines from `offset` on, without secrets (a file may be older than the rule that none is written); from
    the start when the file has become shorter. A line still being written is left for later."""
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            start = offset if offset <= status.st_size else 0
            stream.seek(start)
            data = stream.read()
    except FileNotFoundError:
        return [], Mark()
    end = data.rfind(b"\n") + 1
    lines = [masked(line) for line in data[:end].decode("utf-8", "replace").split("\n")[:-1]]
    return lines, Mark((status.st_dev, status.st_ino), start + end)


def follow(path: Path, mark: Mark, waits: Iterator[bool]) -> Iterator[str]:
    """New lines as they come. Each turn takes one of `waits`; False, or its end, says that nothing more will come."""
    for alive in waits:
        lines, mark = new_lines(path, mark)
        yield from lines
        if not alive:
            return
