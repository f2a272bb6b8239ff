"""Charts in the terminal and as a page, from the verbs."""

from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
from rich.console import Console

from splitter.bench.report.characters import LOOKS, Canvas
from splitter.bench.report.of_records import report
from splitter.cli.views.charts import canvas, charts_view
from tests.bench.report_records import compared, hostile, tuned
from tests.cli.conftest import TINY, Splitter

DAY = "2026-01-02 03:04 UTC"


def drawn(on: Canvas) -> list[str]:
    sheet = StringIO()
    console = Console(file=sheet, width=on.width, markup=False, highlight=False, emoji=False)
    for part in charts_view(report((*compared(), *tuned()), DAY), on):
        console.print(part)
    return sheet.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("utf8", [True, False])
def test_charts_keep_to_the_terminal(width: int, utf8: bool) -> None:
    lines = drawn(Canvas(width, utf8))
    assert max(map(len, lines)) <= width
    assert utf8 != "\n".join(lines).isascii()
    text = "\n".join(lines)
    for title in ("memory per card: plan", "generation by depth", "tune t:", "plan against measured"):
        assert title in text


def test_every_part_looks_different_without_colour() -> None:
    parts = ("taken", "model", "context", "compute", "overhead", "margin", "free", "over")
    for column in (0, 1):
        assert len({LOOKS[part][column] for part in parts}) == len(parts)


def test_bars_are_as_long_as_their_numbers() -> None:
    bars = [line.count("#") for line in drawn(Canvas(80, False)) if line.startswith("  measured")]
    first = [record.points[0].generation_tokens_per_s for record in compared()[:3]]
    medians = [speed.median for speed in first if speed]
    assert bars[:3] == [round(median / 16.1 * 50) for median in medians]


def test_the_canvas_follows_the_terminal() -> None:
    latin = Console(file=TextIOWrapper(BytesIO(), encoding="latin-1"), width=200)
    assert canvas(latin) == Canvas(100, False)


def test_hostile_words_cannot_steer_the_terminal() -> None:
    sheet = StringIO()
    console = Console(file=sheet, width=80, markup=False)
    for part in charts_view(report(hostile(), DAY), Canvas(80, True)):
        console.print(part)
    assert "\x1b" not in sheet.getvalue()
    assert "\u202e" not in sheet.getvalue()


def test_plan_writes_its_page(splitter: Splitter, tmp_path: Path) -> None:
    said = splitter("plan", TINY, "--rig", "phoenix", "--report", "plan.html")
    assert said.code == 0
    page = (tmp_path / "plan.html").read_text(encoding="utf-8")
    for words in ("Memory per card", "Speed by depth", "CUDA1 RTX 2080", "Alternatives", "--fit off"):
        assert words in page
    assert "wrote plan.html" in said.err


def test_a_page_and_json_at_once(splitter: Splitter, tmp_path: Path) -> None:
    said = splitter("plan", TINY, "-c", "2048", "--gpus", "gt 1030", "--report", "plan.html", "--json")
    assert said.code == 0
    assert said.json()["status"] == "ok"
    assert (tmp_path / "plan.html").exists()


def test_a_page_that_cannot_be_written_is_one_sentence(splitter: Splitter, tmp_path: Path) -> None:
    said = splitter("plan", TINY, "--rig", "phoenix", "--report", str(tmp_path / "no" / "plan.html"))
    assert said.code == 2
    assert "cannot write" in said.err
