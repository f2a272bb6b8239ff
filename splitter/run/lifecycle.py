"""The states of a supervised engine and what to do in each: a pure step function. `supervisor` owns the loop.

    starting -> ready <-> degraded          a process runs
       ^          |          |
       |          v          v
       |       stopping ------------> exited | failed
       |          |
    waiting or replanning                   no process: it ended, was killed, or had no memory

An engine that never became ready is not restarted: it would fail again for the same reason. Only a shortage of
memory is answered by another plan. Every time is of one monotonic clock, so a wall clock that jumps changes nothing.
"""

from dataclasses import dataclass, replace
from typing import Literal

from splitter.engine.supervision import Supervision

Phase = Literal["starting", "ready", "degraded", "waiting", "replanning", "stopping", "exited", "failed"]
Rung = Literal["interrupt", "terminate", "kill"]
Action = Literal["interrupt", "terminate", "kill", "probe", "start", "replan"]
Failure = Literal[
    "died_loading",
    "died",
    "start_timeout",
    "not_ours",
    "no_model",
    "unresponsive",
    "not_started",
    "not_replanned",
    "unkillable",
    "renewed",
]

LADDER: tuple[Rung, ...] = ("interrupt", "terminate", "kill")
LASTING: tuple[Failure, ...] = ("not_ours", "no_model", "not_replanned", "unkillable")
FIRST_PROBE_S, LAST_PROBE_S = 0.02, 0.5  # while it loads: a quarter of the time that it has taken so far
LONGEST_SLEEP_S = 0.5  # on Windows a wait without a timeout keeps Ctrl-C from being heard


@dataclass(frozen=True, slots=True)
class State:
    """`since_s` is when the phase, or the rung of the stop ladder, began; `exit_code` is negative for a signal.

    `generation` counts starts, `in_row` the restarts since it was last healthy, `replans` likewise, `missed` the failed
    health probes in a row. `probe_s` is when the next probe is due. `asked`: somebody wants it stopped for good.
    """

    phase: Phase = "starting"
    since_s: float = 0
    rung: Rung | None = None
    failure: Failure | None = None
    exit_code: int | None = None
    generation: int = 1
    in_row: int = 0
    replans: int = 0
    missed: int = 0
    probe_s: float = 0
    was_ready: bool = False
    asked: bool = False

    @property
    def ended(self) -> bool:
        """Nothing more will happen."""
        return self.phase in {"exited", "failed"}

    @property
    def runs(self) -> bool:
        """There is a process."""
        return self.phase in {"starting", "ready", "degraded", "stopping"}


@dataclass(frozen=True, slots=True)
class Answered:
    """The endpoint answers; `ours` False: another process does on this port; `model` False: it serves no model."""

    ours: bool = True
    model: bool = True


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A health probe failed: an error, or silence from an engine that does no work."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine's process ended; `out_of_memory`: its log blames a device without room."""

    exit_code: int
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The program could not be started again."""


@dataclass(frozen=True, slots=True)
class Replanned:
    """There is a stricter plan, or (`possible` False) none that obeys the user."""

    possible: bool


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants the engine stopped. Asked again while stopping: climb to the next rung now."""


@dataclass(frozen=True, slots=True)
class RenewAsked:
    """The engine is to be started anew, with all that it needs elsewhere; `stuck`: it will not hear a polite word."""

    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Answered | Unanswered | Ended | NotStarted | Replanned | StopAsked | RenewAsked | Tick
Step = tuple[State, tuple[Action, ...]]


def step(state: State, event: Event, now_s: float, supervision: Supervision) -> Step:
    """The state after `event` at `now_s` (a monotonic clock), and what to do."""
    if state.ended:
        return state, ()
    match event:
        case Ended() | NotStarted():
            after = end(state, event, now_s, supervision)
        case Replanned(possible):
            after = replanned(state, possible, now_s)
        case StopAsked():
            after = stop(state, now_s)
        case RenewAsked(stuck):
            after = renew(state, stuck, now_s)
        case Answered():
            after = answered(state, event, now_s, supervision)
        case Unanswered():
            after = unanswered(state, now_s, supervision), ()
        case Tick():
            after = check_time(state, now_s, supervision)
    return after


def sleep_s(state: State, now_s: float, supervision: Supervision) -> float:
    """How long nothing can be due; never longer than LONGEST_SLEEP_S."""
    due = {
        "starting": min(state.probe_s, state.since_s + supervision.ready_timeout_s),
        "ready": state.probe_s,
        "degraded": state.probe_s,
        "waiting": state.since_s + supervision.pause_s(state.in_row),
        "stopping": state.since_s + (rung_s(state.rung, supervision) if state.rung else 0),
    }.get(state.phase, now_s)
    return min(LONGEST_SLEEP_S, max(0.001, due - now_s))


def check_time(state: State, now_s: float, supervision: Supervision) -> Step:
    """What has waited too long moves one step on; a running engine is probed when a probe is due."""
    waited_s = now_s - state.since_s
    if state.phase == "starting" and waited_s >= supervision.ready_timeout_s:
        return climb(replace(state, failure="start_timeout"), now_s)
    if state.phase == "waiting" and waited_s >= supervision.pause_s(state.in_row):
        return start(state, now_s)
    if _is_overdue(state, waited_s, supervision):
        return climb(state, now_s)
    if state.phase in {"starting", "ready", "degraded"} and now_s >= state.probe_s:
        return replace(state, probe_s=now_s + probe_pause_s(state, waited_s, supervision)), ("probe",)
    return state, ()


