"""Joules from card readings: the cards' own counters, or their power over the time. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from splitter.rig.card_reading import Readings

Timed = tuple[float, Readings]  # seconds on a monotonic clock, what the cards said


@dataclass(frozen=True, slots=True)
class Energy:
    """What all cards used; `source` "counter": their own counters, "power": the integral of their power."""

    joules: float
    source: Literal["counter", "power"]

    def per_token(self, tokens: int) -> float | None:
        """Joules per generated token, the prompts' share included; None without a token."""
        return self.joules / tokens if tokens else None


def energy_of(readings: Sequence[Timed]) -> Energy | None:
    """The energy between the first and the last reading; None when the cards give neither energy nor power."""
    if len(readings) < 2 or not readings[0][1].cards:
        return None
    return by_counter(readings[0][1], readings[-1][1]) or by_power(readings)


def by_counter(before: Readings, after: Readings) -> Energy | None:
    """The difference of the counters; None when a card has none, or one of them was reset."""
    old = {card.device_id: card.energy_j for card in before.cards}
    used = [
        None if card.energy_j is None or (start := old.get(card.device_id)) is None else card.energy_j - start
        for card in after.cards
    ]
    joules = [value for value in used if value is not None and value >= 0]
    return Energy(sum(joules), "counter") if joules and len(joules) == len(used) else None


def by_power(readings: Sequence[Timed]) -> Energy | None:
    """The trapezoids under the cards' power; None when one card does not tell it."""
    watts = [[card.power_w for card in said.cards] for _, said in readings]
    if any(not row or None in row for row in watts):
        return None
    total = [sum(value for value in row if value is not None) for row in watts]
    times = [at_s for at_s, _ in readings]
    steps = zip(pairwise(times), pairwise(total), strict=True)
    return Energy(sum((t1 - t0) * (p0 + p1) / 2 for (t0, t1), (p0, p1) in steps), "power")
