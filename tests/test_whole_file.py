"""A file is replaced whole or left as it was, and a secret is never readable by others, not even for a moment."""

import sys
from pathlib import Path

import pytest

from splitter.whole_file import write_whole


def test_replaces(tmp_path: Path) -> None:
    target = tmp_path / "f"
    write_whole(target, "one\n")
    write_whole(target, b"two\r\n")
    assert target.read_bytes() == b"two\r\n"
    assert list(tmp_path.iterdir()) == [target]


def test_what_was_there_stays_when_it_cannot_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    with pytest.raises(OSError):
        write_whole(target, "text")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_mode_from_the_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    chmod = Path.chmod

    def seen(path: Path, mode: int) -> None:
        modes.append(path.stat().st_mode & 0o777)
        chmod(path, mode)

    monkeypatch.setattr(Path, "chmod", seen)
    write_whole(tmp_path / "key", "secret", 0o600)
    assert modes == [0o600]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
