"""ScriptFile: what a renderer returns. One place writes it (write.py)."""

from dataclasses import dataclass

# Stands in the first lines of every file that splitter writes; only files that carry it are overwritten unasked.
MARK = "Written by splitter"


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file to write: `name` without folder, `content` as it goes to disk, `executable` for 0755 where that exists."""

    name: str
    content: bytes
    executable: bool = False
