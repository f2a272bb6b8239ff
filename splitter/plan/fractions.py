"""Fractions of layers: single FFN or expert tensors in RAM, where whole layers leave memory unused.

A layer is indivisible for -ngl and -ts, so every device wastes up to a layer's worth of memory while others wait in
RAM. -ot moves single tensors: here each device takes a block of layers that is too large for it and gives just enough
FFN (or expert) tensors of the block to the host. Boundaries are chosen by dynamic programming over one device order;
what is given away is whole tensors, and the memory model is asked about the result.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from operator import itemgetter

from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.memory.weights import Site
from splitter.plan.costs import block_placement
from splitter.plan.fraction_bound import FlowBound, densities
from splitter.plan.search import TINY, Sums
from splitter.plan.work import Part, part_of

EXPERT_TENSOR = re.compile(r"blk\.(\d+)\.(ffn_(?:up|down|gate|gate_up)_(?:ch)?exps)\.weight$")
INFINITE = float("inf")
BEAM = 4  # ends of a block that the first pass of `divide` looks at
FFN_TENSOR = re.compile(r"blk\.(\d+)\.(ffn_(?:up|down|gate))\.weight$")


@dataclass(frozen=True, slots=True)
class Movable:
    """One tensor that may leave its layer: bytes on a device, and what a turn does with it."""

    layer: int
    name: str
    held: int
    part: Part


@dataclass(frozen=True, slots=True)
class Blocks:
    """Device blocks with what each gives to the host: `starts` of the blocks in order, `moved` tensors, seconds."""

    starts: tuple[int, ...]
    moved: tuple[Movable, ...]
    seconds: float


def movables(sites: Sequence[Site], layers: int) -> tuple[tuple[Movable, ...], ...]:
    """The tensors of each layer (the output layer last, with none) that may be moved: experts if there are any."""
    experts = any(EXPERT_TENSOR.match(site.tensor.name) for site in sites)
    pattern = EXPERT_TENSOR if experts else FFN_TENSOR
    found: list[list[Movable]] = [[] for _ in range(layers)]
    for site in sites:
        match = pattern.match(site.tensor.name)
        if match and site.layer < layers - 1:
            found[site.layer].append(Movable(site.layer, match[2], site.device_bytes, part_of(site)))
    return tuple(map(tuple, found))


Gift = tuple[int, tuple[int, ...]]  # bytes held by some tensors of one layer, and which of its tensors


@dataclass(frozen=True, slots=True)
class Divisible:
    """Sums over the first layers: bytes held that cannot be moved and that can; `gifts` of each layer by size.

    `like` is by layer the first one with the same movable tensors.
    """

    fixed_held: tuple[int, ...]
    free_held: tuple[int, ...]
    parts: tuple[tuple[Movable, ...], ...]
    gifts: tuple[tuple[Gift, ...], ...]
    like: tuple[int, ...]

    def given(self, start: int, over: int) -> tuple[int, int | None]:
        """What leaves a block from layer `start` on that is `over` bytes too large.

        Whole layers from the first on, then the tightest set of one more: the index of that layer, and of the set.
        """
        if over <= 0:
            return start, None
        sums = self.free_held
        whole = bisect_right(sums, sums[start] + over) - 1
        rest = over - (sums[whole] - sums[start])
        return whole, bisect_left(self.gifts[whole], rest, key=itemgetter(0)) if rest else None


def divisible(held: Sequence[int], parts: tuple[tuple[Movable, ...], ...]) -> Divisible:
    """Splits what whole layers hold into the movable part and the rest."""
    free = [sum(part.held for part in row) for row in parts]
    fixed = [a - b for a, b in zip(held, free, strict=True)]
    first: dict[tuple[tuple[int, Part], ...], int] = {}
    like = tuple(first.setdefault(tuple((t.held, t.part) for t in row), layer) for layer, row in enumerate(parts))
    gifts = {layer: _gifts(parts[layer]) for layer in first.values()}
    return Divisible(
        (0, *accumulate(fixed)), (0, *accumulate(free)), parts, tuple(gifts[layer] for layer in like), like
    )


def _gifts(row: Sequence[Movable]) -> tuple[Gift, ...]:
    """All sets of tensors of one layer, the smallest first."""
    subsets = (tuple(i for i in range(len(row)) if mask >> i & 1) for mask in range(1, 1 << len(row)))
    sized = ((sum(row[i].held for i in subset), subset) for subset in subsets)
    return tuple(sorted(sized, key=lambda gift: (gift[0], len(gift[1]))))


@dataclass(frozen=True, slots=True)
class PlaceSeconds:
    """Seconds of a turn in one place, as sums over the first layers: what cannot be moved, and what can.

    `parts` are those of each movable tensor, `gifts` those of each set of Divisible. In RAM, tensors that a device's
    layer gave away cost handing over besides, which `free` and `gifts` hold and `fixed` and `parts` do not.
    """

    fixed: Sums
    free: Sums
    parts: tuple[tuple[float, ...], ...]
    gifts: tuple[tuple[float, ...], ...]

    def total(self) -> float:
        return self.fixed[-1] + sum(map(sum, self.parts))

    def layers_s(self, end: int) -> float:
        """The first `end` layers, whole."""
        return self.fixed[end] + sum(map(sum, self.parts[:end]))


def place_seconds(
    layers: Divisible,
    whole: Sequence[float],
    part_s: Callable[[Part], float],
    handing_s: float = 0.0,
) -> PlaceSeconds:
    """Of `whole` layers and single tensors in one place; `handing_s` for each layer that gives tensors to it."""
    rows = {layer: tuple(part_s(tensor.part) for tensor in layers.parts[layer]) for layer in set(layers.like)}
    sums = {layer: sum(row) for layer, row in rows.items()}
    given = {
        layer: tuple(handing_s + sum(row[i] for i in subset) for _, subset in layers.gifts[layer])
        for layer, row in rows.items()
    }
    fixed = [total - sums[layer] for total, layer in zip(whole, layers.like, strict=True)]
    free = [sums[layer] + (handing_s if rows[layer] else 0.0) for layer in layers.like]
    parts, gifts = (tuple(each[layer] for layer in layers.like) for each in (rows, given))
    return PlaceSeconds((0.0, *accumulate(fixed)), (0.0, *accumulate(free)), parts, gifts)


def flow_bound(layers: Divisible, rooms: Sequence[int], places: Sequence[PlaceSeconds], ram: PlaceSeconds) -> FlowBound:
    """What no blocks on these devices and the host can beat.

    Every tensor has a size such that no place takes less than its size times the place's price.
    """
    everywhere = (*places, ram)
    prices = [max(place.total(), TINY) for place in everywhere]
    rows = [[b - a for a, b in pairwise(place.fixed)] for place in everywhere]
    fixed = [min(s / p for s, p in zip(layer, prices, strict=True)) for layer in zip(*rows, strict=True)]
    free = [
        [min(s / p for s, p in zip(tensor, prices, strict=True)) for tensor in zip(*layer, strict=True)]
        for layer in zip(*(place.parts for place in everywhere), strict=True)
    ]
    held = [b - a for a, b in pairwise(layers.fixed_held)]
    loose = ([(m.held, size) for m, size in zip(*row, strict=True)] for row in zip(layers.parts, free, strict=True))
    both = [
        _densest(h, f, [(m.held, size) for m, size in zip(row, sizes, strict=True)])
        for h, row, f, sizes in zip(held, layers.parts, fixed, free, strict=True)
    ]
    return FlowBound(
        ((0.0, *accumulate(fixed)), (0.0, *accumulate(map(sum, free)))),
        (
            densities([pair] for pair in zip(held, fixed, strict=True)),
            densities(loose),
            densities(both),
        ),
        rooms,
        prices[:-1],
        prices[-1],
    )


def _densest(held: int, size: float, free: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Held and size of what cannot be moved of a layer with the first tensors that can, the densest first."""
    ranked = sorted(free, key=lambda pair: -pair[1] / max(pair[0], 1))
    return list(accumulate(ranked, lambda a, b: (a[0] + b[0], a[1] + b[1]), initial=(held, size)))[1:] or [(held, size)]


