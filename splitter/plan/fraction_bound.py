"""A lower bound for fractions of layers: bytes flow freely to the devices, the densest to the fastest."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

ROUNDING = 1 - 1e-12  # sums of floats may end a little above the truth


class FlowBound:
    """The least seconds in which the first devices and the host can read the first layers.

    `sizes` is a pair of running sums over the layers, of what cannot be moved and what can; `densities` are the most
    size per byte held of any such tensor so far, and of any whole layer. `rooms` are bytes, `prices` seconds per size,
    both in the order of the devices. Layers need not be contiguous here and every byte is as dense as the densest of
    its kind so far: no placement is faster. What can be moved is on a device only together with what cannot, so where
    it is the denser kind, whole layers count.
    """

    def __init__(
        self,
        sizes: tuple[Sequence[float], Sequence[float]],
        densities: tuple[Sequence[float], Sequence[float], Sequence[float]],
        rooms: Sequence[int],
        prices: Sequence[float],
        host_price: float,
    ) -> None:
        self.host_price = host_price
        self.steps = [_steps(rooms[:count], prices[:count], host_price) for count in range(len(rooms) + 1)]
        self.kinds = [_kinds(*row) for row in zip(*sizes, *densities, strict=True)]

    def seconds(self, devices: int, end: int) -> float:
        """For the first `end` layers on the first `devices` devices and the host."""
        dense, first, loose, rest = self.kinds[end]
        first_held = first / dense if dense else 0.0
        saved = 0.0
        for room, gain in self.steps[devices]:
            more = room - first_held
            saved += gain * (first + min(more * loose, rest) if more > 0 else room * dense)
        return ((first + rest) * self.host_price - saved) * ROUNDING


def _kinds(fixed: float, free: float, dense: float, loose: float, whole: float) -> tuple[float, float, float, float]:
    """Density and size of what goes to the devices first, and of what follows."""
    return (max(dense, whole), fixed + free, 0.0, 0.0) if loose > dense else (dense, fixed, loose, free)


def densities(sizes: Iterable[Iterable[tuple[int, float]]]) -> tuple[float, ...]:
    """The most size per byte held, of (held, size) of the tensors of the first layers; 0.0 for no layer."""
    each = (max((size / max(held, 1) for held, size in row), default=0.0) for row in sizes)
    return tuple(accumulate(each, max, initial=0.0))


def _steps(rooms: Sequence[int], prices: Sequence[float], host: float) -> list[tuple[int, float]]:
    """(bytes that the fastest devices hold together, what a byte there saves against the next slower place)."""
    ranked = sorted((price, room) for price, room in zip(prices, rooms, strict=True) if price < host and room > 0)
    slower = (*(price for price, _ in ranked[1:]), host)
    sums = accumulate(room for _, room in ranked)
    return [(size, after - price) for size, after, (price, _) in zip(sums, slower, ranked, strict=False)]
