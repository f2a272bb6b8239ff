"""What the cards say while something is measured: clocks, temperature, power, energy."""

import threading
import time
from types import TracebackType
from typing import Self

from splitter.bench.energy import Energy, Timed, energy_of
from splitter.rig.device import Rig
from splitter.rig.sensors import Sensors

POWER_EVERY_S = 0.25


class EnergyMeter:
    """Readings at the start and at the end of a `with`, and between them where the power must be integrated."""

    def __init__(self, rig: Rig | None = None) -> None:
        self._sensors = Sensors(rig)
        self._readings: list[Timed] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._read()
        cards = self._readings[0][1].cards
        if any(card.energy_j is None and card.power_w is not None for card in cards):
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread:
            self._thread.join()
        self._read()
        self._sensors.close()

    @property
    def energy(self) -> Energy | None:
        """What the cards used; None where they do not tell."""
        return energy_of(self._readings)

    def _read(self) -> None:
        said = self._sensors.read()
        self._readings.append((time.monotonic(), said))

    def _watch(self) -> None:
        while not self._over.wait(POWER_EVERY_S):
            self._read()
