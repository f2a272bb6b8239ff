"""Measures several commands in turn, round after round: A B C A B C; each launched, measured and stopped."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from splitter.bench.alternatives import Alternative
from splitter.bench.client import identify
from splitter.bench.measure import Sweep, measure_points
from splitter.bench.points import joined
from splitter.bench.records.record import Point
from splitter.bench.stopping import Stopping
from splitter.engine.command import EngineCommand
from splitter.engine.log.events import OwnPlacement, events
from splitter.errors import EngineError
from splitter.rig.device import Rig
from splitter.run.keys import key_of
from splitter.run.supervisor import launch

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DuelOutcome:
    """What came of one alternative: its points over all rounds, or why there are none (`error`)."""

    alternative: Alternative
    points: tuple[Point, ...] = ()
    url: str = ""
    build: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Duel:
    """`rounds` launches of each, with `repetitions` of every point in each; `budget_s` may end it between rounds."""

    sweep: Sweep
    rounds: int = 3
    repetitions: int = 3
    budget_s: float | None = None
    start_timeout_s: float = 600
    rig: Rig | None = None


@dataclass(slots=True)
class _Lane:
    """One alternative on its way."""

    outcome: DuelOutcome
    rounds: list[tuple[Point, ...]] = field(default_factory=list)


def duel(alternatives: Sequence[Alternative], plan: Duel, say: Say = lambda _text: None) -> tuple[DuelOutcome, ...]:
    """Every alternative's outcome, in the given order.

    One that does not start, runs out of memory or dies is left out from then on and says why; the others go on.
    """
    lanes = [_Lane(DuelOutcome(alternative)) for alternative in alternatives]
    started_s, longest_s = time.monotonic(), 0.0
    for number in range(plan.rounds):
        begun_s = time.monotonic()
        for lane in lanes:
            if lane.outcome.error is None:
                say(f"round {number + 1} of {plan.rounds}: {lane.outcome.alternative.name}")
                _run(lane, plan, say)
        longest_s = max(longest_s, time.monotonic() - begun_s)
        if plan.budget_s is not None and time.monotonic() - started_s + longest_s > plan.budget_s:
            break
    return tuple(_finished(lane) for lane in lanes)


def _run(lane: _Lane, plan: Duel, say: Say) -> None:
    stopping = Stopping(repetitions=plan.repetitions, budget_s=None)
    seed = plan.sweep.seed + len(lane.rounds)
    try:
        url, build, points, said = launched(
            lane.outcome.alternative.command, replace(plan.sweep, stopping=stopping, seed=seed), plan, say
        )
    except EngineError as error:
        lane.outcome = replace(lane.outcome, error=error.message)
        return
    lane.rounds.append(points)
    lane.outcome = replace(with_placement(lane.outcome, said), url=url, build=build)


def with_placement(outcome: DuelOutcome, log: Sequence[str]) -> DuelOutcome:
    """`outcome` with where the engine put the model by itself, when its `log` tells."""
    told = [event.arguments for event in events(log) if isinstance(event, OwnPlacement)]
    if not told or told[-1] in outcome.alternative.note:
        return outcome
    note = "; ".join(part for part in (outcome.alternative.note, f"it chose {told[-1]}") if part)
    return replace(outcome, alternative=replace(outcome.alternative, note=note))


def launched(
    command: EngineCommand, sweep: Sweep, plan: Duel, say: Say
) -> tuple[str, str | None, tuple[Point, ...], tuple[str, ...]]:
    """Launches, measures and stops one command: its URL, the build it states, its points, its log until ready."""
    with launch(command, start_timeout_s=plan.start_timeout_s) as instance:
        instance.wait_ready()
        target = replace(
            identify(instance.url, key_of(command.server), None, sweep.timeout_s), log=lambda: instance.lines
        )
        said = instance.lines
        return instance.url, target.build, measure_points(target, sweep, rig=plan.rig, on_progress=say), said


def _finished(lane: _Lane) -> DuelOutcome:
    """An alternative that died in a later round keeps what it measured, and its error."""
    series = zip(*lane.rounds, strict=True)
    return replace(lane.outcome, points=tuple(joined(points) for points in series))
