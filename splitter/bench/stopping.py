"""When a point has been measured often enough: a pure rule over the values so far."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

EndedBy = Literal["spread", "budget", "repetitions"]

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
        2.042)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stopping:
    """`repetitions` asks for exactly so many; None: from `least` to `most` until the half width is at most
    `half_width`. `budget_s` ends either way, after one repetition at the earliest."""

    repetitions: int | None = None
    budget_s: float | None = 60.0
    half_width: float = 0.02
    least: int = 3
    most: int = 50


def t_95(degrees: float) -> float:
    """The quantile for whole or broken degrees of freedom (at least 1); beyond 30 within 0.001 of the exact one."""
    if degrees >= 30:
        z = 1.959964
        return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    low = max(1, int(degrees))
    below, above = T_95[low - 1], T_95[low]
    return below + (above - below) * max(0.0, degrees - low)


def half_width(values: Sequence[float]) -> float | None:
    """Half of the mean's 95 % interval (Student's t), as a share of the mean; None for fewer than two values."""
    if len(values) < 2 or not (mean := statistics.fmean(values)):
        return None
    return t_95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)) / mean


def ended(
    series: Sequence[Sequence[float]], done: int, elapsed_s: float, longest_s: float, rule: Stopping
) -> EndedBy | None:
    """Why to stop after `done` repetitions, None to go on.

    Every one of `series` (prompt speeds, generation speeds; empty where unknown) must be narrow enough. The budget is
    spent when another repetition, as long as the longest so far, would pass it.
    """
    if rule.repetitions is not None and done >= rule.repetitions:
        return "repetitions"
    if rule.budget_s is not None and elapsed_s + longest_s > rule.budget_s:
        return "budget"
    if rule.repetitions is not None:
        return None
    widths = [half_width(values) for values in series if values]
    if done >= rule.least and widths and all(width is not None and width <= rule.half_width for width in widths):
        return "spread"
    return "repetitions" if done >= rule.most else None
