"""What a device loses besides llama.cpp's breakdown: the seam between rig values and the memory room's estimate."""

from collections.abc import Callable, Iterable

from splitter.memory.overhead import CONTEXT, device_overhead
from splitter.rig.device import Device, Host

Overhead = Callable[[Device, Host], tuple[tuple[str, int], ...]]


def no_overhead(_device: Device, _host: Host) -> tuple[tuple[str, int], ...]:
    """Nothing outside the breakdown: the emulated rig, and comparisons with llama.cpp's own planner."""
    return ()


def driver_overhead(device: Device, host: Host) -> tuple[tuple[str, int], ...]:
    """Context, growth, display and Windows reserve of one device on which an engine opens a context."""
    parts = device_overhead(
        device.total_bytes,
        sm_count=device.sm_count,
        compute_capability=device.compute_capability,
        os=host.os,
        display=device.display,
    )
    return tuple((f"{device.backend} context" if name == CONTEXT else name, size) for name, size in parts)


def context_bytes(overhead: Iterable[tuple[str, int]]) -> int:
    """The part of an overhead that an engine, which looks from inside its context, does not find free any more."""
    return sum(size for name, size in overhead if name.endswith(" context"))
