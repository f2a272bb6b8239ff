"""What a device loses besides llama.cpp's breakdown: the seam between rig values and the memory room's estimate."""

from collections.abc import Callable

from splitter.rig.device import Device, Host

Overhead = Callable[[Device, Host], tuple[tuple[str, int], ...]]


def no_overhead(_device: Device, _host: Host) -> tuple[tuple[str, int], ...]:
    """Nothing outside the breakdown: the emulated rig, and comparisons with llama.cpp's own planner."""
    return ()


def driver_overhead(_device: Device, _host: Host) -> tuple[tuple[str, int], ...]:
    """Context, display and Windows reserve of one device on which an engine opens a context."""
    return ()
