"""`-sm tensor` plans: within every card's memory and margin, refused where llama.cpp refuses, never slower than fit."""

from functools import cache

import pytest

from tests.engine.oracle import RIGS
from tests.plan.table import MODELS
from tests.plan.tensor_table import TensorRow, render, rows

pytestmark = pytest.mark.engine


@cache
def table() -> list[TensorRow]:
    return rows()


def test_every_pair_is_planned_or_refused_in_words() -> None:
    print("\n".join(render(table())))
    assert len(table()) == len(MODELS) * sum(len(cards) > 1 for cards in RIGS.values())
    assert all(r.plan or r.refused for r in table())
    assert {r.model for r in table() if "not implemented" in r.refused} == {"deepseek-v2-lite-q4_k_m"}


def test_tensor_plans_fit_with_their_margin() -> None:
    for r in table():
        if r.plan:
            assert r.plan.fits(), (r.model, r.rig)
            assert r.plan.settings.split_mode == "tensor"
            assert all(planned.headroom_bytes() >= 0 for planned in r.plan.devices)


def test_tensor_mode_is_never_slower_than_fit() -> None:
    slower = [(r.model, r.rig, r.tensor, r.fit) for r in table() if r.tensor and r.fit and r.tensor < r.fit]
    assert slower == []
