"""The step function, told as histories of events with a clock of our own."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.engine.supervision import UNSUPERVISED, Restart, Supervision
from splitter.run.lifecycle import (
    LADDER,
    Action,
    Answered,
    Ended,
    Event,
    NotStarted,
    Replanned,
    State,
    StopAsked,
    Tick,
    Unanswered,
    sleep_s,
    step,
)

LIMITS = replace(UNSUPERVISED, ready_timeout_s=60, terminate_after_s=10, stop_timeout_s=15, kill_timeout_s=2)


def play(*history: tuple[float, Event]) -> tuple[State, list[tuple[float, Action]]]:
    """The last state, and what was done when."""
    state, done = State(), list[tuple[float, Action]]()
    for now_s, event in history:
        state, actions = step(state, event, now_s, LIMITS)
        done += [(now_s, action) for action in actions if action != "probe"]
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
    st.builds(Ended, st.integers(-15, 255), st.booleans()),
    st.builds(Unanswered),
    st.builds(NotStarted),
    st.builds(Replanned, st.booleans()),
)


RESTARTING = replace(
    UNSUPERVISED,
    ready_timeout_s=60,
    terminate_after_s=10,
    stop_timeout_s=15,
    kill_timeout_s=2,
    restart="on-failure",
    max_restarts=3,
    backoff_s=2,
    backoff_max_s=5,
    healthy_after_s=100,
    health_interval_s=10,
    health_failures=2,
    restart_degraded_s=30,
    oom_replans=2,
)


def live(limits: Supervision, *history: tuple[float, Event]) -> tuple[list[str], State, list[tuple[float, Action]]]:
    """The phases in order, the last state, and what was done when, probes left out."""
    state, phases, done = State(), list[str](["starting"]), list[tuple[float, Action]]()
    for now_s, event in history:
        state, actions = step(state, event, now_s, limits)
        done += [(now_s, action) for action in actions if action != "probe"]
        if phases[-1] != state.phase:
            phases.append(state.phase)
    return phases, state, done


def test_a_crash_is_restarted_after_a_pause() -> None:
    phases, state, done = live(
        RESTARTING, (5, Answered()), (6, Ended(-11)), (7.9, Tick()), (8, Tick()), (9, Answered()), (10, Tick())
    )
    assert phases == ["starting", "ready", "waiting", "starting", "ready"]
    assert done == [(8, "start")]
    assert (state.generation, state.in_row, state.failure) == (2, 1, None)


def test_pauses_double_up_to_the_cap_and_the_restarts_in_a_row_are_counted() -> None:
    assert [RESTARTING.pause_s(n) for n in (1, 2, 3, 900)] == [2, 4, 5, 5]
    phases, state, done = live(
        RESTARTING,
        (1, Answered()),
        *((2, Ended(1)), (4, Tick()), (5, Ended(1)), (9, Tick()), (10, Ended(1)), (15, Tick()), (16, Ended(1))),
    )
    assert done == [(4, "start"), (9, "start"), (15, "start")]
    assert (phases[-1], state.failure, state.in_row) == ("failed", "died_loading", 3)


def test_a_healthy_period_forgives_earlier_restarts() -> None:
    _, state, _ = live(RESTARTING, (1, Answered()), (2, Ended(1)), (4, Tick()), (5, Answered()), (104, Answered()))
    assert state.in_row == 1
    _, state, _ = live(RESTARTING, (1, Answered()), (2, Ended(1)), (4, Tick()), (5, Answered()), (105, Answered()))
    assert state.in_row == 0


def test_what_was_never_ready_is_not_started_again() -> None:
    phases, state, _ = live(RESTARTING, (5, Ended(1)))
    assert (phases, state.failure) == (["starting", "failed"], "died_loading")


@pytest.mark.parametrize(("restart", "last"), [("never", "exited"), ("on-failure", "exited"), ("always", "waiting")])
def test_a_clean_end_is_restarted_only_by_always(restart: Restart, last: str) -> None:
    phases, _, _ = live(replace(RESTARTING, restart=restart), (5, Answered()), (6, Ended(0)))
    assert phases[-1] == last


def test_a_taken_port_at_a_restart_counts_as_a_failed_restart() -> None:
    phases, state, _ = live(RESTARTING, (1, Answered()), (2, Ended(1)), (4, Tick()), (4, NotStarted()))
    assert phases[-1] == "waiting"
    assert (state.in_row, state.failure) == (2, "not_started")


def test_failed_probes_make_it_degraded_and_an_answer_well_again() -> None:
    phases, state, _ = live(
        RESTARTING, (1, Answered()), (11, Unanswered()), (21, Unanswered()), (31, Answered()), (41, Unanswered())
    )
    assert phases == ["starting", "ready", "degraded", "ready"]
    assert (state.missed, state.failure) == (1, None)


def test_a_degraded_engine_is_stopped_and_started_again() -> None:
    history: list[tuple[float, Event]] = [(1, Answered()), (11, Unanswered()), (21, Unanswered()), (51, Tick())]
    phases, _, done = live(RESTARTING, *history, (52, Ended(0)), (54, Tick()))
    assert phases == ["starting", "ready", "degraded", "stopping", "waiting", "starting"]
    assert done == [(51, "interrupt"), (54, "start")]
    phases, _, done = live(replace(RESTARTING, restart="never"), *history)
    assert (phases[-1], done) == ("degraded", [])


def test_silence_while_it_loads_is_normal() -> None:
    phases, _, _ = live(RESTARTING, *((t, Unanswered()) for t in range(20)))
    assert phases == ["starting"]


def test_a_shortage_is_answered_by_another_plan_a_few_times() -> None:
    short = Ended(1, out_of_memory=True)
    phases, state, done = live(
        RESTARTING, (1, short), (3, Replanned(True)), (4, short), (5, Replanned(True)), (6, short)
    )
    assert phases == ["starting", "replanning", "starting", "replanning", "starting", "failed"]
    assert done == [(1, "replan"), (3, "start"), (4, "replan"), (5, "start")]
    assert state.generation == 3
    _, state, _ = live(RESTARTING, (1, short), (3, Replanned(False)))
    assert (state.phase, state.failure) == ("failed", "not_replanned")


def test_a_shortage_while_it_runs_is_replanned_unless_it_is_never_restarted() -> None:
    short = Ended(-6, out_of_memory=True)
    assert live(RESTARTING, (1, Answered()), (9, short))[0][-1] == "replanning"
    assert live(replace(RESTARTING, restart="never"), (1, Answered()), (9, short))[0][-1] == "failed"


@pytest.mark.parametrize(
    "history",
    [
        ((1, Answered()), (2, Ended(1))),
        ((1, Ended(1, out_of_memory=True)),),
        ((1, Answered()), (11, Unanswered()), (21, Unanswered())),
    ],
    ids=["waiting", "replanning", "degraded"],
)
def test_a_stop_ends_every_phase_for_good(history: tuple[tuple[float, Event], ...]) -> None:
    _, state, _ = live(RESTARTING, *history, (30, StopAsked()), (31, Ended(0)), (90, Tick()))
    assert (state.phase, state.failure) == ("exited", None)


def test_probes_are_frequent_while_it_loads_and_rare_later() -> None:
    state, probes = State(), []
    for tick in range(12_000):
        now_s = tick / 100
        if now_s == 60:
            state, _ = step(state, Answered(), now_s, replace(RESTARTING, ready_timeout_s=600))
        state, actions = step(state, Tick(), now_s, replace(RESTARTING, ready_timeout_s=600))
        probes += [now_s for action in actions if action == "probe"]
    assert len([t for t in probes if t < 1]) >= 5
    assert 110 <= len([t for t in probes if t < 60]) <= 150
    assert [t for t in probes if t >= 60] == [70, 80, 90, 100, 110]


@given(st.lists(st.tuples(st.floats(0, 40), EVENTS), max_size=60), st.sampled_from(["never", "on-failure", "always"]))
def test_laws(gaps: list[tuple[float, Event]], restart: Restart) -> None:
    """An ended engine stays as it is; each process climbs the rungs in order; nothing is started after a stop was
    asked; restarts in a row keep to the cap; the loop never sleeps past what is due; ticks alone then reach the end."""
    limits = replace(RESTARTING, restart=restart)
    state, now_s = State(), 0.0
    rungs: list[Action] = []
    for gap, event in gaps:
        before, now_s = state, now_s + gap
        state, actions = step(state, event, now_s, limits)
        assert not before.ended or (state is before and actions == ())
        assert not (before.asked and {"start", "replan"} & set(actions))
        assert state.in_row <= limits.max_restarts
        assert state.replans <= limits.oom_replans
        assert 0 < sleep_s(state, now_s, limits) <= 0.5
        rungs = [] if "start" in actions else rungs + [a for a in actions if a in LADDER]
        assert rungs == list(LADDER[: len(rungs)])
    state, _ = step(state, StopAsked(), now_s, limits)
    for _ in range(4):
        now_s += 60
        state, _ = step(state, Tick(), now_s, limits)
    assert state.ended
