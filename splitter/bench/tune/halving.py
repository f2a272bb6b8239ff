"""Successive halving around an incumbent: outcomes -> the next candidate to measure, or nothing left. Pure.

A round measures the incumbent's neighbours with few repetitions, drops those that are not better within the noise, and
measures the better half again with more, and with it whatever cannot be told from the best. A neighbour that is better
by far and beyond the noise (verdict.py) becomes the incumbent at once. A close one must win a duel: launched in turns
with the incumbent, judged pair by pair, so that what slows the machine for a while slows both. The same outcomes always
lead along the same path: an interrupted tune is resumed by replaying its history.
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from splitter.bench.tune.trial import Candidate, Outcome
from splitter.bench.verdict import Ratio, paired, welch

REPETITIONS = (3, 5)  # in all, after each rung; verdicts need three
TURNS = 3  # launches of each in a duel
PER_TURN = 2  # repetitions of each
WORTH = 0.01  # a change must bring at least this
AT_ONCE = 0.03  # and with this it needs no duel


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
class HalvingState:
    """`pool` is what the round still considers, in the order to measure it; `rung` how far it is.

    `rival` is in a duel with the incumbent, `turns` are the middles of its launches so far: the incumbent's, the
    rival's, and so on. `seen` are all that ran; `past` the keys of earlier incumbents, which cannot come back.
    """

    incumbent: Candidate
    pool: tuple[Candidate, ...] = ()
    rung: int = 0
    expanded: bool = False
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    failed: frozenset[str] = frozenset()
    barred: tuple[Barred, ...] = ()
    lost: frozenset[str] = frozenset()
    rival: Candidate | None = None
    turns: tuple[float, ...] = ()
    seen: tuple[Candidate, ...] = ()
    past: frozenset[str] = frozenset()


def next_candidate(state: HalvingState) -> Candidate | None:
    """What to measure now; None when the round is over (ask `wants_neighbours`)."""
    if state.rival is not None:
        return state.rival if len(state.turns) % 2 else state.incumbent
    if _count(state, state.incumbent) < REPETITIONS[state.rung] and state.incumbent.key not in state.failed:
        return state.incumbent
    return next((c for c in state.pool if _count(state, c) < REPETITIONS[state.rung]), None)


def repetitions(state: HalvingState, wanted: Candidate) -> int:
    """How many more `wanted` needs on this rung."""
    if state.rival is not None:
        return PER_TURN
    return max(REPETITIONS[state.rung] - _count(state, wanted), 1)


def wants_neighbours(state: HalvingState) -> bool:
    """Whether the incumbent's neighbours are still to be looked at; False and nothing to measure: done."""
    return not state.pool and not state.expanded and state.rival is None


def with_neighbours(state: HalvingState, found: Iterable[Candidate]) -> HalvingState:
    """A new round; what failed or is barred is left out, and what was measured unless it may yet be better."""
    again = (c for c in state.seen if _may_come_back(state, c))
    pool = (*(c for c in found if _is_new(state, c)), *again)
    return _settled(replace(state, pool=pool, rung=0, expanded=True))


def after(state: HalvingState, done: Candidate, outcome: Outcome) -> HalvingState:
    """The state once `done` was measured."""
    if outcome.failed is not None:
        return _settled(_without(state, done, outcome))
    scores = {**state.scores, done.key: (*state.scores.get(done.key, ()), *outcome.scores)}
    seen = state.seen if done.key in state.scores else (*state.seen, done)
    state = replace(state, scores=MappingProxyType(scores), seen=seen)
    if state.rival is not None:
        return _after_turn(replace(state, turns=(*state.turns, statistics.median(outcome.scores))), state.rival)
    if done.key != state.incumbent.key and _better_by_far(state, done):
        return _crowned(state, done)
    return _settled(state)


def clearly_better(state: HalvingState, other: Candidate) -> bool:
    """Whether `other` beats the incumbent by more than the noise and by enough to matter."""
    found = _ratio(state, other, state.incumbent)
    return found is not None and found.low is not None and found.low > 1 and found.ratio > 1 + WORTH


def _better_by_far(state: HalvingState, other: Candidate) -> bool:
    found = _ratio(state, other, state.incumbent)
    return found is not None and found.ratio >= 1 + AT_ONCE and clearly_better(state, other)


def _ratio(state: HalvingState, ours: Candidate, theirs: Candidate) -> Ratio | None:
    return welch(state.scores.get(ours.key, ()), state.scores.get(theirs.key, ()))


