"""CardReading: what one card says of itself at one moment. A frozen value; None is unknown, 0 is zero."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CardReading:
    """One card now.

    `device_id` is the engine's name of it (`CUDA0`); `utilization` is 0 to 1; clocks are in MHz; `throttled` holds the
    reasons for a reduced clock that cost speed, in words ("power cap", "thermal"), () when it runs free; `energy_j`
    counts joules since the driver was loaded (Volta and newer).
    """

    device_id: str
    name: str
    uuid: str | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    utilization: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    throttled: tuple[str, ...] | None = None
    energy_j: float | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """All cards at one moment; `note` says in words why there are none, or which could not be asked."""

    cards: tuple[CardReading, ...] = ()
    driver_version: str | None = None
    note: str = ""
