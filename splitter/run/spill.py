"""Windows' spill into shared memory: nothing fails, the card is full and generation is about ten times slower. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

SLOWER = 5.0  # below a fifth of the prediction; an engine without a spill stays above a third
FULL = 0.97  # of the card's memory, as the driver counts it
ENOUGH = 3  # slow generations in a row
ENOUGH_TOKENS = 16  # a shorter one says little about speed


@dataclass(frozen=True, slots=True)
class Generation:
    """One finished generation, as the engine's log tells."""

    tokens: int
    tokens_per_s: float


def spilled(
    generations: Sequence[Generation],
    predicted_tokens_per_s: float | None,
    used_and_total_bytes: Sequence[tuple[int | None, int | None]],
    slots: int = 1,
) -> bool:
    """Whether the last generations were far below the prediction while a card is full.

    `slots` share the predicted speed when all are busy. Unknown figures are no evidence.
    """
    telling = [g for g in generations if g.tokens >= ENOUGH_TOKENS][-ENOUGH:]
    if predicted_tokens_per_s is None or len(telling) < ENOUGH:
        return False
    slow = all(g.tokens_per_s * SLOWER * max(1, slots) < predicted_tokens_per_s for g in telling)
    full = any(used is not None and total and used >= FULL * total for used, total in used_and_total_bytes)
    return slow and full
