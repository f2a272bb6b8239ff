"""What `check` answers: verdict, culprit, the command to run instead, the table, the costliest traps; one screen."""

import re
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from splitter.app.sentences import traps_to_tell
from splitter.cli.views.checked import SCREEN, checked_view, on_a_screen
from splitter.engine.reading.edits import line_of
from splitter.engine.reading.judge import Judged
from splitter.engine.reading.traps import COSTLIEST, costliest_first
from splitter.plan.plan import Notice
from tests.check.failing import FAILING, Failing
from tests.check.test_culprits import IDS, judged


def answer(found: Judged, width: int = 80) -> str:
    console = Console(width=width, file=StringIO(), markup=False, highlight=False, emoji=False)
    line = line_of(found.instead) if found.instead else None
    better = found.remedy.plan if found.remedy else None
    head: tuple[RenderableType, ...] = tuple(checked_view(found.plan, found.refusals, found.culprit, line, better))
    traps = traps_to_tell(found.plan, found.refusals, found.culprit)
    console.print(*on_a_screen(head, traps, console), sep="\n")
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("case", FAILING[::3], ids=IDS[::3])
def test_it_fits_a_screen_and_tells_in_this_order(case: Failing) -> None:
    said = answer(judged(case))
    assert len(said.rstrip("\n").splitlines()) <= SCREEN
    words = " ".join(said.split())
    order = [words.index(part) for part in ("does not fit: ", "culprit: ", "run instead ", "layers on GPUs")]
    assert order == sorted(order)
    assert said.startswith("does not fit: CUDA")


def test_the_whole_answer() -> None:
    said = re.sub(r"[\d.]+ GiB", "N GiB", " ".join(answer(judged(FAILING[1]), 120).split()))
    assert said.startswith(
        "does not fit: CUDA0 (RTX 3090) is short by N GiB: it needs N GiB and a margin of 512 MiB, N GiB is free; "
        "CUDA1 by N GiB culprit: the sliding-window layers cache all 65536 tokens (--swa-full); keep only the sliding "
        "window in the cache: N GiB less on CUDA0 run instead (it fits, "
    )
    assert " llama-server -m x.gguf -ngl 99 -c 65536 gemma-4-31b-q4_0: " in said


def test_the_costliest_trap_comes_first() -> None:
    names = ("split_rounding", "open_to_network", "newly_found", "experts_pile_up", "fork")
    ordered = costliest_first(Notice(name, name) for name in names)
    assert [notice.code for notice in ordered] == ["fork", "experts_pile_up", "open_to_network", "newly_found",
                                                   "split_rounding"]  # fmt: skip
    assert len(set(COSTLIEST.split())) == len(COSTLIEST.split())