def divide(
    layers: Divisible,
    rooms: Sequence[int],
    places: Sequence[PlaceSeconds],
    ram: PlaceSeconds,
    *,
    below_s: float = INFINITE,
    device_s: float = 0.0,
) -> Blocks | None:
    """The best blocks for devices with `rooms` bytes and their seconds, in their order; some stay empty.

    Each device that does not takes `device_s` besides. None if none takes less than `below_s`. A pass over the most
    promising boundaries gives the time to beat, then only those are looked at that a lower bound does not rule out.
    """
    bound = flow_bound(layers, rooms, places, ram)
    on_host = [ram.layers_s(end) for end in range(len(layers.parts))]
    least = [min(per_byte(layers, place, ram), default=0.0) for place in places]
    sweep = _BoundarySweep(layers, rooms, places, ram, bound, on_host, least, device_s)
    first = sweep.swept(below_s, BEAM)
    tried_s = first[0] * (1 + 1e-12) if first else below_s
    exact = sweep.swept(min(below_s, tried_s), None)
    total, starts = exact or first or (INFINITE, [])
    return Blocks(tuple(starts), _moved(layers, starts, rooms), total) if starts else None


def per_byte(layers: Divisible, place: PlaceSeconds, ram: PlaceSeconds) -> Iterator[float]:
    """The seconds per byte held that each tensor costs when a device gives it to the host."""
    for layer in sorted(set(layers.like)):
        for tensor, kept, in_ram in zip(layers.parts[layer], place.parts[layer], ram.parts[layer], strict=True):
            yield (in_ram - kept) / max(tensor.held, 1)


