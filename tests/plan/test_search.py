"""The search against brute force, its laws, and its time."""

import random
from itertools import permutations

import pytest

from splitter.plan.search import Assignment, Need, Problem, Roles, Slot, bound_s, search


def brute_force(problem: Problem) -> float | None:
    """Every ordered subset of devices and every composition of the layers; None when nothing fits."""
    layers = len(problem.held)
    best = [problem.host_first_s + sum(problem.host_s)] if problem.allows(layers) else []
    for size in range(1, len(problem.slots) + 1):
        for order in permutations(range(len(problem.slots)), size):
            for host in range(layers):
                if problem.allows(host):
                    best += _compositions(problem, order, host, layers)
    return min(best) + problem.extra_s if best else None


def _compositions(problem: Problem, order: tuple[int, ...], host: int, layers: int) -> list[float]:
    roles = problem.partial if host else problem.whole
    found: list[float] = []

    first, several = problem.slots[order[0]], problem.several_s * (len(order) > 1)

    def walk(position: int, start: int, seconds: float) -> None:
        device = order[position]
        last = position == len(order) - 1
        role = role_of(roles, position, len(order))
        slot = problem.slots[device]
        for end in range(start + 1, layers + 1):
            if sum(problem.held[start:end]) + role[min(end - start, 3) - 1] > slot.capacity_bytes:
                return
            total = seconds + sum(slot.layer_s[start:end]) + problem.device_s
            if last and end == layers:
                found.append(total)
            elif not last and end < layers:
                walk(position + 1, end, total)

    walk(0, host, first.first_s + sum(first.ram_s[:host]) + several)
    return found


def random_problem(seed: int) -> Problem:
    """2-6 layers and the output, 1-4 devices, uneven layers, tight and roomy cards, slow and fast hosts.

    In half of the cases a layer's seconds are its bytes over a speed, in the other half they differ by device as well.
    """
    rnd = random.Random(seed)
    layers = rnd.randint(2, 6)
    even = rnd.random() < 0.4
    base = rnd.randint(50, 100)
    held = (*(base if even else rnd.randint(20, 120) for _ in range(layers)), rnd.randint(10, 150))
    moe = rnd.random() < 0.3
    read = tuple(rnd.randint(5, size) if moe else size for size in held)
    room = rnd.uniform(0.2, 1.3) * sum(held)
    count = rnd.randint(1, 4)
    uneven = rnd.random() < 0.5

    def seconds(price: float) -> tuple[float, ...]:
        return tuple(size * price * (rnd.uniform(0.7, 1.4) if uneven else 1.0) for size in read)

    host = 1 / rnd.choice([30, 60, 150])

    def slot() -> Slot:
        first = rnd.choice([0.0, rnd.random()]) if uneven else 0.0
        layer_s = seconds(1 / rnd.choice([100, 200, 300, 300, 900]))
        return Slot(int(room * rnd.uniform(0.1, 1.2)), layer_s, seconds(host), first)

    cards = [slot() for _ in range(count)]
    if rnd.random() < 0.3:
        cards[-1] = cards[0]

    def roles() -> Roles:
        def need() -> Need:
            one, two, more = sorted(rnd.randint(0, 60) for _ in range(3))
            return one, two, more

        return Roles(need(), need(), need(), need())

    return Problem(
        held,
        tuple(cards),
        roles(),
        roles(),
        seconds(host),
        rnd.choice([layers + 1, layers + 1, rnd.randint(0, layers)]),
        host_first_s=rnd.choice([0.0, 0.2]),
        host_layers=rnd.choice([None, None, None, rnd.randint(0, layers + 1)]),
        extra_s=rnd.random(),
        device_s=rnd.choice([1e-7, 0.3]),
        several_s=rnd.choice([0.0, 0.5]),
    )


@pytest.mark.parametrize("block", range(8))
def test_equals_brute_force(block: int) -> None:
    """800 random small cases."""
    for seed in range(block * 100, block * 100 + 100):
        problem = random_problem(seed)
        found, truth = search(problem), brute_force(problem)
        assert (found is None) == (truth is None), seed
        if found is not None and truth is not None:
            assert found.seconds == pytest.approx(truth, rel=1e-9), seed
            assert bound_s(problem) <= found.seconds + 1e-9, seed
            check(problem, found)


def role_of(roles: Roles, position: int, devices: int) -> Need:
    if devices == 1:
        return roles.only
    return roles.last if position == devices - 1 else roles.first if position == 0 else roles.middle


def check(problem: Problem, found: Assignment) -> None:
    """An assignment's own claims: layers add up, every block fits, the seconds are right."""
    assert found.host_layers + sum(found.counts) == len(problem.held)
    assert all(found.counts)
    roles = problem.partial if found.host_layers else problem.whole
    start, seconds = found.host_layers, problem.extra_s + problem.several_s * (len(found.order) > 1)
    if found.order:
        first = problem.slots[found.order[0]]
        seconds += first.first_s + sum(first.ram_s[: found.host_layers])
    else:
        seconds += problem.host_first_s + sum(problem.host_s)
    for position, (device, count) in enumerate(zip(found.order, found.counts, strict=True)):
        role = role_of(roles, position, len(found.order))
        need = sum(problem.held[start : start + count]) + role[min(count, 3) - 1]
        assert need <= problem.slots[device].capacity_bytes
        seconds += sum(problem.slots[device].layer_s[start : start + count]) + problem.device_s
        start += count
    assert found.seconds == pytest.approx(seconds)


def large(devices: int, layers: int, seed: int, fill: float = 0.8) -> Problem:
    rnd = random.Random(seed)
    held = (*(rnd.choice([270, 300]) for _ in range(layers)), 600)
    share = sum(held) * fill / devices
    ram_s = tuple(size / 40 for size in held)

    def slot(speed: float) -> Slot:
        return Slot(int(share * rnd.uniform(0.4, 1.6)) + 100, tuple(size / speed for size in held), ram_s)

    slots = tuple(slot(rnd.uniform(100, 1800)) for _ in range(devices))
    whole, partial = ((50,) * 3, (80,) * 3, (60,) * 3, (90,) * 3), ((50,) * 3, (120,) * 3, (60,) * 3, (90,) * 3)
    return Problem(held, slots, Roles(*whole), Roles(*partial), ram_s, layers + 1)


@pytest.mark.parametrize("fill", [0.6, 0.95, 1.1, 1.5, 4.0])
def test_eight_different_devices_and_128_layers_are_searched(fill: float) -> None:
    found = search(large(8, 128, 1, fill))
    assert found is not None
    check(large(8, 128, 1, fill), found)
