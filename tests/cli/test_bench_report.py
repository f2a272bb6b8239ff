"""`splitter bench report`: which measurements are drawn, and where."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from splitter.bench.records.records import Records
from splitter.cli.verbs.bench_report import add_to
from splitter.errors import RecordsError, UsageError
from tests.bench.report_records import compared, tuned

app = typer.Typer()
add_to(app)
app.callback()(lambda: None)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A comparison (1 to 4) and then a tune (5 to 16) in an empty user's data folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "80")
    with Records() as records:
        for record in (*compared(), *tuned()):
            records.add(record)
        return records.path


def call(*words: str) -> None:
    app(["report", *words], standalone_mode=False)


def test_without_numbers_the_last_group_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    call()
    said = capsys.readouterr().out
    assert "tune t: t/s per launch" in said
    assert "plan against measured" in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "ids"),
    [(("2", "1", "2"), [2, 1]), (("--group", "c"), [4, 3, 2, 1]), (("--last",), list(range(16, 4, -1)))],
)
def test_what_is_named_is_drawn(words: tuple[str, ...], ids: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    call(*words, "--json")
    data = json.loads(capsys.readouterr().out)["data"]
    assert [record["id"] for record in data.pop("records")] == ids
    assert data == {"ids": ids, "file": None, "size_bytes": None}


def test_a_page_is_written_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("--group", "c", "-o", "report.html", "--json")
    page = (tmp_path / "report.html").read_bytes()
    assert json.loads(capsys.readouterr().out)["data"]["size_bytes"] == len(page)
    assert b"by free VRAM" in page
    assert {path.name for path in tmp_path.iterdir()} == {"data", "report.html"}


def test_a_single_measurement_has_no_group(capsys: pytest.CaptureFixture[str]) -> None:
    with Records() as records:
        alone = records.add(replace(compared()[0], kind="bench", group=""))
    call("--json")
    assert json.loads(capsys.readouterr().out)["data"]["ids"] == [alone]


@pytest.mark.parametrize("words", [("1", "--last"), ("--group", "c", "--last"), ("1", "--group", "c")])
def test_one_way_to_name_them(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="three ways"):
        call(*words)


def test_what_is_not_there_is_said(kept: Path) -> None:
    with pytest.raises(RecordsError, match="no measurement 99"):
        call("99")
    with pytest.raises(RecordsError, match="no group x"):
        call("--group", "x")
    kept.unlink()
    with pytest.raises(RecordsError, match="nothing has been measured"):
        call()
