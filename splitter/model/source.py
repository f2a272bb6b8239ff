"""Local files as a source of bytes."""

import difflib
import stat
from dataclasses import dataclass
from pathlib import Path

from splitter.errors import ModelError, ModelNotFoundError
from splitter.printable import printable

NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LocalSource:
    """A regular file; opened anew for each of the few reads, so there is nothing to close."""

    path: Path
    label: str
    size_bytes: int

    def read(self, offset: int, size: int) -> bytes:
        """Bytes [offset, offset + size), fewer at the end of the file."""
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise _unreadable(self.label, error) from error


def open_local(name: str) -> LocalSource:
    """The file `name` (`~` expands). Raises ModelError for what is not a readable regular file."""
    path = Path(name).expanduser() if name.startswith("~") else Path(name)
    label = printable(str(path) if name.startswith("~") else name, 200)  # with the slashes that were typed
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(f"There is no file {label}.", _nearest(path)) from error
    except (OSError, ValueError) as error:
        raise _unreadable(label, error) from error
    if stat.S_ISDIR(found.st_mode):
        raise ModelError(f"{label} is a folder, not a model file.", _inside(path))
    if not stat.S_ISREG(found.st_mode):
        raise ModelError(f"{label} is not a regular file.", "Give the path of a .gguf file.")
    return LocalSource(path, label, found.st_size)


def _unreadable(label: str, error: Exception) -> ModelError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "the name is not usable"
    return ModelError(f"{label} cannot be read: {reason}.", "Check the path and your permission to read it.")


def _gguf_names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() == ".gguf")
    except OSError:
        return []


def _list(names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:NAMES_SHOWN])
    rest = len(names) - NAMES_SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"The folder {printable(str(path.parent), 200)} does not exist either."
    names = _gguf_names(path.parent)
    by_key = {name.lower(): name for name in names}
    close = difflib.get_close_matches(path.name.lower(), by_key, n=NAMES_SHOWN, cutoff=0.5)
    if close:
        return f"Nearest there: {_list([by_key[key] for key in close])}."
    nothing = "That folder holds no .gguf file; `splitter models` lists what is here."
    return f"GGUF files there: {_list(names)}." if names else nothing


def _inside(folder: Path) -> str:
    names = _gguf_names(folder)
    return f"Name one of its files: {_list(names)}." if names else "It holds no .gguf file; give the path of one."
