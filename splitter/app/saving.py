"""What a use case writes where somebody said."""

from pathlib import Path

from splitter.errors import UsageError
from splitter.whole_file import write_whole


def save_text(path: str, text: str) -> None:
    """Writes a file whole or not at all. UsageError when the system refuses."""
    target = Path(path).expanduser()
    try:
        write_whole(target, text)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", "name a file in a folder you may write to"
        ) from None
