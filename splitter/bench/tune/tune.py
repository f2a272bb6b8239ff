"""The loop of a tune: decide, measure, remember, until nothing better is left or the time is spent.

What measures, what keeps and what time it is are handed in.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from splitter.bench.tune.halving import (
    PER_TURN,
    TURNS,
    HalvingState,
    after,
    next_candidate,
    repetitions,
    wants_neighbours,
    with_neighbours,
)
from splitter.bench.tune.neighbours import Space, neighbours
from splitter.bench.tune.trial import Candidate, Outcome, Trial
from splitter.bench.verdict import Ratio, paired

Measure = Callable[[Candidate, int], Outcome]
Keep = Callable[[Candidate, Outcome, int], Trial]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best found, all trials in order, and why it ended: "nothing better" or "time".

    `confirmed` is the best over the start, measured again in turns when all was decided: what led to the choice
    flatters what was chosen. None where the time was spent before, the start did not run, or nothing beat it.
    """

    start: Candidate
    best: Candidate
    trials: tuple[Trial, ...]
    ended_by: str
    confirmed: Ratio | None = None

    def launches(self) -> int:
        """How many engines were started."""
        return sum(trial.outcome.launched for trial in self.trials)

    def scores(self, key: str) -> tuple[float, ...]:
        """All scores of one candidate."""
        return tuple(score for trial in self.trials if trial.key == key for score in trial.outcome.scores)

    def speeds(self, key: str) -> tuple[float, ...]:
        """All generation speeds of one candidate, tokens per second."""
        return tuple(value for trial in self.trials if trial.key == key for value in trial.outcome.generation)

    def gain(self) -> float | None:
        """How much faster the best is than the start, 0 for the start itself; None where the start did not run."""
        if self.confirmed is not None:
            return self.confirmed.ratio - 1
        before, now = self.scores(self.start.key), self.scores(self.best.key)
        return statistics.fmean(now) / statistics.fmean(before) - 1 if before and now else None


@dataclass(slots=True)
class _Log:
    """The trials so far; the remembered ones are given again as long as they are what is asked for."""

    measure: Measure
    keep: Keep
    time_left: Callable[[], bool]
    remembered: list[Trial]
    done: list[Trial] = field(default_factory=list)

    def trial(self, wanted: Candidate, count: int) -> Trial | None:
        """The next trial; None when the time is spent."""
        if self.remembered and self.remembered[0].key == wanted.key:
            trial = self.remembered.pop(0)
        elif not self.time_left() and self.done:
            return None
        else:
            self.remembered.clear()
            trial = self.keep(wanted, self.measure(wanted, count), len(self.done))
        self.done.append(trial)
        return trial


def tune(
    space: Space,
    start: Candidate,
    measure: Measure,
    keep: Keep,
    *,
    history: Sequence[Trial] = (),
    time_left: Callable[[], bool] = lambda: True,
) -> Tuned:
    """Measures until nothing is better by more than the noise, then the best against the start once more, in turns.

    `history` is replayed first, as far as it leads this way.
    """
    log = _Log(measure, keep, time_left, list(history))
    best, in_time = _searched(space, start, log)
    if not in_time:
        return Tuned(start, best, tuple(log.done), "time")
    turns, in_time = _turns(start, best, log)
    found = paired([now for _, now in turns], [before for before, _ in turns])
    if found is not None and statistics.median(now / before for before, now in turns) <= 1:
        best, found = start, None
    return Tuned(start, best, tuple(log.done), "nothing better" if in_time else "time", found)


def _searched(space: Space, start: Candidate, log: _Log) -> tuple[Candidate, bool]:
    """The best, and whether the search came to its end in time."""
    state, rounds = HalvingState(start), 0
    while True:
        wanted = next_candidate(state)
        if wanted is None:
            if not wants_neighbours(state):
                return state.incumbent, True
            state = with_neighbours(state, neighbours(space, state.incumbent, first=rounds == 0))
            rounds += 1
            continue
        trial = log.trial(wanted, repetitions(state, wanted))
        if trial is None:
            return state.incumbent, False
        state = after(state, wanted, trial.outcome)


def _turns(start: Candidate, best: Candidate, log: _Log) -> tuple[list[tuple[float, float]], bool]:
    """The middle scores of start and best per turn, and whether there was time; none where there is nothing to compare.

    A launch that fails here ends it: what was found before stays.
    """
    found: list[tuple[float, float]] = []
    if best.key == start.key or not any(trial.key == start.key and trial.outcome.scores for trial in log.done):
        return found, True
    for _ in range(TURNS):
        pair = []
        for candidate in (start, best):
            trial = log.trial(candidate, PER_TURN)
            if trial is None:
                return found, False
            if not trial.outcome.scores:
                return found, True
            pair.append(statistics.median(trial.outcome.scores))
        found.append((pair[0], pair[1]))
    return found, True
