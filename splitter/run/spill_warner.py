"""Warns once when Windows seems to keep a part of a card's memory in RAM: nothing fails, but everything is slow."""

from collections import deque
from collections.abc import Callable, Sequence

from splitter.engine.log.timings import timings
from splitter.plan.plan import Plan
from splitter.rig.card_reading import Readings
from splitter.run.spill import ENOUGH, Generation, spilled

WARNING = (
    "much slower than planned while a card is full: the driver has probably moved a part of its memory to RAM. "
    "Close what else uses the card, or launch with a larger --margin; on Windows also set the NVIDIA control panel's "
    "CUDA Sysmem Fallback Policy to Prefer No Sysmem Fallback"
)
SURELY_FULL = ((1, 1),)


class SpillWarner:
    """Feed it the engine's log; the cards are asked only when generation is far below `plan`'s prediction."""

    def __init__(self, plan: Plan, say: Callable[[str], None], read: Callable[[], Readings] | None = None) -> None:
        self._plan, self._say = plan, say
        self._read = read or self._read_cards
        self._generations: deque[Generation] = deque(maxlen=ENOUGH)
        self._said = False

    def expect(self, plan: Plan) -> None:
        """Another plan is in force from now on."""
        self._plan = plan
        self._generations.clear()

    def on_line(self, line: str) -> None:
        """One line of the engine's log."""
        told = [(t.tokens, t.tokens / t.seconds) for t in timings(line) if not t.prompt and t.seconds]
        if self._said or not told:
            return
        self._generations.extend(Generation(*each) for each in told)
        if not self._is_spilled(SURELY_FULL):
            return
        self._said = self._is_spilled(tuple((card.used_bytes, card.total_bytes) for card in self._read().cards))
        self._generations.clear()  # the cards are asked again only after as many more slow ones
        if self._said:
            self._say(WARNING)

    def _is_spilled(self, used_and_total_bytes: Sequence[tuple[int | None, int | None]]) -> bool:
        predicted = self._plan.speed.generation_tokens_per_s
        return spilled(tuple(self._generations), predicted, used_and_total_bytes, self._plan.settings.parallel)

    def _read_cards(self) -> Readings:
        from splitter.rig.sensors import read_cards

        return read_cards(self._plan.rig)
