"""The middle and the spread of repeated measurements."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """`mad` is the median absolute deviation: half of the values lie no further from the median."""

    median: float
    minimum: float
    maximum: float
    mad: float
    count: int

    @property
    def relative(self) -> float:
        """`mad` as a share of the median; 0 for a median of 0."""
        return self.mad / self.median if self.median else 0.0


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of `values`; None when there are none."""
    if not values:
        return None
    median = statistics.median(values)
    mad = statistics.median([abs(value - median) for value in values])
    return Spread(median, min(values), max(values), mad, len(values))