@dataclass(frozen=True, slots=True)
class _BoundarySweep:
    """The dynamic programming over the boundaries, from the last device on; `on_host` are seconds of leading layers,
    `least` per device the least seconds that a byte costs which it gives to the host.
    """

    layers: Divisible
    rooms: Sequence[int]
    places: Sequence[PlaceSeconds]
    ram: PlaceSeconds
    bound: FlowBound
    on_host: Sequence[float]
    least: Sequence[float]
    device_s: float

    def swept(self, below_s: float, beam: int | None) -> tuple[float, list[int]] | None:
        """(seconds, first layers of the blocks), None if not below `below_s`.

        Per device only the `beam` most promising ends of its block are tried (None: all that may stay below it).
        """
        count = len(self.layers.parts)
        best = [INFINITE] * count + [0.0]  # best[p]: layers p.. on the devices handled so far
        most = [INFINITE] * (count + 1)  # what best may be at most, for the rest to stay below
        choices: list[list[int]] = []
        for index in reversed(range(len(self.rooms))):
            ends = _ends(best, most, beam)
            now = [(seconds, start) for start, seconds in enumerate(best)]
            most = [below_s - self.bound.seconds(index, start) for start in range(count + 1)]
            for end in ends:
                self.try_starts(index, end, best[end], now, most)
            best = [seconds for seconds, _ in now]
            choices.append([end for _, end in now])
        total, first = min((best[h] + self.on_host[h], h) for h in range(count))
        if total >= below_s:
            return None
        starts = [first]
        for chosen in reversed(choices[1:]):
            starts.append(chosen[starts[-1]])
        return total, starts

    def try_starts(
        self, index: int, end: int, after_s: float, now: list[tuple[float, int]], most: Sequence[float]
    ) -> None:
        """Offers `now`, (seconds, end) by start, every block of a device before `end`.

        Its immovable part must fit, and its seconds stay below `most`. They are first taken as if the cheapest bytes
        could be moved, then by whole tensors.
        """
        layers, place, ram, least = self.layers, self.places[index], self.ram, self.least[index]
        fixed_held, free_held, after_s = layers.fixed_held, layers.free_held, after_s + self.device_s
        for start in range(end - 1, -1, -1):
            left = self.rooms[index] - fixed_held[end] + fixed_held[start]
            if left < 0:
                return
            free = free_held[end] - free_held[start]
            kept_s = after_s + place.fixed[end] - place.fixed[start] + place.free[end] - place.free[start]
            least_moved = max(free - left, 0) * least
            enough = min(now[start][0], most[start])
            if kept_s + least_moved >= enough:
                continue
            whole, gift = layers.given(start, free - left)
            seconds = kept_s + ram.free[whole] - ram.free[start] - place.free[whole] + place.free[start]
            if gift is not None:
                seconds += ram.gifts[whole][gift] - place.gifts[whole][gift]
            if seconds < enough:
                now[start] = seconds, end


