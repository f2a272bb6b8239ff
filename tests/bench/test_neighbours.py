"""What a tune tries next: pure, on plans of small models."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from splitter.bench.tune.neighbours import MOST, Space, neighbours
from splitter.bench.tune.trial import Candidate, candidate
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.plan.speed import BOUND
from splitter.rig.device import Rig
from tests.plan.builders import ONE_TOKEN, card, model, rig

FACTS = model(12)
CARDS = rig(card(0, 120, 200), card(1, 100, 800), card(2, 110, 400))
HELD = {"context_size": 256, "parallel": 1}
ORDER = ("CUDA0", "CUDA1", "CUDA2")


def space(facts: ModelFacts = FACTS, cards: Rig = CARDS, fixed: Mapping[str, Any] | None = None, **more: Any) -> Space:
    given = fixed or {}

    def judged(settings: Settings) -> Plan:
        return evaluate(facts, cards, settings, margin_bytes=(0,), constants=BOUND, overhead=no_overhead)

    def solved(asked: Mapping[str, Any]) -> Plan:
        request = Request(fixed={**HELD, **given, **asked}, margin_bytes=(0,), workload=ONE_TOKEN)
        return solve(facts, cards, request, constants=BOUND, overhead=no_overhead, details=False)

    return Space(judged, solved, frozenset(given), 8, **more)


def start_of(where: Space, **changes: Any) -> Candidate:
    """Four layers on each card and one more, or the solver's plan with `changes`."""
    bad = replace(where.solve({}).settings, device_order=ORDER, tensor_split=(5.0, 4.0, 4.0), gpu_layers=13)
    return candidate(where.evaluate(replace(bad, ubatch_size=64, **changes)), "the start", "start")


def test_the_solvers_own_plan_is_first_and_only_in_the_first_round() -> None:
    where = space()
    found = neighbours(where, start_of(where), first=True)
    assert found[0].axis == "plan"
    assert "plan" not in {made.axis for made in neighbours(where, start_of(where))}
    without = replace(where, own_plan=False)
    assert "plan" not in {made.axis for made in neighbours(without, start_of(without), first=True)}


def test_the_solvers_own_plan_is_tried_even_where_the_model_thinks_it_slower() -> None:
    where = space()
    fast = where.solve({})
    slow = where.evaluate(replace(fast.settings, device_order=("CUDA0",), tensor_split=(), gpu_layers=4))
    assert slow.fits()
    assert (slow.speed.generation_tokens_per_s or 0) < 0.9 * (fast.speed.generation_tokens_per_s or 0)
    wrong = replace(where, solve=lambda _asked: slow)
    found = neighbours(wrong, candidate(fast, "the start", "start"), first=True)
    assert (found[0].axis, found[0].settings.device_order) == ("plan", ("CUDA0",))


def test_every_neighbour_fits_differs_and_is_there_once() -> None:
    where = space()
    start = start_of(where)
    found = neighbours(where, start, first=True)
    keys = [made.key for made in found]
    assert 4 < len(keys) == len(set(keys)) <= MOST
    assert start.key not in keys
    assert all(where.evaluate(made.settings).fits() for made in found)


def test_one_layer_moves_leave_all_others_where_they_are() -> None:
    where = space()
    start = start_of(where)
    moved = [made for made in neighbours(where, start) if made.label.startswith("1 layer ")]
    assert moved
    before = dict(start.counts)
    for made in moved:
        change = {name: count - before[name] for name, count in made.counts if count != before[name]}
        assert set(change.values()) <= {-1, 1}
        assert made.grown == tuple(name for name, by in change.items() if by > 0)


