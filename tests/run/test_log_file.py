"""Log files: rotation, a disk that is full, a file that somebody holds."""

import sys
import threading
from pathlib import Path

import pytest

from splitter.errors import EngineError
from splitter.run import log_file
from splitter.run.log_file import LogFile, numbered


def texts(path: Path) -> list[list[str]]:
    """The lines of each file, the newest file first."""
    files = [numbered(path, n) for n in range(9)]
    return [file.read_text(encoding="utf-8").splitlines() for file in files if file.exists()]


def test_it_keeps_the_newest_lines_in_so_many_files(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "deep" / "a.log", max_bytes=50, files=3)
    for number in range(100):
        log.write(f"line {number:04}")
    log.close()
    files = texts(tmp_path / "deep" / "a.log")
    assert len(files) == 3
    flat = [line for file in reversed(files) for line in file]
    assert flat == [f"line {number:04}" for number in range(100 - len(flat), 100)]
    assert all(sum(len(line) + 1 for line in file) <= 50 for file in files)


def test_one_file_means_one_file(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=20, files=1)
    for number in range(10):
        log.write(f"line {number}")
    assert texts(tmp_path / "a.log") == [["line 8", "line 9"]]


def test_a_line_longer_than_a_file_is_kept_whole(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=10, files=2)
    log.write("x" * 100)
    log.write("y" * 100)
    assert texts(tmp_path / "a.log") == [["y" * 100], ["x" * 100]]


def test_the_log_before_is_kept_or_emptied(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for fresh, expected in ((False, [["new"], ["old"]]), (True, [["new"]])):
        path.write_text("old\n", encoding="utf-8")
        log = LogFile(path, fresh=fresh)
        log.write("new")
        log.close()
        assert texts(path) == expected
        numbered(path, 1).unlink(missing_ok=True)


def test_it_is_for_the_user_alone(tmp_path: Path) -> None:
    LogFile(tmp_path / "logs" / "a.log").write("a prompt")
    if sys.platform != "win32":
        assert (tmp_path / "logs" / "a.log").stat().st_mode & 0o077 == 0
        assert (tmp_path / "logs").stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EngineError, match="cannot be written"):
        LogFile(tmp_path / "file" / "a.log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_once_and_the_gap_is_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    path = tmp_path / "a.log"
    path.symlink_to("/dev/full")
    log = LogFile(path, on_trouble=said.append)
    for number in range(5):
        log.write(f"lost {number}")
    assert len(said) == 1
    assert "No space left" in said[0]
    path.unlink()  # the disk has room again
    monkeypatch.setattr(log_file, "RETRY_S", 0)
    log._retry_at_s = 0
    log.write("kept")
    assert texts(path) == [["splitter: 5 lines are missing here", "kept"]]


def test_a_file_that_cannot_be_renamed_grows_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a reader holds it open."""

    def held(_path: Path, _files: int) -> None:
        raise PermissionError(13, "held open")

    monkeypatch.setattr(log_file, "shift", held)
    log = LogFile(tmp_path / "a.log", max_bytes=10, files=3)
    for number in range(5):
        log.write(f"line {number}")
    assert texts(tmp_path / "a.log") == [[f"line {number}" for number in range(5)]]


def test_threads_may_write_together(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=100_000, files=9)

    def work(name: int) -> None:
        for number in range(500):
            log.write(f"{name} {number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for file in texts(tmp_path / "a.log") for line in file]
    assert sorted(lines) == sorted(f"{name} {number}" for name in range(4) for number in range(500))
