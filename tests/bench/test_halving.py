"""Successive halving without engines: a true speed per candidate, noise from a fixed seed."""

import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from splitter.bench.tune.halving import (
    HalvingState,
    after,
    next_candidate,
    repetitions,
    wants_neighbours,
    with_neighbours,
)
from splitter.bench.tune.trial import Candidate, Outcome
from splitter.memory.settings import Settings


def made(name: str, axis: str = "layers", ubatch: int = 512, **counts: int) -> Candidate:
    asked = Settings(512, 25, tuple(counts) or ("CUDA0",), ubatch_size=ubatch)
    return Candidate(name, name, axis, asked, None, tuple(counts.items()), tuple(counts)[:1])


def drained(state: HalvingState, speed: Callable[[str], Outcome]) -> tuple[HalvingState, list[str]]:
    """One round to its end, and the keys measured."""
    order = []
    while (wanted := next_candidate(state)) is not None:
        order.append(wanted.key)
        outcome = speed(wanted.key)
        state = after(state, wanted, outcome if outcome.failed else repeated(outcome, repetitions(state, wanted)))
    return state, order


def repeated(outcome: Outcome, count: int) -> Outcome:
    return Outcome(scores=outcome.scores * count)


def speeds(**values: float | None) -> Callable[[str], Outcome]:
    def outcome(key: str) -> Outcome:
        value = values[key]
        return Outcome(failed="it died", device="CUDA1") if value is None else Outcome(scores=(value,))

    return outcome


def begun(*pool: Candidate, start: float = 10.0) -> HalvingState:
    state = after(HalvingState(made("start")), made("start"), Outcome(scores=(start,) * 3))
    return with_neighbours(state, pool)


def test_a_far_better_one_wins_at_once() -> None:
    state, order = drained(begun(made("a"), made("b")), speeds(a=12, b=13))
    assert (state.incumbent.key, order) == ("a", ["a"])
    assert not state.expanded


def test_a_slightly_better_one_must_win_a_duel() -> None:
    state, order = drained(begun(made("a"), made("b")), speeds(a=10.15, b=10.2, start=10))
    assert (state.incumbent.key, order) == ("b", ["a", "b", *["start", "b"] * 4])


def test_a_machine_that_slows_down_for_a_while_decides_no_duel() -> None:
    """The rival looks 2 % better until the duel; in it, the machine is slower and slower, and the two are equal."""
    state = begun(made("a"))
    turn = 0
    while (wanted := next_candidate(state)) is not None:
        turn += state.rival is not None
        speed = 10 * 0.97**turn if state.rival else 10.2 if wanted.key == "a" else 10.0
        state = after(state, wanted, Outcome(scores=(speed,) * repetitions(state, wanted)))
    assert turn == 6
    assert state.incumbent.key == "start"


def test_one_slow_repetition_does_not_cost_a_candidate_its_place() -> None:
    state = after(begun(made("a")), made("a"), Outcome(scores=(12.0, 12.1, 7.0)))
    assert state.pool == (made("a"),)
    state, _ = drained(state, speeds(a=12, start=10))
    assert state.incumbent.key == "a"


def test_what_was_measured_and_may_be_better_than_the_new_incumbent_comes_back() -> None:
    state = after(begun(made("a"), made("b")), made("a"), Outcome(scores=(9.0, 14.0, 14.5)))
    state = after(state, made("b"), Outcome(scores=(12.0,) * 3))
    assert state.incumbent.key == "b"
    state, order = drained(with_neighbours(state, []), speeds(a=14, b=12))
    assert order[:2] == ["b", "a"]
    assert state.incumbent.key == "a"
    state, order = drained(with_neighbours(state, []), speeds())
    assert not order, "an incumbent that was beaten never comes back"
    assert not wants_neighbours(state)


def test_nothing_better_leaves_the_incumbent() -> None:
    state, order = drained(begun(made("a"), made("b", "batch")), speeds(a=9, b=10.05))
    assert (state.incumbent.key, order) == ("start", ["a", "b"])
    assert state.expanded
    assert state.lost == {"b"}
    assert with_neighbours(state, [made("b", "batch"), made("c")]).pool == (made("c"),)


def test_noise_is_measured_again_before_it_is_believed() -> None:
    rnd = random.Random(3)
    state = after(HalvingState(made("start")), made("start"), Outcome(scores=(9.6, 10.4, 10.1)))
    state = with_neighbours(state, [made("a")])
    seen = 0
    while (wanted := next_candidate(state)) is not None:
        seen += 1
        count = repetitions(state, wanted)
        state = after(state, wanted, Outcome(scores=tuple(10 * rnd.uniform(0.95, 1.05) for _ in range(count))))
    assert state.incumbent.key == "start"
    assert seen >= 3


def test_what_lies_beyond_a_failure_is_not_tried() -> None:
    pool = (made("a", CUDA0=5, CUDA1=10), made("b", CUDA0=4, CUDA1=11), made("c", CUDA0=6, CUDA1=9))
    state, order = drained(begun(*pool), speeds(a=None, c=10))
    assert order == ["a", "c"]
    assert with_neighbours(state, [made("d", CUDA0=0, CUDA1=15), made("e", CUDA0=7, CUDA1=8)]).pool == (
        made("e", CUDA0=7, CUDA1=8),
    )


def test_a_larger_microbatch_that_died_bars_larger_ones_only() -> None:
    dead = made("a", "micro-batch", ubatch=1024)
    state, _ = drained(begun(Candidate("a", "a", "micro-batch", dead.settings, None, (), ())), speeds(a=None))
    larger, smaller = made("b", ubatch=2048, CUDA0=3), made("c", ubatch=256, CUDA0=3)
    assert with_neighbours(state, [larger, smaller]).pool == (smaller,)


def test_a_start_that_dies_is_replaced_by_what_runs() -> None:
    start = made("start")
    state = after(HalvingState(start), start, Outcome(failed="it died"))
    state, order = drained(with_neighbours(state, [made("a"), made("b")]), speeds(a=5, b=6))
    assert (state.incumbent.key, order) == ("b", ["a", "b"])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(1, 100), min_size=1, max_size=9), st.integers(0, 2**32 - 1))
def test_the_winner_is_never_clearly_slower_than_any_measured(true: list[float], seed: int) -> None:
    rnd = random.Random(seed)
    values = {f"c{i}": value for i, value in enumerate(true)}
    state = after(HalvingState(made("c0")), made("c0"), Outcome(scores=(values["c0"],) * 3))
    for _ in range(len(true) + 1):
        state = with_neighbours(state, [made(name) for name in values])
        state, _ = drained(state, lambda key: Outcome(scores=(values[key] * rnd.uniform(0.999, 1.001),)))
    assert values[state.incumbent.key] >= max(values.values()) * 0.98
