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


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Half, 95 of 100 and 99 of 100 of the values are no larger."""

    p50: float
    p95: float
    p99: float
    count: int


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of `values`; None when there are none."""
    if not values:
        return None
    median = statistics.median(values)
    mad = statistics.median([abs(value - median) for value in values])
    return Spread(median, min(values), max(values), mad, len(values))


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """By linear interpolation between the two nearest values; None when there are none."""
    ordered = sorted(values)
    if not ordered:
        return None

    def at(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

    return Percentiles(at(0.50), at(0.95), at(0.99), len(ordered))
