"""The loop of a tune: decide, measure, remember, until nothing better is left or the time is spent.

What measures, what keeps and what time it is are handed in.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from splitter.bench.halving import State, after, next_candidate, repetitions, wants_neighbours, with_neighbours
from splitter.bench.neighbours import Space, neighbours
from splitter.bench.trial import Candidate, Outcome, Trial

Measure = Callable[[Candidate, int], Outcome]
Keep = Callable[[Candidate, Outcome, int], Trial]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best found, all trials in order, and why it ended: "nothing better" or "time"."""

    start: Candidate
    best: Candidate
    trials: tuple[Trial, ...]
    ended_by: str

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
        """How much faster the best is than the start; None where the start did not run."""
        before, now = self.scores(self.start.key), self.scores(self.best.key)
        return statistics.fmean(now) / statistics.fmean(before) - 1 if before and now else None


def tune(
    space: Space,
    start: Candidate,
    measure: Measure,
    keep: Keep,
    *,
    history: Sequence[Trial] = (),
    time_left: Callable[[], bool] = lambda: True,
) -> Tuned:
    """Measures until nothing within the noise is better. `history` is replayed first, as far as it leads this way."""
    state, rounds, done = State(start), 0, list[Trial]()
    remembered = list(history)
    while True:
        wanted = next_candidate(state)
        if wanted is None:
            if not wants_neighbours(state):
                return Tuned(start, state.incumbent, tuple(done), "nothing better")
            state = with_neighbours(state, neighbours(space, state.incumbent, first=rounds == 0))
            rounds += 1
            continue
        if remembered and remembered[0].key == wanted.key:
            trial = remembered.pop(0)
        elif not time_left() and done:
            return Tuned(start, state.incumbent, tuple(done), "time")
        else:
            remembered.clear()
            trial = keep(wanted, measure(wanted, repetitions(state, wanted)), len(done))
        done.append(trial)
        state = after(state, wanted, trial.outcome)
