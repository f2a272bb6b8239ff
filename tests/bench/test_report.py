"""Records to a report, and a report to a page: the right numbers, nothing unescaped, small."""

import hashlib
import math
import re
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.bench.report.html_report import html_report
from splitter.bench.report.memory import recorded_row
from splitter.bench.report.of_records import report
from splitter.bench.report.svg_bars import memory_bars, pair_bars, pieces
from splitter.bench.report.svg_lines import axis, depth_axis
from splitter.bench.report.values import Memory, MemoryRow, Pair, Pairs, Report, Value
from splitter.units import MIB
from tests.bench.report_records import HOSTILE, PLAN, TOO_MUCH, base, compared, hostile, point, tuned

DAY = "2026-01-02 03:04 UTC"


class Tags(HTMLParser):
    """What a page consists of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_every_chart_has_its_numbers() -> None:
    made = report((*tuned(), *compared()), DAY)
    assert [memory.title for memory in made.memories] == ["plan", "by free VRAM"]
    assert [chart.what for chart in made.speeds] == ["Generation", "Prompt"]
    assert [[depth for depth, _ in series.points] for series in made.speeds[0].series] == [[0, 2048, 4096, 8192]] * 3
    rows = {row.label: row for row in made.pairs[0].rows}
    first = compared()[0].points[0].generation_tokens_per_s
    assert first is not None
    assert rows["plan"].error() == pytest.approx(first.median / 16.1 - 1)
    assert rows["--fit on"].predicted is None
    assert rows["given command"].problem == "out of memory on CUDA0"
    assert "given command: out of memory on CUDA0" in made.warnings


def test_a_tune_remembers_its_best_and_its_failures() -> None:
    tune = report(tuned(), DAY).tunes[0]
    assert [trial.launch for trial in tune.trials] == list(range(1, 13))
    bests = [trial.best for trial in tune.trials]
    measured = [trial.value.middle for trial in tune.trials if trial.value]
    assert tune.trials[2].problem == "CUDA1 ran out of memory"
    assert bests == [max(t.value.middle for t in tune.trials[: n + 1] if t.value) for n in range(12)]
    won, gain = tune.winner(), tune.gain()
    assert won is not None
    assert won.value is not None
    assert won.value.middle == max(measured) == bests[-1]
    assert gain == pytest.approx(max(measured) / measured[0] - 1)


def test_a_trial_is_scored_by_the_whole_request() -> None:
    trial = replace(base(1, "a"), kind="tune", points=(point(10.0, 100.0),))
    value = report([trial], DAY).tunes[0].trials[0].value
    assert value is not None
    assert value.middle == pytest.approx((512 + 127) / (512 / 100 + 127 / 10), rel=0.05)


@pytest.mark.parametrize("device", [*PLAN, *TOO_MUCH])
def test_the_parts_of_a_bar_are_the_card(device: dict[str, int]) -> None:
    row = recorded_row(device)
    drawn = {part: shown for part, shown, _ in pieces(row)}
    inside = sum(shown for part, shown in drawn.items() if part not in {"taken", "over"})
    assert inside == row.free_bytes
    assert drawn["taken"] == device["total_bytes"] - device["free_bytes"]
    left = row.headroom_bytes()
    assert left is not None
    assert drawn["over"] == max(-left, 0)
    assert sum(drawn.values()) == row.extent_bytes()


def test_what_is_too_much_is_said_in_words() -> None:
    row = MemoryRow("CUDA0", "no layers", (900 * MIB, 0, 0, 0, 200 * MIB), 1000 * MIB)
    assert "does not fit: 100 MiB too much" in memory_bars(Memory("", (row,)))
    unknown = replace(row, free_bytes=None)
    assert "does not fit" not in memory_bars(Memory("", (unknown,)))


def test_records_without_numbers_make_a_page() -> None:
    bare = replace(base(1, ""), argv=(), rig=None, cards_before=({},), devices=({"id": 5, "layers": "x"},), points=())
    for records in ([], [bare], [replace(bare, kind="tune", error="died")]):
        page = html_report(report(records, DAY))
        assert "<section" in page
        assert "nan" not in page


@pytest.mark.parametrize("number", [math.nan, math.inf, -1.0])
def test_a_number_that_cannot_be_drawn_is_unknown(number: float) -> None:
    known = point(10.0, 100.0)
    speed = known.generation_tokens_per_s
    assert speed is not None
    broken = replace(known, samples=(), generation_tokens_per_s=replace(speed, median=number))
    page = html_report(report([replace(compared()[0], points=(broken, *sweep_of(broken)))], DAY))
    assert not re.search(r'[xy12]="(nan|inf|-\d)', page.replace('x="-8"', ""))


def sweep_of(broken: object) -> tuple:  # type: ignore[type-arg]
    """The same at another depth."""
    return (replace(broken, depth=512),)  # type: ignore[type-var]


def test_hostile_words_stay_words() -> None:
    page = html_report(report(hostile(), HOSTILE))
    found = Tags(page)
    assert {tag for tag, _ in found.tags} & {"script", "img", "iframe", "object", "link", "a", "foreignobject"} == set()
    assert not [name for _, given_ in found.tags for name in given_ if name.startswith("on") or name == "style"]
    assert {g["href"] for _, g in found.tags if "href" in g} <= {f"#mark{n}" for n in range(6)} | {"#cross"}
    assert "<script>window.hit=1</script>" in "".join(found.words).replace("\n", "")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", page)


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    page = html_report(report(compared(), DAY))
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(g["content"] for tag, g in Tags(page).tags if g.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(http" not in page
    assert "@import" not in page


def test_every_drawing_speaks_and_every_table_has_headers() -> None:
    page = html_report(report((*tuned(), *compared()), DAY))
    for drawing in re.findall(r"<svg[^>]*>.*?</svg>", page):
        assert 'aria-hidden="true"' in drawing or drawing.partition(">")[2].startswith("<title>")
    for table in re.findall(r"<table.*?</table>", page):
        assert "<caption>" in table
        assert "scope=col" in table
        assert "scope=row" in table


def test_fifty_records_stay_below_100_kb() -> None:
    records = [replace(record, id=n) for n, record in enumerate((*compared() * 3, *tuned(38)))]
    assert len(records) == 50
    assert len(html_report(report(records, DAY)).encode()) < 100_000


@given(st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_an_axis_holds_its_values_with_few_ticks(low: float, length: float) -> None:
    made = axis(low, low + length)
    slack = made.step * 1e-6
    assert made.low <= low + slack
    assert made.high >= low + length - slack
    assert 2 <= len(made.ticks()) <= 8


@given(st.integers(0, 10_000_000))
def test_a_depth_axis_holds_the_deepest(deepest: int) -> None:
    made = depth_axis(deepest)
    assert made.high >= deepest
    assert 2 <= len(made.ticks()) <= 5


def test_an_empty_report_is_a_page() -> None:
    assert html_report(Report("x", "", DAY)).startswith("<!DOCTYPE html>")


def test_a_promise_far_off_does_not_hide_what_was_measured() -> None:
    def pairs(promise: float) -> Pairs:
        return Pairs("Generation", (Pair("a", promise, Value(10.0, 9.0, 12.0, 0.5, 3), "roofline"),))

    assert (pairs(20.0).scale(), pairs(2000.0).scale()) == (20.0, 12.0)
    assert "beyond this scale" in pair_bars(pairs(2000.0))
    assert "beyond this scale" not in pair_bars(pairs(20.0))
    assert max(float(share) for share in re.findall(r'width="([\d.]+)%"', pair_bars(pairs(2000.0)))) <= 100
