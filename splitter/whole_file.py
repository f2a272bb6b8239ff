"""Writes a file whole or not at all: a temporary file beside it, then replace."""

import os
import uuid
from pathlib import Path


def write_whole(target: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Puts `content` (text as UTF-8, line ends as they are) at `target`; the temporary file never has more than `mode`.

    OSError when the system refuses; what was there is then still there, and nothing else is.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        partial.chmod(mode)  # whatever the umask took
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
