"""What a supervised engine may be, and what to do about it: a pure step function. `supervisor` owns the loop.

starting -> ready -> stopping -> exited
    \\__________\\________\\____-> failed
"""

from dataclasses import dataclass, replace
from typing import Literal

Phase = Literal["starting", "ready", "stopping", "exited", "failed"]
Action = Literal["interrupt", "terminate", "kill"]
Failure = Literal["died_loading", "died", "start_timeout", "not_ours", "no_model", "unkillable"]

LADDER: tuple[Action, ...] = ("interrupt", "terminate", "kill")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for readiness, and for the end after each rung of the stop ladder.

    A large model on a hard disk needs minutes to load. An engine that holds tens of GiB needs seconds to free them;
    llama-server b11434 with a streamed answer in flight often hangs after its first SIGINT and leaves on the next rung.
    """

    start_timeout_s: float = 600
    interrupt_s: float = 5
    terminate_s: float = 5
    kill_s: float = 5

    def rung_s(self, rung: Action) -> float:
        """How long `rung` may take effect."""
        return {"interrupt": self.interrupt_s, "terminate": self.terminate_s, "kill": self.kill_s}[rung]


@dataclass(frozen=True, slots=True)
class State:
    """`since_s` is when the phase, or the rung of the stop ladder, began; `exit_code` is negative for a signal."""

    phase: Phase = "starting"
    since_s: float = 0
    rung: Action | None = None
    failure: Failure | None = None
    exit_code: int | None = None

    @property
    def ended(self) -> bool:
        """Nothing more will happen."""
        return self.phase in {"exited", "failed"}


@dataclass(frozen=True, slots=True)
class Answered:
    """The endpoint answers; `ours` False: another process does on this port; `model` False: it serves no model."""

    ours: bool = True
    model: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine's process ended."""

    exit_code: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants the engine stopped. Asked again while stopping: climb to the next rung now."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Answered | Ended | StopAsked | Tick
Step = tuple[State, tuple[Action, ...]]


def step(state: State, event: Event, now_s: float, limits: Limits) -> Step:
    """The state after `event` at `now_s` (a monotonic clock), and what to do to the process."""
    if state.ended:
        return state, ()
    match event:
        case Ended(exit_code):
            return end(state, exit_code, now_s), ()
        case StopAsked():
            return climb(state, now_s)
        case Answered(ours, model) if state.phase == "starting":
            if ours and model:
                return replace(state, phase="ready", since_s=now_s), ()
            return climb(replace(state, failure="no_model" if ours else "not_ours"), now_s)
        case _:
            return check_time(state, now_s, limits)


def check_time(state: State, now_s: float, limits: Limits) -> Step:
    """What waited too long goes one step on."""
    waited_s = now_s - state.since_s
    if state.phase == "starting" and waited_s >= limits.start_timeout_s:
        return climb(replace(state, failure="start_timeout"), now_s)
    if state.rung is not None and waited_s >= limits.rung_s(state.rung):
        return climb(state, now_s)
    return state, ()


def climb(state: State, now_s: float) -> Step:
    """The next rung of the stop ladder; past the last one the process cannot be ended."""
    position = 0 if state.rung is None else LADDER.index(state.rung) + 1
    if position == len(LADDER):
        return replace(state, phase="failed", since_s=now_s, failure="unkillable"), ()
    rung = LADDER[position]
    return replace(state, phase="stopping", since_s=now_s, rung=rung), (rung,)


def end(state: State, exit_code: int, now_s: float) -> State:
    """A process that was stopped, or left with 0 after it was ready, has exited; any other end is a failure."""
    failure = state.failure
    if state.phase == "starting":
        failure = "died_loading"
    elif state.phase == "ready" and exit_code != 0:
        failure = "died"
    phase: Phase = "failed" if failure else "exited"
    return replace(state, phase=phase, since_s=now_s, failure=failure, exit_code=exit_code)
