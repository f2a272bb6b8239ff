"""The median of repeated runs, in milliseconds of CPU time of this process or of wall time."""

import time
from collections.abc import Callable
from statistics import median

ROUNDS = 9


def cpu_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return _median(work, rounds, time.process_time)


def wall_ms(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    return _median(work, rounds, time.perf_counter)


def _median(work: Callable[[], object], rounds: int, now: Callable[[], float]) -> float:
    times = []
    for _ in range(rounds):
        start = now()
        work()
        times.append((now() - start) * 1000)
    return median(times)
