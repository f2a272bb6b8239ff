"""The whole loop of a tune without engines: the speed model's word is the truth, with noise from a fixed seed."""

import random
from collections.abc import Callable

from splitter.bench.tune.trial import Candidate, Outcome, Trial
from splitter.bench.tune.tune import Tuned, tune
from tests.bench.test_neighbours import space, start_of

Truth = Callable[[Candidate], float]


def predicted(wanted: Candidate) -> float:
    assert wanted.predicted is not None
    return wanted.predicted


class Machine:
    """Measures by `truth` and counts; `seed` makes its noise."""

    def __init__(self, truth: Truth, seed: int = 1, noise: float = 0.01) -> None:
        self.truth, self.noise, self.random = truth, noise, random.Random(seed)
        self.measured: list[str] = []

    def measure(self, wanted: Candidate, repetitions: int) -> Outcome:
        self.measured.append(wanted.key)
        true = self.truth(wanted)
        return Outcome(scores=tuple(true * self.random.gauss(1, self.noise) for _ in range(repetitions)))


def keep(wanted: Candidate, outcome: Outcome, _position: int) -> Trial:
    return Trial(wanted.key, wanted.label, outcome)


def tuned(machine: Machine, history: tuple[Trial, ...] = (), most: int = 10**6, own_plan: bool = True) -> Tuned:
    where = space(own_plan=own_plan)
    begun = len(machine.measured)
    return tune(
        where,
        start_of(where),
        machine.measure,
        keep,
        history=history,
        time_left=lambda: len(machine.measured) - begun < most,
    )


def test_from_a_bad_start_it_finds_what_the_solver_finds_with_and_without_its_plan() -> None:
    best = predicted_best()
    for own_plan in (True, False):
        found = tuned(Machine(predicted), own_plan=own_plan)
        assert found.ended_by == "nothing better"
        assert predicted(found.best) >= 0.97 * best


def predicted_best() -> float:
    speed = space().solve({}).speed.generation_tokens_per_s
    assert speed is not None
    return speed


def test_the_gain_is_measured_again_in_turns_at_the_end() -> None:
    found = tuned(Machine(predicted))
    assert [trial.key for trial in found.trials[-6:]] == [found.start.key, found.best.key] * 3
    assert found.confirmed is not None
    true = predicted(found.best) / predicted(found.start)
    assert found.confirmed.low is not None
    assert found.confirmed.high is not None
    assert found.confirmed.low < true < found.confirmed.high
    assert found.gain() == found.confirmed.ratio - 1


def test_a_winner_that_proves_slower_in_the_end_is_not_kept() -> None:
    """The start is slow only at first, as on a machine that another program loads."""
    start = start_of(space()).key
    machine = Machine(predicted, noise=0.0)
    machine.truth = _slower_than_it_looked(machine, start)
    found = tuned(machine)
    assert found.best.key == found.start.key
    assert found.confirmed is None


def _slower_than_it_looked(machine: Machine, start: str) -> Truth:
    def truth(wanted: Candidate) -> float:
        if wanted.key != start:
            return 10.0
        return 5.0 if machine.measured.count(start) == 1 else 11.0

    return truth


def test_an_interrupted_tune_goes_on_to_the_same_end_and_measures_nothing_twice() -> None:
    whole = tuned(Machine(predicted, noise=0.0))
    for cut in (1, 3, len(whole.trials) - 2):
        machine = Machine(predicted, noise=0.0)
        found = tuned(machine, whole.trials[:cut])
        assert found == whole
        assert machine.measured == [trial.key for trial in whole.trials[cut:]]


def test_when_the_time_is_spent_the_best_so_far_stays_and_the_gain_is_unconfirmed() -> None:
    found = tuned(Machine(predicted), most=2)
    assert found.ended_by == "time"
    assert len(found.trials) == 2
    assert found.confirmed is None
    assert predicted(found.best) > predicted(found.start)
