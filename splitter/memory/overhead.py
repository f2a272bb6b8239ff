"""What a device holds outside llama.cpp's breakdown: the driver's context, growth while running, reserves.

Published contexts (MiB, reference: logs of the cards named): RTX 3060 113-136, 4070 169, P40 148, 3090 262-291, 4090
451-472, RTX PRO 6000 561, P100 294 after load. They follow the number of multiprocessors (SM): 40 MiB and 3.4 MiB each,
4.5 MiB each before Volta. That is at most 2 MiB below any of these figures and 118 MiB above the largest card's.
An H200 (driver 580, build 11434) held 596 MiB when it had loaded and 650 after a prompt of 8000 tokens; with the
growth, 745 are kept for it.
"""

from splitter.units import GIB, MIB

CONTEXT = "CUDA context"
CONTEXT_BASE_BYTES = 40 * MIB
CONTEXT_PER_SM_BYTES = int(3.4 * MIB)
CONTEXT_PER_OLD_SM_BYTES = int(4.5 * MIB)
CONTEXT_PER_GIB_BYTES = 12 * MIB
GROWTH_SHARE, GROWTH_MIN_BYTES, GROWTH_MAX_BYTES = 0.01, 32 * MIB, 256 * MIB
WINDOWS_SHARE, WINDOWS_MAX_BYTES = 0.05, 1640 * MIB
DISPLAY_GROWTH_BYTES = 64 * MIB


def device_overhead(
    total_bytes: int,
    *,
    sm_count: int | None = None,
    compute_capability: str | None = None,
    os: str = "linux",
    display: bool | None = None,
) -> tuple[tuple[str, int], ...]:
    """The parts, each with its name, of what one CUDA device loses to driver, system and run time.

    `free_bytes` of a device already lacks what a desktop holds now, so `display` True only keeps room for it to grow.
    `os` is "linux", "windows" or "macos"; Windows' driver model withholds 1.2-1.6 GiB of 24-32 GiB cards.
    """
    parts = [
        (CONTEXT, _context_bytes(total_bytes, sm_count, compute_capability)),
        ("growth while running", min(max(int(total_bytes * GROWTH_SHARE), GROWTH_MIN_BYTES), GROWTH_MAX_BYTES)),
    ]
    if os == "windows":
        parts.append(("Windows reserve", min(int(total_bytes * WINDOWS_SHARE), WINDOWS_MAX_BYTES)))
    if display:
        parts.append(("display reserve", DISPLAY_GROWTH_BYTES))
    return tuple(parts)


def _context_bytes(total_bytes: int, sm_count: int | None, compute_capability: str | None) -> int:
    """A card of unknown SM count is taken to have about one SM per 300 MiB, as consumer cards have."""
    if sm_count is None:
        return CONTEXT_BASE_BYTES + int(total_bytes / GIB * CONTEXT_PER_GIB_BYTES)
    old = compute_capability is not None and float(compute_capability) < 7
    return CONTEXT_BASE_BYTES + sm_count * (CONTEXT_PER_OLD_SM_BYTES if old else CONTEXT_PER_SM_BYTES)