def rung_s(rung: Rung, supervision: Supervision) -> float:
    """How long `rung` of the stop ladder may take effect."""
    first = min(supervision.terminate_after_s, supervision.stop_timeout_s)
    after = max(0.0, supervision.stop_timeout_s - first)
    return {"interrupt": first, "terminate": after, "kill": supervision.kill_timeout_s}[rung]


def _is_overdue(state: State, waited_s: float, supervision: Supervision) -> bool:
    """A rung of the ladder that did not help, or a degraded engine that did not recover."""
    if state.rung is not None:
        return waited_s >= rung_s(state.rung, supervision)
    return state.phase == "degraded" and supervision.restart != "never" and waited_s >= supervision.restart_degraded_s


def probe_pause_s(state: State, waited_s: float, supervision: Supervision) -> float:
    """The time to the next probe."""
    if state.phase == "starting":
        return min(LAST_PROBE_S, max(FIRST_PROBE_S, waited_s / 4))
    return supervision.health_interval_s


def answered(state: State, event: Answered, now_s: float, supervision: Supervision) -> Step:
    """It is healthy; after `healthy_after_s` of that, earlier restarts no longer count."""
    if state.phase == "starting" and not (event.ours and event.model):
        return climb(replace(state, failure="no_model" if event.ours else "not_ours"), now_s)
    if state.phase in {"starting", "degraded"}:
        state = replace(state, phase="ready", since_s=now_s, failure=None, missed=0, was_ready=True)
        return replace(state, probe_s=now_s + supervision.health_interval_s), ()
    if state.phase == "ready" and now_s - state.since_s >= supervision.healthy_after_s:
        state = replace(state, in_row=0, replans=0)
    return replace(state, missed=0), ()


def unanswered(state: State, now_s: float, supervision: Supervision) -> State:
    """One failed probe is an accident, several in a row are a condition. While it loads, silence is normal."""
    if state.phase not in {"ready", "degraded"}:
        return state
    state = replace(state, missed=state.missed + 1)
    if state.phase == "ready" and state.missed >= supervision.health_failures:
        return replace(state, phase="degraded", since_s=now_s, failure="unresponsive")
    return state


def stop(state: State, now_s: float) -> Step:
    """The next rung of the ladder; without a process there is nothing to climb. It is not started again."""
    state = replace(state, asked=True, failure=None if state.failure == "unresponsive" else state.failure)
    if not state.runs:
        return replace(state, phase="exited", since_s=now_s, failure=None), ()
    return climb(state, now_s)


def renew(state: State, stuck: bool, now_s: float) -> Step:
    """One that runs is ended and started again; a stuck one is killed at once. One that starts or ends is let be."""
    if state.phase not in {"ready", "degraded"} or state.asked:
        return state, ()
    state = replace(state, failure="renewed")
    if not stuck:
        return climb(state, now_s)
    return replace(state, phase="stopping", since_s=now_s, rung="kill"), ("terminate", "kill")


def climb(state: State, now_s: float) -> Step:
    """The next rung of the stop ladder; past the last one the process cannot be ended."""
    position = 0 if state.rung is None else LADDER.index(state.rung) + 1
    if position == len(LADDER):
        return replace(state, phase="failed", since_s=now_s, failure="unkillable"), ()
    rung = LADDER[position]
    return replace(state, phase="stopping", since_s=now_s, rung=rung), (rung,)


def blame(state: State, exit_code: int) -> Failure | None:
    """A process that was stopped, or left with 0 after it was ready, did not fail; any other end is a failure."""
    if state.phase == "starting":
        return "died_loading"
    if state.phase == "ready" and exit_code != 0:
        return "died"
    return state.failure


def end(state: State, event: Ended | NotStarted, now_s: float, supervision: Supervision) -> Step:
    """After the end of a process: another plan, another start, or the end of it all."""
    lacked = False
    if isinstance(event, Ended):
        lacked = event.out_of_memory
        state = replace(state, failure=blame(state, event.exit_code), exit_code=event.exit_code)
    else:
        state = replace(state, failure="not_started")
    state = replace(state, rung=None, since_s=now_s, missed=0)
    if not state.asked and lacked and may_replan(state, supervision):
        return replace(state, phase="replanning", replans=state.replans + 1), ("replan",)
    if not state.asked and may_restart(state, supervision):
        return replace(state, phase="waiting", in_row=state.in_row + 1), ()
    return replace(state, phase="failed" if state.failure else "exited"), ()


def may_replan(state: State, supervision: Supervision) -> bool:
    """A start that lacked memory is planned again; an engine that ran, only where it may be restarted at all."""
    lacked = state.failure == "died_loading" or (state.failure == "died" and supervision.restart != "never")
    return lacked and state.replans < supervision.oom_replans


def may_restart(state: State, supervision: Supervision) -> bool:
    """Whether the policy, the cap and the reason of the end allow another start."""
    if supervision.restart == "never" or not state.was_ready or state.failure in LASTING:
        return False
    return (supervision.restart == "always" or state.failure is not None) and state.in_row < supervision.max_restarts


def replanned(state: State, possible: bool, now_s: float) -> Step:
    """Started with the stricter plan, or given up."""
    if state.phase != "replanning":
        return state, ()
    if not possible:
        return replace(state, phase="failed", since_s=now_s, failure="not_replanned"), ()
    return start(state, now_s)


def start(state: State, now_s: float) -> Step:
    """The next process."""
    started = replace(
        state,
        phase="starting",
        since_s=now_s,
        failure=None,
        generation=state.generation + 1,
        probe_s=now_s + FIRST_PROBE_S,
    )
    return started, ("start",)