@pytest.mark.parametrize(
    ("fixed", "axes"),
    [
        ({"tensor_split": (5.0, 4.0, 4.0), "device_order": ORDER}, {"layers", "order", "devices"}),
        ({"ubatch_size": 64}, {"micro-batch"}),
        ({"batch_size": 2048}, {"batch"}),
        ({"flash_attention": "on"}, {"flash attention"}),
        ({"override_tensors": ("^none$=CPU",)}, {"pipeline", "split mode"}),
    ],
)
def test_what_is_fixed_is_never_varied(fixed: dict[str, Any], axes: set[str]) -> None:
    free, held = space(), space(fixed=fixed)
    start = start_of(free, **{name: value for name, value in fixed.items() if name != "ubatch_size"})
    assert not axes & {made.axis for made in neighbours(held, start)}
    for made in neighbours(held, start):
        assert all(getattr(made.settings, name) == value for name, value in fixed.items())


def test_a_lossy_cache_is_tried_only_where_allowed() -> None:
    where = space()
    assert "cache" not in {made.axis for made in neighbours(where, start_of(where))}
    allowed = replace(where, lossy_kv=True, fixed=frozenset({"tensor_split", "device_order"}))
    caches = [made for made in neighbours(allowed, start_of(where)) if made.axis == "cache"]
    assert [(made.settings.cache_type_k, made.settings.cache_type_v) for made in caches] == [("q8_0", "q8_0")]


def test_threads_are_tried_only_where_the_host_computes() -> None:
    where = space()
    assert "threads" not in {made.axis for made in neighbours(where, start_of(where))}
    little = space(cards=rig(card(0, 60, 200)))
    start = candidate(little.solve({"ubatch_size": 64}), "the start", "start")
    threads = {made.settings.threads for made in neighbours(little, start) if made.axis == "threads"}
    assert threads <= {8, 4, 7}
    assert threads


def test_batches_larger_than_the_prompt_make_no_difference_and_are_not_tried() -> None:
    where = replace(space(), n_prompt=32, fixed=frozenset({"tensor_split", "device_order"}))
    sizes = {made.settings.ubatch_size for made in neighbours(where, start_of(where)) if made.axis == "micro-batch"}
    assert sizes <= {32}
    longer = replace(where, n_prompt=512)
    found = {made.settings.ubatch_size for made in neighbours(longer, start_of(where)) if made.axis == "micro-batch"}
    assert found == {32, 128}


def test_a_smaller_microbatch_is_tried_with_the_split_that_it_leaves_room_for() -> None:
    where = space(cards=rig(card(0, 90, 200), card(1, 110, 800)), n_prompt=16)
    large = candidate(where.solve({"ubatch_size": 512}), "the start", "start")
    found = [made for made in neighbours(where, large) if made.label.startswith("-ub ")]
    assert found
    for made in found:
        assert made.settings.ubatch_size < 512
        assert made.predicted is not None
        assert large.predicted is not None
        assert made.predicted > large.predicted


def test_a_card_that_would_hold_nothing_is_not_taken_in() -> None:
    where = space(cards=rig(card(0, 400, 100), card(1, 400, 800)))
    alone = candidate(where.solve({}), "the start", "start")
    assert alone.settings.device_order == ("CUDA1",)
    assert not [made for made in neighbours(where, alone) if made.label == "with CUDA0"]


def test_machines_are_tried_in_and_out_whatever_is_predicted_of_them() -> None:
    """Two very slow cards in attic: no plan takes them, and they go in and out together."""
    far = [replace(card(i, 100, 1), id=f"RPC{i}", node="attic") for i in range(2)]
    where = space(cards=rig(*far, card(0, 60, 400), card(1, 60, 200)))
    alone = candidate(where.solve({"device_order": ("CUDA0", "CUDA1")}), "the start", "start")
    (taken,) = (made for made in neighbours(where, alone) if made.axis == "nodes")
    assert taken.label == "with attic"
    assert taken.settings.device_order[:2] == ("RPC0", "RPC1")
    assert min(count for _, count in taken.counts[:2]) > 0
    assert taken.predicted is not None
    assert alone.predicted is not None
    assert taken.predicted < 0.5 * alone.predicted
    (left,) = (made for made in neighbours(where, taken) if made.axis == "nodes")
    assert (left.label, left.settings.device_order) == ("without attic", ("CUDA0", "CUDA1"))
