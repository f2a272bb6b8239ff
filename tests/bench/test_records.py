"""What was measured is kept: two writers at once, kill -9, old, newer and damaged files, full and read-only disks."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from splitter.bench.records import records as module
from splitter.bench.records.place import records_path
from splitter.bench.records.record import MalformedError, from_dict, to_dict
from splitter.bench.records.records import MIGRATIONS, Records
from splitter.errors import RecordsError
from tests.bench.make_record import make_record

WRITER = """
import sys
from pathlib import Path
from splitter.bench.records.records import Records
from tests.bench.make_record import make_record
for number in range(int(sys.argv[2])):
    with Records(Path(sys.argv[1])) as kept:
        kept.add(make_record(f"{sys.argv[3]}/{number}"))
    print(number, flush=True)
"""


def writer(path: Path, count: int, name: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), str(count), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_the_dictionary_is_json_and_comes_back() -> None:
    record = make_record("a label")
    assert from_dict(json.loads(json.dumps(to_dict(record)))) == record


def test_fields_of_a_newer_splitter_are_skipped_and_missing_ones_have_their_defaults() -> None:
    data = to_dict(make_record()) | {"invented_later": 1}
    del data["note"]
    assert from_dict(data) == replace(make_record(), note="")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": 5}, "label is no str"),
        ({"kind": "dance"}, "kind is none of bench"),
        ({"points": {}}, "points is not a list"),
        ({"points": [{"n_prompt": "many", "n_generate": 1}]}, r"points\[0\].n_prompt is no int"),
        ({"points": [{"n_prompt": True, "n_generate": 1}]}, r"points\[0\].n_prompt is no int"),
        ({"engine": {}}, "engine.kind is missing"),
        ({"host": 5}, "host is not an object"),
    ],
)
def test_wrong_types_are_named(change: dict[str, object], says: str) -> None:
    with pytest.raises(MalformedError, match=says):
        from_dict(to_dict(make_record()) | change)


def test_kept_found_and_deleted(tmp_path: Path) -> None:
    with Records(tmp_path / "new" / "bench.sqlite") as kept:
        first, second = kept.add(make_record("one", "g")), kept.add(replace(make_record("two"), kind="tune"))
        assert kept.get(first) == replace(make_record("one", "g"), id=first)
        assert [record.id for record in kept.list()] == [second, first]
        assert [record.label for record in kept.list(kind="tune")] == ["two"]
        assert [record.label for record in kept.list(group="g")] == ["one"]
        assert [record.id for record in kept.list(limit=1)] == [second]
        assert kept.delete(first)
        assert not kept.delete(first)
        with pytest.raises(RecordsError, match=f"no measurement {first}"):
            kept.get(first)
        third = kept.add(make_record())
        assert third > second


def test_a_path_of_any_bytes_has_no_records(tmp_path: Path) -> None:
    """Linux allows names that are not UTF-8; asking for their records ended in a bug once anything was kept."""
    with Records(tmp_path / "b.sqlite") as records:
        records.add(make_record())
        assert records.of_model("/models/\udcff.gguf", 5) == ()


def test_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALAPPDATA" if os.name == "nt" else "XDG_DATA_HOME", str(tmp_path))
    assert records_path().is_relative_to(tmp_path)
    with Records() as kept:
        assert kept.path == records_path()


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bench.sqlite"
    both = [writer(path, 25, name) for name in ("a", "b")]
    assert [process.wait(120) for process in both] == [0, 0]
    with Records(path) as kept:
        labels = {record.label for record in kept.list()}
    assert labels == {f"{name}/{number}" for name in ("a", "b") for number in range(25)}


@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX's")
@pytest.mark.parametrize("after", [1, 2, 5])
def test_killed_while_it_writes(tmp_path: Path, after: int) -> None:
    path = tmp_path / "bench.sqlite"
    process = writer(path, 100_000, "x")
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(after)]
    time.sleep(0.003 * after)
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    with Records(path) as kept:
        assert kept.rows("PRAGMA integrity_check") == [("ok",)]
        found = [record.label for record in reversed(kept.list())]
        kept.add(make_record("after"))
    assert found == [f"x/{number}" for number in range(len(found))]
    assert len(found) >= len([line for line in said if line.endswith("\n")])


def test_half_a_transaction_is_none(tmp_path: Path) -> None:
    with Records(tmp_path / "bench.sqlite") as kept:
        with suppress(ZeroDivisionError), kept.transaction() as connection:
            connection.execute("INSERT INTO records VALUES (7, 'bench', '', '', '', '{}')")
            raise ZeroDivisionError
        assert kept.list() == ()


def test_a_file_of_version_1_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bench.sqlite"
    with monkeypatch.context() as old:
        old.setattr(module, "MIGRATIONS", MIGRATIONS[:1])
        with Records(path) as kept:
            number = kept.add(make_record("old"))
            assert kept.rows("PRAGMA user_version") == [(1,)]
    monkeypatch.setattr(module, "MIGRATIONS", [*MIGRATIONS, ("CREATE TABLE later (x INTEGER)",)])
    with Records(path) as kept:
        assert kept.rows("PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]
        assert kept.rows("SELECT * FROM later") == []
        assert kept.get(number).label == "old"


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bench.sqlite"
    with Records(path) as kept:
        kept.add(make_record("old"))
    with monkeypatch.context() as broken:
        broken.setattr(module, "MIGRATIONS", [*MIGRATIONS, ("DELETE FROM records", "NONSENSE")])
        with pytest.raises(RecordsError):
            Records(path)
    with Records(path) as kept:
        assert [record.label for record in kept.list()] == ["old"]


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bench.sqlite"
    with Records(path) as kept, kept.transaction() as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RecordsError, match=r"made by a newer splitter \(schema 99\)") as caught:
        Records(path)
    assert "update splitter" in caught.value.hint


@pytest.mark.parametrize("how", ["no database", "overwritten", "another table", "cut"])
def test_a_damaged_file_gives_one_sentence(tmp_path: Path, how: str) -> None:
    path = tmp_path / "bench.sqlite"
    if how == "another table":
        with sqlite3.connect(path) as other:
            other.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
            other.execute("CREATE TABLE something (x)")
        other.close()
    else:
        with Records(path) as kept:
            for number in range(50):
                kept.add(make_record(str(number)))
        whole = path.read_bytes()
        path.write_bytes(
            {"no database": b"not at all" * 500, "overwritten": whole[:4096] + b"\xff" * 40960, "cut": whole[:9000]}[
                how
            ]
        )
    with pytest.raises(RecordsError, match="is damaged") as caught, Records(path) as kept:
        kept.list()
    assert "move it away" in caught.value.hint
    assert "\n" not in caught.value.message


def test_one_damaged_record_is_named(tmp_path: Path) -> None:
    with Records(tmp_path / "bench.sqlite") as kept:
        number = kept.add(make_record())
        with kept.transaction() as connection:
            connection.execute("UPDATE records SET document = '{\"kind\": 1}'")
        with pytest.raises(RecordsError, match=rf"measurement {number} .* is damaged: kind") as caught:
            kept.list()
    assert f"bench delete {number}" in caught.value.hint


def test_a_full_disk(tmp_path: Path) -> None:
    with Records(tmp_path / "bench.sqlite") as kept:
        kept.add(make_record("before"))
        pages = kept.rows("PRAGMA page_count")[0][0]
        kept.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(RecordsError, match="the disk is full") as caught:
            deque(map(kept.add, [make_record("during")] * 100))
        assert "free some space" in caught.value.hint
        kept.rows("PRAGMA max_page_count = 1000000")
        kept.add(make_record("after"))
        assert {record.label for record in kept.list()} >= {"before", "after"}


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT_FSIZE is POSIX's")
def test_a_disk_that_refuses_to_write(tmp_path: Path) -> None:
    """The system itself refuses a file beyond 64 KB; what was kept before is still there."""
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
    path = tmp_path / "bench.sqlite"
    command = [sys.executable, "-c", limit + WRITER, str(path), "500", "x"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it writes a file too
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], env=env, check=False)
    assert "RecordsError" in done.stderr.splitlines()[-1]
    with Records(path) as kept:
        assert len(kept.list()) >= len(done.stdout.splitlines()) > 0


def test_a_file_held_by_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.1)
    path = tmp_path / "bench.sqlite"
    with Records(path) as holder, Records(path) as kept, holder.transaction():
        assert kept.list() == ()
        with pytest.raises(RecordsError, match="is used by another program"):
            kept.add(make_record())


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    with pytest.raises(RecordsError, match="cannot be"):
        Records(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be made") as caught:
        Records(tmp_path / "file" / "bench.sqlite")
    assert "set " in caught.value.hint


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_still_be_read(tmp_path: Path) -> None:
    path = tmp_path / "bench.sqlite"
    with Records(path) as kept:
        kept.add(make_record("there"))
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        with Records(path) as kept:
            assert [record.label for record in kept.list()] == ["there"]
            with pytest.raises(RecordsError, match="cannot be written"):
                kept.add(make_record())
    finally:
        tmp_path.chmod(0o700)
