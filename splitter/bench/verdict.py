"""Whether two measurements differ by more than their noise. Pure.

The test: Welch's t on the logarithms of the repetitions' speeds (their ratio is what is asked for, and its noise is
multiplicative); for alternating rounds the paired t on the logarithms of the ratios, one per round. The interval is the
two-sided 95 % one of the ratio of the (geometric) mean speeds. "larger" or "smaller" when it leaves out 1, "same" when
it lies within 3 % of 1, "not decided" otherwise and when fewer than 3 values stand on one side.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from splitter.bench.points import Round, Shape, generation_speed, known, prompt_speed, rounds_of, shape_of
from splitter.bench.records.record import Point, Record
from splitter.bench.stopping import t_95

Verdict = Literal["larger", "smaller", "same", "not decided"]
LEAST = 3
SAME = 0.03


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two speeds; `low` and `high` bound its 95 % interval, None when there are too few values for one."""

    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict
    method: Literal["welch", "paired"]


@dataclass(frozen=True, slots=True)
class PointRatio:
    """Two records' speeds at one point, the first over the second; None where one of them is unknown."""

    shape: Shape
    prompt: Ratio | None
    generation: Ratio | None


def decide(low: float | None, high: float | None) -> Verdict:
    """What the interval says."""
    if low is None or high is None:
        return "not decided"
    if low >= 1 - SAME and high <= 1 + SAME:
        return "same"
    return "larger" if low > 1 else "smaller" if high < 1 else "not decided"


def welch(ours: Sequence[float], theirs: Sequence[float]) -> Ratio | None:
    """The ratio of independent repetitions; None without any."""
    if not ours or not theirs or min(*ours, *theirs) <= 0:
        return None
    a, b = [math.log(value) for value in ours], [math.log(value) for value in theirs]
    middle = statistics.fmean(a) - statistics.fmean(b)
    if min(len(a), len(b)) < LEAST:
        return Ratio(math.exp(middle), None, None, "not decided", "welch")
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    spread = va**2 / (len(a) - 1) + vb**2 / (len(b) - 1)
    degrees = (va + vb) ** 2 / spread if spread > 0 else len(a) + len(b) - 2
    return _ratio(middle, t_95(degrees) * math.sqrt(va + vb), "welch")


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Ratio | None:
    """The ratio of speeds measured in turn, round by round (as many of each); None without any."""
    if not ours or len(ours) != len(theirs) or min(*ours, *theirs) <= 0:
        return None
    logs = [math.log(a / b) for a, b in zip(ours, theirs, strict=True)]
    middle = statistics.fmean(logs)
    if len(logs) < LEAST:
        return Ratio(math.exp(middle), None, None, "not decided", "paired")
    return _ratio(middle, t_95(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs)), "paired")


def _ratio(middle: float, reach: float, method: Literal["welch", "paired"]) -> Ratio:
    low, high = math.exp(middle - reach), math.exp(middle + reach)
    return Ratio(math.exp(middle), low, high, decide(low, high), method)


def speeds(point: Point) -> tuple[list[float], list[float]]:
    """The prompt and the generation speed of each repetition; where the engine was launched several times, the median
    of each launch (what one launch does to its repetitions is no independent evidence)."""
    rounds = rounds_of(point)
    size = max(1, len(rounds) // max(1, point.launches)) if point.launches > 1 else 1
    parts = [rounds[i : i + size] for i in range(0, len(rounds), size)]
    return _medians(parts, prompt_speed), _medians(parts, generation_speed)


def _medians(parts: Sequence[Sequence[Round]], speed: Callable[[Round], float | None]) -> list[float]:
    return [statistics.median(found) for part in parts if (found := known([speed(round_) for round_ in part]))]


def compare_records(first: Record, second: Record) -> tuple[PointRatio, ...]:
    """The first record over the second, at the points that both have.

    Two alternatives of one comparison have alternating rounds: they are paired.
    """
    alternated = first.kind == second.kind == "compare" and bool(first.group) and first.group == second.group
    theirs = {shape_of(point): point for point in second.points}
    return tuple(
        PointRatio(shape, *_ratios(point, theirs[shape], alternated))
        for point in first.points
        if (shape := shape_of(point)) in theirs
    )


def _ratios(ours: Point, theirs: Point, alternated: bool) -> tuple[Ratio | None, Ratio | None]:
    (prompt, generation), (their_prompt, their_generation) = speeds(ours), speeds(theirs)
    test = paired if alternated and len(generation) == len(their_generation) else welch
    return test(prompt, their_prompt), test(generation, their_generation)
