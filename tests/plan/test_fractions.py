"""Fractions of layers against brute force: every set of boundaries, with and without a time to beat."""

import random
from itertools import combinations_with_replacement

import pytest

from splitter.plan.costs import LayerCosts
from splitter.plan.fractions import Divisible, Movable, divide, divisible


def random_layers(rnd: random.Random) -> Divisible:
    """2-7 layers of three movable tensors each, dense or experts, and the output layer."""
    count, share = rnd.randint(2, 7), rnd.choice([1, 4])
    sizes = [[4 * rnd.randint(5, 50) for _ in range(3)] for _ in range(count)]
    parts = [tuple(Movable(i, f"t{j}", s, s // share) for j, s in enumerate(row)) for i, row in enumerate(sizes)]
    fixed, cache = rnd.randint(1, 60), rnd.choice([0, 30])
    held = (*(sum(row) + fixed + cache for row in sizes), 100)
    read = (*(sum(row) // share + fixed for row in sizes), 100)
    none = (0,) * (count + 1)
    return divisible(LayerCosts(held, held, read, none, none), (*parts, ()))


def brute_force(layers: Divisible, rooms: list[int], prices: list[float], host: float) -> float:
    """The least seconds of all boundaries whose immovable parts fit."""
    count = len(layers.parts)

    def block_s(start: int, end: int, room: int, price: float) -> float:
        fixed = layers.fixed_held[end] - layers.fixed_held[start]
        if start == end or fixed > room:
            return 0.0 if start == end else float("inf")
        whole, gift = layers.given(start, fixed + layers.free_held[end] - layers.free_held[start] - room)
        moved = layers.free_read[whole] - layers.free_read[start] + (gift[1] if gift else 0)
        return read[end] * price - read[start] * price + moved * (host - price)

    read = [a + b for a, b in zip(layers.fixed_read, layers.free_read, strict=True)]
    best = float("inf")
    for starts in combinations_with_replacement(range(count + 1), len(rooms)):
        if starts[0] < count:
            ends = (*starts[1:], count)
            times = (block_s(*block) for block in zip(starts, ends, rooms, prices, strict=True))
            best = min(best, read[starts[0]] * host + sum(times))
    return best


@pytest.mark.parametrize("block", range(4))
def test_equals_brute_force(block: int) -> None:
    """400 random cases; a time to beat above the optimum changes nothing, at the optimum it leaves nothing."""
    for seed in range(block * 100, block * 100 + 100):
        rnd = random.Random(seed)
        layers = random_layers(rnd)
        devices = rnd.randint(1, 4)
        need = layers.fixed_held[-1] + layers.free_held[-1]
        rooms = [int(need * rnd.uniform(0.0, 1.4) / devices) for _ in range(devices)]
        prices = [1 / rnd.choice([100, 200, 448, 900]) for _ in range(devices)]
        truth = brute_force(layers, rooms, prices, 1 / 40)
        found = divide(layers, rooms, prices, 1 / 40)
        if truth == float("inf"):
            assert found is None, seed
            continue
        assert found is not None, seed
        assert found.seconds == pytest.approx(truth, rel=1e-9), seed
        assert divide(layers, rooms, prices, 1 / 40, truth * 1.02) == found, seed
        assert divide(layers, rooms, prices, 1 / 40, truth * 0.999) is None, seed
