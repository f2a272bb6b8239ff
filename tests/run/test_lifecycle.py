"""The step function, told as histories of events with a clock of our own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.run.lifecycle import Action, Answered, Ended, Event, Limits, State, StopAsked, Tick, step

LIMITS = Limits(start_timeout_s=60, interrupt_s=10, terminate_s=5, kill_s=2)


def play(*history: tuple[float, Event]) -> tuple[State, list[tuple[float, Action]]]:
    """The last state, and what was done when."""
    state, done = State(), []
    for now_s, event in history:
        state, actions = step(state, event, now_s, LIMITS)
        done += [(now_s, action) for action in actions]
    return state, done


def test_a_good_life() -> None:
    state, done = play((1, Tick()), (5, Answered()), (100, Tick()), (101, StopAsked()), (102, Ended(0)))
    assert (state.phase, state.failure, state.exit_code) == ("exited", None, 0)
    assert done == [(101, "interrupt")]


def test_ready_is_noted_once() -> None:
    state, _ = play((5, Answered()), (9, Answered()))
    assert (state.phase, state.since_s) == ("ready", 5)


@pytest.mark.parametrize("code", [0, 1, -9])
def test_an_end_while_loading_is_a_failure_whatever_the_code(code: int) -> None:
    state, done = play((5, Ended(code)))
    assert (state.phase, state.failure, state.exit_code) == ("failed", "died_loading", code)
    assert done == []


@pytest.mark.parametrize(
    ("code", "phase", "failure"), [(0, "exited", None), (1, "failed", "died"), (-6, "failed", "died")]
)
def test_an_end_while_ready(code: int, phase: str, failure: str | None) -> None:
    state, _ = play((5, Answered()), (6, Ended(code)))
    assert (state.phase, state.failure) == (phase, failure)


def test_the_stop_ladder_climbs_with_time() -> None:
    state, done = play(
        (5, Answered()), (10, StopAsked()), (19, Tick()), (20, Tick()), (24, Tick()), (25, Tick()), (26, Ended(-9))
    )
    assert done == [(10, "interrupt"), (20, "terminate"), (25, "kill")]
    assert (state.phase, state.exit_code) == ("exited", -9)


def test_asking_again_climbs_at_once() -> None:
    _, done = play((5, Answered()), (10, StopAsked()), (10.5, StopAsked()), (11, StopAsked()))
    assert done == [(10, "interrupt"), (10.5, "terminate"), (11, "kill")]


def test_what_cannot_be_killed_is_given_up() -> None:
    state, _ = play((10, StopAsked()), (20, Tick()), (25, Tick()), (27, Tick()))
    assert (state.phase, state.failure) == ("failed", "unkillable")


def test_too_slow_to_start_is_stopped_and_failed() -> None:
    state, done = play((59, Tick()), (60, Tick()), (61, Ended(0)))
    assert (state.phase, state.failure) == ("failed", "start_timeout")
    assert done == [(60, "interrupt")]


def test_a_foreign_answer_is_a_failure() -> None:
    state, done = play((5, Answered(ours=False)), (6, Ended(0)))
    assert (state.phase, state.failure) == ("failed", "not_ours")
    assert done == [(5, "interrupt")]


def test_a_server_without_a_model_is_a_failure() -> None:
    state, done = play((5, Answered(model=False)), (6, Ended(0)))
    assert (state.phase, state.failure) == ("failed", "no_model")
    assert done == [(5, "interrupt")]
    assert play((5, Answered(ours=False, model=False)))[0].failure == "not_ours"


def test_a_stop_while_loading_is_no_failure() -> None:
    state, _ = play((5, StopAsked()), (6, Ended(-2)))
    assert (state.phase, state.failure) == ("exited", None)


EVENTS = st.one_of(
    st.just(Tick()),
    st.just(StopAsked()),
    st.builds(Answered, st.booleans(), st.booleans()),
    st.builds(Ended, st.integers(-15, 255)),
)


@given(st.lists(st.tuples(st.floats(0, 40), EVENTS), max_size=40))
def test_laws(gaps: list[tuple[float, Event]]) -> None:
    """An ended engine stays as it is; rungs are climbed in order; after a stop is asked, ticks alone reach the end."""
    state, now_s = State(), 0.0
    done: list[Action] = []
    for gap, event in gaps:
        before, now_s = state, now_s + gap
        state, actions = step(state, event, now_s, LIMITS)
        done += actions
        assert not before.ended or (state is before and actions == ())
    assert done == ["interrupt", "terminate", "kill"][: len(done)]
    state, _ = step(state, StopAsked(), now_s, LIMITS)
    for _ in range(4):
        now_s += 60
        state, _ = step(state, Tick(), now_s, LIMITS)
    assert state.ended