def _ends(best: Sequence[float], most: Sequence[float], beam: int | None) -> list[int]:
    """Where a block may end, only the `beam` most promising ends if that is given."""
    ends = [end for end, seconds in enumerate(best) if end and seconds < most[end]]
    return sorted(sorted(ends, key=lambda end: best[end] - most[end])[:beam]) if beam else ends


def _moved(layers: Divisible, starts: Sequence[int], rooms: Sequence[int]) -> tuple[Movable, ...]:
    """The tensors that the blocks give away."""
    moved: list[Movable] = []
    for start, end, room in zip(starts, (*starts[1:], len(layers.parts)), rooms, strict=True):
        held = layers.fixed_held[end] - layers.fixed_held[start] + layers.free_held[end] - layers.free_held[start]
        if start < end:
            whole, gift = layers.given(start, held - room)
            moved += [part for row in layers.parts[start:whole] for part in row]
            moved += [layers.parts[whole][i] for i in layers.gifts[whole][gift][1]] if gift is not None else []
    return tuple(moved)


def settings_of(base: Settings, blocks: Blocks, parts: Sequence[Sequence[Movable]]) -> tuple[Settings, Placement]:
    """The flags of blocks: counts as -ts, the first layers' experts as -ncmoe, the rest as -ot."""
    bounds = (*blocks.starts, len(parts))
    counts = tuple(bounds[i + 1] - bounds[i] for i in range(len(blocks.starts)))
    by_layer: dict[int, list[str]] = {}
    for part in blocks.moved:
        by_layer.setdefault(part.layer, []).append(part.name)
    prefix = 0
    while prefix in by_layer and "exps" in by_layer[prefix][0] and len(by_layer[prefix]) == len(parts[prefix]):
        prefix += 1
    rest = {layer: names for layer, names in by_layer.items() if layer >= prefix}
    settings = replace(
        base,
        gpu_layers=sum(counts),
        tensor_split=tuple(map(float, counts)) if len(counts) > 1 else (),
        n_cpu_moe=prefix,
        override_tensors=tuple(_patterns(rest)),
    )
    return settings, block_placement(blocks.starts[0], counts)


def _patterns(by_layer: dict[int, list[str]]) -> Iterator[str]:
    """One -ot item per set of tensor names: `blk\\.(3|17)\\.(ffn_down|ffn_up)\\.weight=CPU`."""
    by_names: dict[tuple[str, ...], list[int]] = {}
    for layer, names in sorted(by_layer.items()):
        by_names.setdefault(tuple(sorted(names)), []).append(layer)
    for tensor_names, layers in by_names.items():
        yield rf"blk\.({'|'.join(map(str, layers))})\.({'|'.join(tensor_names)})\.weight=CPU"
