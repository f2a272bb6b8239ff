"""Fractions of layers against brute force: every set of boundaries, with and without a time to beat."""

import random
from itertools import combinations_with_replacement

import pytest

from splitter.plan.fractions import Divisible, Movable, PlaceSeconds, divide, divisible, place_seconds
from splitter.plan.work import Part


def random_layers(rnd: random.Random) -> tuple[Divisible, list[int]]:
    """2-7 layers of three movable tensors each, dense or experts, and the output layer; bytes read per whole layer."""
    count, share = rnd.randint(2, 7), rnd.choice([1, 4])
    sizes = [[4 * rnd.randint(5, 50) for _ in range(3)] for _ in range(count)]
    parts = [
        tuple(Movable(i, f"t{j}", s, Part("Q4_0", share > 1, s // share, s, s)) for j, s in enumerate(row))
        for i, row in enumerate(sizes)
    ]
    fixed, cache = rnd.randint(1, 60), rnd.choice([0, 30])
    held = (*(sum(row) + fixed + cache for row in sizes), 100)
    read = [*(sum(row) // share + fixed for row in sizes), 100]
    return divisible(held, (*parts, ())), read


def random_place(rnd: random.Random, layers: Divisible, read: list[int], price: float, handing: float) -> PlaceSeconds:
    """Bytes read times a price, uneven in half of the cases."""
    uneven = rnd.random() < 0.5
    each = {m.part: price * (rnd.uniform(0.7, 1.4) if uneven else 1.0) for row in layers.parts for m in row}
    free = [sum(m.part.read_bytes for m in row) for row in layers.parts]
    whole = [
        (total - movable) * price + sum(m.part.read_bytes * each[m.part] for m in row)
        for total, movable, row in zip(read, free, layers.parts, strict=True)
    ]
    return place_seconds(layers, whole, lambda part: part.read_bytes * each[part], handing)


def brute_force(
    layers: Divisible, rooms: list[int], places: list[PlaceSeconds], ram: PlaceSeconds, device_s: float
) -> float:
    """The least seconds of all boundaries whose immovable parts fit."""
    count = len(layers.parts)

    def block_s(start: int, end: int, room: int, place: PlaceSeconds) -> float:
        fixed = layers.fixed_held[end] - layers.fixed_held[start]
        if start == end or fixed > room:
            return 0.0 if start == end else float("inf")
        whole, gift = layers.given(start, fixed + layers.free_held[end] - layers.free_held[start] - room)
        moved = ram.free[whole] - ram.free[start] - place.free[whole] + place.free[start]
        if gift is not None:
            moved += ram.gifts[whole][gift] - place.gifts[whole][gift]
        kept = place.fixed[end] - place.fixed[start] + place.free[end] - place.free[start]
        return device_s + kept + moved

    best = float("inf")
    for starts in combinations_with_replacement(range(count + 1), len(rooms)):
        if starts[0] < count:
            ends = (*starts[1:], count)
            times = (block_s(*block) for block in zip(starts, ends, rooms, places, strict=True))
            best = min(best, ram.layers_s(starts[0]) + sum(times))
    return best


@pytest.mark.parametrize("block", range(4))
def test_equals_brute_force(block: int) -> None:
    """400 random cases; a time to beat above the optimum changes nothing, at the optimum it leaves nothing."""
    for seed in range(block * 100, block * 100 + 100):
        rnd = random.Random(seed)
        layers, read = random_layers(rnd)
        devices = rnd.randint(1, 4)
        need = layers.fixed_held[-1] + layers.free_held[-1]
        rooms = [int(need * rnd.uniform(0.0, 1.4) / devices) for _ in range(devices)]
        places = [random_place(rnd, layers, read, 1 / rnd.choice([100, 200, 448, 900]), 0.0) for _ in rooms]
        ram = random_place(rnd, layers, read, 1 / 40, rnd.choice([0.0, 0.2]))
        device_s = rnd.choice([0.0, 0.0, 0.3])
        truth = brute_force(layers, rooms, places, ram, device_s)
        found = divide(layers, rooms, places, ram, device_s=device_s)
        if truth == float("inf"):
            assert found is None, seed
            continue
        assert found is not None, seed
        assert found.seconds == pytest.approx(truth, rel=1e-9), seed
        assert divide(layers, rooms, places, ram, below_s=truth * 1.02, device_s=device_s) == found, seed
        assert divide(layers, rooms, places, ram, below_s=truth * 0.999, device_s=device_s) is None, seed
