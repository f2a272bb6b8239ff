"""`splitter bench` and the commands beside it, as a user runs them."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from splitter.app.measuring import BenchWishes
from splitter.bench.measure import Sweep
from splitter.bench.records.record import from_dict
from splitter.bench.records.records import Records
from splitter.cli.main import run
from splitter.cli.output import Output
from splitter.cli.verbs.bench import _report_all
from tests.bench.fake_server import LLAMA_PAGES, LLAMA_STREAM, serving
from tests.bench.make_record import make_point, make_record


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "data"))


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> Any:
    assert run(["bench", *words, "--json"]) == code
    answer = json.loads(capsys.readouterr().out)
    assert (answer["version"], answer["command"]) == (1, "bench")
    return answer["data"] if code == 0 else answer["errors"][0]


def test_a_running_server_is_measured_kept_shown_and_forgotten(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        small = ("--prompt-tokens", "32", "--generate", "4", "-r", "2", "--label", "mine")
        data = said(capsys, "--url", server.url, *small, "--depths", "0,64", "--concurrency", "1,2")
    record = from_dict(data)
    assert [(p.depth, p.concurrency) for p in record.points] == [(0, 1), (0, 2), (64, 1), (64, 2)]
    assert (record.label, record.engine.kind, record.model.path) == ("mine", "llama-server", "/m/tiny.gguf")
    assert from_dict(said(capsys, "show", str(record.id))) == record
    (listed,) = said(capsys, "list")["records"]
    assert listed["id"] == record.id
    assert "samples" not in listed["points"][0]
    assert said(capsys, "delete", str(record.id)) == {"deleted": [record.id]}
    assert "no measurement" in said(capsys, "show", str(record.id), code=1)["message"]


def test_no_save_keeps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(LLAMA_PAGES, LLAMA_STREAM) as server:
        small = ("--prompt-tokens", "32", "--generate", "4", "-r", "1", "--no-save")
        assert said(capsys, "--url", server.url, *small)["id"] is None
    assert said(capsys, "list")["records"] == []


def test_what_cannot_be_kept_is_known_before_measuring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("in the way")
    error = said(capsys, "--url", "http://127.0.0.1:1", code=1)
    assert error["code"] == "bad_records"
    assert "--no-save" in error["hint"]


def test_a_plan_that_could_not_be_measured_is_an_error_in_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code and the object say the same; what the others reached is still there."""
    failed = replace(make_record("plan", "c", points=()), error="the engine did not start")
    records = (failed, make_record("the engine's own placement", "c", (make_point(),)))
    with pytest.raises(typer.Exit) as ended:
        _report_all(records, BenchWishes(Sweep()), Output("bench", as_json=True))
    answer = json.loads(capsys.readouterr().out)
    assert (ended.value.exit_code, answer["status"]) == (4, "error")
    assert "the engine did not start" in answer["errors"][0]["message"]
    assert len(answer["data"]["alternatives"]) == 2


def test_a_first_word_that_is_no_command_is_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no file nowhere.gguf" in said(capsys, "nowhere.gguf", code=1)["message"]
    assert "no file nowhere.gguf" in said(capsys, "measure", "nowhere.gguf", code=1)["message"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--url", "http://127.0.0.1:1", "--compare"), "--url"),
        (("x.gguf", "--depths", "0,x"), "--depths takes whole numbers"),
        (("x.gguf", "--concurrency", "0"), "--concurrency takes whole numbers of at least 1"),
        (("list", "--kind", "dance"), "dance"),
    ],
)
def test_usage(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str) -> None:
    assert says in said(capsys, *words, code=2)["message"]


def keep_two() -> tuple[int, int]:
    with Records() as kept:
        slow = kept.add(make_record("slow, =1+1", points=(make_point((40.0, 40.2, 39.9)),)))
        return slow, kept.add(make_record("fast | x", points=(make_point((50.0, 50.3, 49.8)),)))


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    slow, fast = keep_two()
    (point,) = said(capsys, "compare", str(fast), str(slow))["points"]
    assert point["generation"]["verdict"] == "larger"
    assert point["generation"]["low"] < 1.25 < point["generation"]["high"]
    assert point["prompt"]["verdict"] == "same"
    assert run(["bench", "compare", str(fast), str(slow)]) == 0
    assert "larger" in capsys.readouterr().out


def test_exports(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    slow, fast = keep_two()
    target = tmp_path / "out.md"
    assert run(["bench", "export", str(slow), str(fast), "-o", str(target)]) == 0
    markdown = target.read_text(encoding="utf-8")
    assert "fast \\| x" in markdown
    assert "llama-server -m /m/x.gguf" in markdown
    assert "| pp512 + tg128 x 3 | 0 | 1 | 1,024 (1,024-1,024) | 40.00 (39.9-40.2) |" in markdown
    capsys.readouterr()
    assert run(["bench", "export", str(slow), "--format", "csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["generation_tokens_per_s"], row["ended_by"], row["label"]) == ("40.0", "spread", "slow, =1+1")
    assert run(["bench", "export", "--format", "json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert [from_dict(data).id for data in whole["records"]] == [fast, slow]


def test_show_gives_everything(capsys: pytest.CaptureFixture[str]) -> None:
    _, fast = keep_two()
    assert run(["bench", "show", str(fast)]) == 0
    out = capsys.readouterr().out
    for text in ("50.00", "llama-server 11434", "ab" * 32, "550.54", "a note", "2.50 (counter)", "48.0 t/s"):
        assert text in out.replace("\n", ""), text
