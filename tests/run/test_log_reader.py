"""The end of a log, and what comes, through rotations."""

from pathlib import Path

from splitter.run.log_file import LogFile
from splitter.run.log_reader import Mark, follow, new_lines, tail


def test_the_tail_reaches_into_older_files(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", max_bytes=30, files=4)
    for number in range(10):
        log.write(f"line {number:03}")
    assert tail(tmp_path / "a.log", 5)[0] == [f"line {n:03}" for n in range(5, 10)]
    assert tail(tmp_path / "a.log", 0)[0] == []
    assert tail(tmp_path / "nothing.log", 5) == ([], Mark())


def test_nothing_is_lost_or_told_twice_while_it_rotates(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = LogFile(path, max_bytes=40, files=5)
    log.write("before")
    _, mark = tail(path, 10)
    got: list[str] = []
    for number in range(60):
        log.write(f"line {number:03}")
        if number % 7 == 0:
            lines, mark = new_lines(path, mark)
            got += lines
    got += new_lines(path, mark)[0]
    assert got == [f"line {n:03}" for n in range(60)]


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntw")
    lines, mark = tail(path, 9)
    assert lines == ["one"]
    path.write_bytes(b"one\ntwo\n")
    assert new_lines(path, mark)[0] == ["two"]


def test_following_ends_with_the_instance(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = LogFile(path)

    def waits() -> object:
        log.write("first")
        yield True
        log.write("last")
        yield False

    assert list(follow(path, tail(path, 0)[1], waits())) == ["first", "last"]  # type: ignore[arg-type]
