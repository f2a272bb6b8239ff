"""Measured runs -> the speed model's constants. Pure.

Time per token = sum over devices bytes / reached bandwidth + host bytes / RAM's + hops * hop_s + layers * layer_s: one
linear equation per run, solved by least squares on relative errors, no constant below 0, runs far off counting less.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from splitter.plan.calibrated import DENSE, CardWork
from splitter.plan.speed_constants import TYPICAL

ROUNDS = 6
SINGULAR = 1e-12
OUTLIER = 0.05  # a run whose time is further than this from the fit counts less (Huber)
# One model cannot tell the cost of a layer from that of its bytes, and without a pair of cards nothing tells a hop's:
# then these stay at what is typical. Two runs that disagree with it by 1 % outweigh it.
PRIOR_WEIGHT = 0.01
LEAST_MULTIPLYING = 0.2  # of a prompt's time: what a card takes besides is only typical
LIGHT_WEIGHT = 0.1  # of a tiny model's run, which is all launches: above what is typical, below a real model's


@dataclass(frozen=True, slots=True)
class Run:
    """One measured load: its work, and seconds per generated and per prompt token (None: not measured). A `light` one
    counts little: it decides what the others leave open."""

    work: CardWork
    token_s: float
    prompt_token_s: float | None = None
    light: bool = False


@dataclass(frozen=True, slots=True)
class Fitted:
    """Reached bytes/s by device id and of the host, FLOP/s by device id, seconds per hop and layer.

    `worst_error` is the largest relative error of the fit on its own runs, light ones apart.
    """

    bandwidths: tuple[tuple[str, float], ...]
    flops: tuple[tuple[str, float], ...]
    hop_s: float
    layer_s: float
    host_bandwidth: float | None
    worst_error: float


def fit(runs: Sequence[Run]) -> Fitted:
    """The constants that explain `runs` best. A device whose bytes no run can tell apart from nothing is left out."""
    names = sorted({name for run in runs for name, _ in run.work.bytes_read})
    rows = [_row(run.work, names) for run in runs]
    times = [run.token_s for run in runs]
    trust = [LIGHT_WEIGHT if run.light else 1.0 for run in runs]
    prior = [0.0] * len(names) + [0.0, TYPICAL.several_s, TYPICAL.layer_s[DENSE]]
    solved = _robust(rows, times, trust, prior)
    spent = [_dot(row, solved) for row in rows]
    errors = [abs(said / run.token_s - 1) for said, run in zip(spent, runs, strict=True) if not run.light]
    per_byte = dict(zip(names, solved, strict=False))
    host = solved[len(names)]
    return Fitted(
        bandwidths=tuple((name, 1 / price) for name, price in per_byte.items() if price > 0),
        flops=_flops(runs),
        hop_s=solved[-2],
        layer_s=solved[-1],
        host_bandwidth=1 / host if host > 0 else None,
        worst_error=max(errors, default=0.0),
    )


def _row(work: CardWork, names: Sequence[str]) -> list[float]:
    read = dict(work.bytes_read)
    return [*(float(read.get(name, 0)) for name in names), float(work.host_bytes), float(work.hops), float(work.layers)]


def _robust(
    rows: Sequence[Sequence[float]], times: Sequence[float], trust: Sequence[float], prior: Sequence[float]
) -> list[float]:
    """Least squares weighted by `trust`, then again with runs far off weighted down."""
    weights = list(trust)
    solved = list(prior)
    for _ in range(ROUNDS):
        equations = [[w * a / t for a in row] for row, t, w in zip(rows, times, weights, strict=True)]
        solved = non_negative(
            equations + [_prior_row(j, len(prior), prior[j]) for j in range(len(prior)) if prior[j]],
            weights + [PRIOR_WEIGHT for value in prior if value],
        )
        off = [
            abs(sum(a * x for a, x in zip(row, solved, strict=True)) / t - 1)
            for row, t in zip(rows, times, strict=True)
        ]
        weights = [
            base if error <= OUTLIER else base * (OUTLIER / error) ** 0.5
            for error, base in zip(off, trust, strict=True)
        ]
    return solved


def _dot(row: Sequence[float], values: Sequence[float]) -> float:
    return sum(a * x for a, x in zip(row, values, strict=True))


def _prior_row(column: int, width: int, value: float) -> list[float]:
    return [PRIOR_WEIGHT / value if j == column else 0.0 for j in range(width)]


def non_negative(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """x >= 0 with a small sum of squares of rows @ x - wanted; 0 for a column of zeros.

    Least squares; as long as a constant comes out below 0, the most negative is set to 0 and the rest solved again.
    """
    width = len(rows[0]) if rows else 0
    columns = [[row[j] for row in rows] for j in range(width)]
    sizes = [_dot(column, column) ** 0.5 for column in columns]
    free = [j for j in range(width) if sizes[j]]
    while free:
        scaled = [[value / sizes[j] for value in columns[j]] for j in free]
        found = solve_linear([[_dot(a, b) for b in scaled] for a in scaled], [_dot(a, wanted) for a in scaled])
        worst = min(range(len(free)), key=found.__getitem__)
        if found[worst] >= 0:
            by_column = {j: value / sizes[j] for j, value in zip(free, found, strict=True)}
            return [by_column.get(j, 0.0) for j in range(width)]
        del free[worst]
    return [0.0] * width


def solve_linear(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Gaussian elimination with pivoting; what the equations leave open is 0."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for j in range(size):
        pivot = max(range(j, size), key=lambda i: abs(rows[i][j]))
        rows[j], rows[pivot] = rows[pivot], rows[j]
        if abs(rows[j][j]) < SINGULAR:
            rows[j] = [float(k == j) for k in range(size)] + [0.0]
        for i in (i for i in range(size) if i != j):
            factor = rows[i][j] / rows[j][j]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[j], strict=True)]
    return [rows[j][size] / rows[j][j] for j in range(size)]


def _flops(runs: Sequence[Run]) -> tuple[tuple[str, float], ...]:
    """FLOP/s on prompts, from runs on one card without the host."""
    found: dict[str, list[float]] = {}
    for run in runs:
        if run.work.flops and len(run.work.flops) == 1 and run.prompt_token_s:
            name, flops = run.work.flops[0]
            multiplying_s = max(run.prompt_token_s - run.work.prompt_s, LEAST_MULTIPLYING * run.prompt_token_s)
            found.setdefault(name, []).append(flops / multiplying_s)
    return tuple((name, statistics.median(values)) for name, values in sorted(found.items()))
