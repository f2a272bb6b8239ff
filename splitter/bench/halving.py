"""Successive halving around an incumbent: outcomes -> the next candidate to measure, or nothing left. Pure.

A round measures the incumbent's neighbours with few repetitions, drops those that are not better within the noise,
measures the better half again with more, and makes the best the new incumbent if it is clearly better; its neighbours
are the next round. A neighbour that is better by far becomes the incumbent at once. The same outcomes always lead
along the same path: an interrupted tune is resumed by replaying its history.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from splitter.bench.trial import Candidate, Outcome

REPETITIONS = (2, 4, 8)  # in all, after each rung
WORTH = 0.01  # a change must bring at least this
AT_ONCE = 0.03  # and with this it need not wait for its round
NOISE_FLOOR = 0.003  # repetitions of one launch agree better than launches do
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36)


@dataclass(frozen=True, slots=True)
class Barred:
    """Memory ran out: no candidate with as many layers on one of these devices and as large a micro-batch is tried."""

    counts: tuple[tuple[str, int], ...]
    ubatch_size: int

    def holds_for(self, other: Candidate) -> bool:
        if other.settings.ubatch_size < self.ubatch_size:
            return False
        held = dict(other.counts)
        return not self.counts or any(held.get(name, 0) >= count for name, count in self.counts)


@dataclass(frozen=True, slots=True)
class State:
    """`pool` is what the round still considers, in the order to measure it; `rung` how far it is."""

    incumbent: Candidate
    pool: tuple[Candidate, ...] = ()
    rung: int = 0
    expanded: bool = False
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    failed: frozenset[str] = frozenset()
    barred: tuple[Barred, ...] = ()
    lost: frozenset[str] = frozenset()


def next_candidate(state: State) -> Candidate | None:
    """What to measure now; None when the round is over (ask `wants_neighbours`)."""
    if _count(state, state.incumbent) < REPETITIONS[state.rung] and state.incumbent.key not in state.failed:
        return state.incumbent
    return next((c for c in state.pool if _count(state, c) < REPETITIONS[state.rung]), None)


def repetitions(state: State, wanted: Candidate) -> int:
    """How many more `wanted` needs on this rung."""
    return max(REPETITIONS[state.rung] - _count(state, wanted), 1)


def wants_neighbours(state: State) -> bool:
    """Whether the incumbent's neighbours are still to be looked at; False and nothing to measure: done."""
    return not state.pool and not state.expanded


def with_neighbours(state: State, found: Iterable[Candidate]) -> State:
    """A new round; what was measured, failed or is barred is left out."""
    pool = tuple(c for c in found if _is_new(state, c))
    return replace(state, pool=pool, rung=0, expanded=True)


def after(state: State, done: Candidate, outcome: Outcome) -> State:
    """The state once `done` was measured."""
    if outcome.failed is not None:
        return _settled(_without(state, done, outcome))
    scores = {**state.scores, done.key: (*state.scores.get(done.key, ()), *outcome.scores)}
    state = replace(state, scores=MappingProxyType(scores))
    gain = _mean(state, done) / _mean(state, state.incumbent) - 1 if _count(state, state.incumbent) else 0.0
    if done.key != state.incumbent.key and gain >= AT_ONCE and clearly_better(state, done):
        return _crowned(state, done)
    return _settled(state)


def interval(values: tuple[float, ...]) -> tuple[float, float]:
    """Where the true mean lies, with 95 % of confidence and never narrower than the noise between launches."""
    mean = statistics.fmean(values)
    reach = NOISE_FLOOR * mean
    if len(values) > 2:
        t = T_95[min(len(values) - 2, len(T_95) - 1)]
        reach = max(reach, t * statistics.stdev(values) / len(values) ** 0.5)
    elif len(values) == 2:
        reach = max(reach, abs(values[0] - values[1]))
    return mean - reach, mean + reach


def clearly_better(state: State, other: Candidate) -> bool:
    """Whether `other` beats the incumbent by more than the noise and by enough to matter."""
    low, _ = interval(state.scores[other.key])
    _, high = interval(state.scores[state.incumbent.key])
    return low > high and _mean(state, other) > _mean(state, state.incumbent) * (1 + WORTH)


def _is_new(state: State, found: Candidate) -> bool:
    fresh = found.key not in state.scores and found.key not in state.failed and found.label not in state.lost
    return fresh and found.key != state.incumbent.key and not any(bar.holds_for(found) for bar in state.barred)


def _without(state: State, dead: Candidate, outcome: Outcome) -> State:
    """`dead` and what lies beyond it are not tried again."""
    held = dict(dead.counts)
    blamed = (outcome.device,) if outcome.device in held else dead.grown
    bars = state.barred
    bigger_batch = dead.settings.ubatch_size > state.incumbent.settings.ubatch_size
    if blamed or bigger_batch:
        bars = (*bars, Barred(tuple((name, held[name]) for name in blamed if name), dead.settings.ubatch_size))
    failed = state.failed | {dead.key}
    pool = tuple(c for c in state.pool if c.key not in failed and not any(bar.holds_for(c) for bar in bars))
    return replace(state, pool=pool, failed=failed, barred=bars)


def _settled(state: State) -> State:
    """Ends the rung when all of it is measured: halves the pool, or crowns the best."""
    if not state.pool or next_candidate(state) is not None:
        return state
    if not _count(state, state.incumbent):  # the start itself failed: anything that runs is better
        return _crowned(state, max(state.pool, key=lambda c: _mean(state, c)))
    hopeful = sorted((c for c in state.pool if _may_be_better(state, c)), key=lambda c: -_mean(state, c))
    losers = state.lost | {c.label for c in state.pool if c not in hopeful and c.axis != "layers"}
    state = replace(state, lost=losers)
    if hopeful and clearly_better(state, hopeful[0]):
        return _crowned(state, hopeful[0])
    if state.rung + 1 == len(REPETITIONS) or not hopeful:
        return replace(state, pool=(), rung=0)
    kept = tuple(hopeful[: (len(hopeful) + 1) // 2])
    return replace(state, pool=kept, rung=state.rung + 1)


def _crowned(state: State, best: Candidate) -> State:
    return replace(state, incumbent=best, pool=(), rung=0, expanded=False)


def _may_be_better(state: State, other: Candidate) -> bool:
    _, high = interval(state.scores[other.key])
    return high > _mean(state, state.incumbent) * (1 + WORTH)


def _count(state: State, wanted: Candidate) -> int:
    return len(state.scores.get(wanted.key, ()))


def _mean(state: State, of: Candidate) -> float:
    return statistics.fmean(state.scores[of.key])
