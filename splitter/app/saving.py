"""What a use case writes where somebody said."""

from pathlib import Path

from splitter.errors import UsageError
from splitter.whole_file import write_whole


def place_of(path: str) -> Path:
    """The file to write. UsageError for a folder, and for a file in a folder that is not there."""
    target = Path(path).expanduser()
    if target.is_dir():
        raise UsageError(f"cannot write {target}: it is a folder", "name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"cannot write {target}: there is no folder {target.parent}", "make the folder first")
    return target


def save_text(path: str | Path, text: str) -> None:
    """Writes a file whole or not at all. UsageError when the system refuses."""
    target = place_of(str(path))
    try:
        write_whole(target, text)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", "name a file in a folder you may write to"
        ) from None
