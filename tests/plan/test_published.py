"""The speed model against published runs on cards that it was not fitted to (issue 12, Show 1 and 2)."""

from functools import cache

import numpy as np
import pytest

from splitter.plan.speed_constants import TYPICAL
from tests.plan.fit_speeds import Error, contests, cross_validated, errors_of, fit_all, published


@cache
def held_out() -> tuple[list[Error], list[Error]]:
    return cross_validated()


@pytest.mark.parametrize(("which", "median", "nine_tenths"), [(0, 0.05, 0.35), (1, 0.10, 0.50)])
def test_on_other_cards(which: int, median: float, nine_tenths: float) -> None:
    """Generation and prompts, GPU sets held out in five parts, without public measurements of their cards."""
    off = np.array([error for error, _ in held_out()[which]])
    assert len(off) > 140
    assert abs(np.median(off)) < median
    assert np.quantile(np.abs(off), 0.9) < nine_tenths


def test_contests_are_ordered_rightly() -> None:
    right, total, wrong = contests(TYPICAL)
    assert total >= 22
    assert right / total >= 0.92, wrong


def test_the_constants_are_those_of_the_data() -> None:
    """What is committed is what the command would write, to its three digits."""
    fitted = fit_all(published())
    for generation in (True, False):
        ours, theirs = (errors_of(published(), constants, generation) for constants in (TYPICAL, fitted))
        assert [a for a, _ in ours] == pytest.approx([b for b, _ in theirs], abs=0.01, rel=0.02)