def _after_turn(state: HalvingState, rival: Candidate) -> HalvingState:
    """The duel goes on, or the rival wins it and is the incumbent, or the round is over.

    Undecided with the rival ahead, it goes on for as many turns again; one hiccup must not cost it the duel then.
    """
    if len(state.turns) < 2 * TURNS or len(state.turns) % 2:
        return state
    pairs = [ours / theirs for ours, theirs in zip(state.turns[1::2], state.turns[::2], strict=True)]
    found = paired(state.turns[1::2], state.turns[::2])
    if found is not None and found.low is not None and found.low > 1 and found.ratio > 1 + WORTH:
        return _crowned(state, rival)
    ahead = statistics.median(pairs) > 1 + WORTH
    if ahead and len(pairs) < 2 * TURNS:
        return state
    if ahead and sum(pair > 1 for pair in pairs) >= len(pairs) - 1:
        return _crowned(state, rival)
    return replace(state, pool=(), rung=0, rival=None, turns=())


def _is_new(state: HalvingState, found: Candidate) -> bool:
    fresh = found.key not in state.scores and found.key not in state.failed and found.label not in state.lost
    return fresh and found.key != state.incumbent.key and not any(bar.holds_for(found) for bar in state.barred)


def _may_come_back(state: HalvingState, seen: Candidate) -> bool:
    if seen.key in state.past | state.failed | {state.incumbent.key} or seen.label in state.lost:
        return False
    return not any(bar.holds_for(seen) for bar in state.barred) and _may_be_better(state, seen)


def _without(state: HalvingState, dead: Candidate, outcome: Outcome) -> HalvingState:
    """`dead` and what lies beyond it are not tried again."""
    held = dict(dead.counts)
    blamed = (outcome.device,) if outcome.device in held else dead.grown
    bars = state.barred
    bigger_batch = dead.settings.ubatch_size > state.incumbent.settings.ubatch_size
    if blamed or bigger_batch:
        bars = (*bars, Barred(tuple((name, held[name]) for name in blamed if name), dead.settings.ubatch_size))
    failed = state.failed | {dead.key}
    pool = tuple(c for c in state.pool if c.key not in failed and not any(bar.holds_for(c) for bar in bars))
    return replace(state, pool=pool, failed=failed, barred=bars, rival=None, turns=())


def _settled(state: HalvingState) -> HalvingState:
    """Ends the rung when all of it is measured: halves the pool, or crowns the best."""
    if not state.pool or next_candidate(state) is not None:
        return state
    if not _count(state, state.incumbent):  # the start itself failed: anything that runs is better
        return _crowned(state, max(state.pool, key=lambda c: _mean(state, c)))
    hopeful = sorted((c for c in state.pool if _may_be_better(state, c)), key=lambda c: -_mean(state, c))
    losers = state.lost | {c.label for c in state.pool if c not in hopeful and c.axis != "layers"}
    state = replace(state, lost=losers)
    if not hopeful:
        return replace(state, pool=(), rung=0)
    if _better_by_far(state, hopeful[0]):
        return _crowned(state, hopeful[0])
    if state.rung + 1 == len(REPETITIONS):
        return replace(state, pool=(), rung=0, rival=hopeful[0])
    half = hopeful[: (len(hopeful) + 1) // 2]
    kept = tuple(c for c in hopeful if c in half or _may_beat(state, c, hopeful[0], 1 + WORTH))
    return _settled(replace(state, pool=kept, rung=state.rung + 1))


def _crowned(state: HalvingState, best: Candidate) -> HalvingState:
    past = state.past | {state.incumbent.key}
    return replace(state, incumbent=best, pool=(), rung=0, expanded=False, rival=None, turns=(), past=past)


def _may_be_better(state: HalvingState, other: Candidate) -> bool:
    return _may_beat(state, other, state.incumbent, 1 + WORTH)


def _may_beat(state: HalvingState, ours: Candidate, theirs: Candidate, by: float) -> bool:
    """Whether the noise leaves it open that `ours` beats `theirs` by that factor."""
    found = _ratio(state, ours, theirs)
    return found is None or found.high is None or found.high > by


def _count(state: HalvingState, wanted: Candidate) -> int:
    return len(state.scores.get(wanted.key, ()))


def _mean(state: HalvingState, of: Candidate) -> float:
    return statistics.fmean(state.scores[of.key])
