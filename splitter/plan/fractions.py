"""Fractions of layers: single FFN or expert tensors in RAM, where whole layers leave memory unused.

A layer is indivisible for -ngl and -ts, so every device wastes up to a layer's worth of memory while others wait in
RAM. -ot moves single tensors: here each device takes a block of layers that is too large for it and gives just enough
FFN (or expert) tensors of the block to the host. Boundaries are chosen by dynamic programming over one device order;
what is given away is whole tensors, and the memory model is asked about the result.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter

from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.memory.weights import device_bytes
from splitter.model.facts import ModelFacts
from splitter.plan.costs import LayerCosts, block_placement
from splitter.plan.fraction_bound import FlowBound, densities

EXPERT_TENSOR = re.compile(r"blk\.(\d+)\.(ffn_(?:up|down|gate|gate_up)_(?:ch)?exps)\.weight$")
INFINITE = float("inf")
BEAM = 4  # ends of a block that the first pass of `divide` looks at
LOOSE = 0.9  # tensors differ in bytes read per byte held; a block is dropped unexamined only well above its proportion
FFN_TENSOR = re.compile(r"blk\.(\d+)\.(ffn_(?:up|down|gate))\.weight$")


@dataclass(frozen=True, slots=True)
class Movable:
    """One tensor that may leave its layer: bytes on a device and read per token."""

    layer: int
    name: str
    held: int
    read: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Device blocks with what each gives to the host: `starts` of the blocks in order, `moved` tensors, seconds."""

    starts: tuple[int, ...]
    moved: tuple[Movable, ...]
    seconds: float


def movables(facts: ModelFacts, layers: int) -> tuple[tuple[Movable, ...], ...]:
    """The tensors of each layer (the output layer last, with none) that may be moved: experts if there are any."""
    used, count = facts.hparam("expert_used_count"), facts.hparam("expert_count")
    share = used / count if isinstance(used, int) and isinstance(count, int) and count else 1.0
    has_experts = any(EXPERT_TENSOR.match(tensor.name) for tensor in facts.tensors)
    pattern = EXPERT_TENSOR if has_experts else FFN_TENSOR
    found: list[list[Movable]] = [[] for _ in range(layers)]
    for tensor in facts.tensors:
        match = pattern.match(tensor.name)
        if match and int(match[1]) < layers - 1:
            read = int(tensor.size_bytes * (share if has_experts else 1.0))
            layer = int(match[1])
            found[layer].append(Movable(layer, match[2], device_bytes(tensor), read))
    return tuple(tuple(row) for row in found)


Gift = tuple[int, int, tuple[Movable, ...]]  # bytes held and read by some tensors of one layer, and the tensors


@dataclass(frozen=True, slots=True)
class Divisible:
    """Sums over the first layers: what cannot be moved and what can, held and read; `gifts` of each layer by size.

    `densities`: of both and of whole layers, the most bytes read per byte held in the layers so far.
    """

    fixed_held: tuple[int, ...]
    fixed_read: tuple[int, ...]
    free_held: tuple[int, ...]
    free_read: tuple[int, ...]
    parts: tuple[tuple[Movable, ...], ...]
    gifts: tuple[tuple[Gift, ...], ...]
    densities: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]

    def given(self, start: int, over: int) -> tuple[int, Gift | None]:
        """What leaves a block from layer `start` on that is `over` bytes too large.

        Whole layers from the first on, then the tightest set of one more: the index of that layer, and the set.
        """
        if over <= 0:
            return start, None
        sums = self.free_held
        whole = bisect_right(sums, sums[start] + over) - 1
        rest = over - (sums[whole] - sums[start])
        return whole, self.gifts[whole][bisect_left(self.gifts[whole], rest, key=itemgetter(0))] if rest else None


def divisible(costs: LayerCosts, parts: tuple[tuple[Movable, ...], ...]) -> Divisible:
    """Splits the costs of whole layers into the movable part and the rest."""
    held = [sum(part.held for part in row) for row in parts]
    read = [sum(part.read for part in row) for row in parts]
    fixed_held = [a - b for a, b in zip(costs.held, held, strict=True)]
    fixed_read = [a - b for a, b in zip(costs.read, read, strict=True)]
    gifts = tuple(_gifts(row) for row in parts)
    dense = densities([pair] for pair in zip(fixed_held, fixed_read, strict=True))
    loose = densities(((part.held, part.read) for part in row) for row in parts)
    whole = densities([pair] for pair in zip(costs.held, costs.read, strict=True))
    return Divisible(
        _sums(fixed_held), _sums(fixed_read), _sums(held), _sums(read), parts, gifts, (dense, loose, whole)
    )


def _sums(row: Sequence[int]) -> tuple[int, ...]:
    return (0, *accumulate(row))


def _gifts(row: Sequence[Movable]) -> tuple[Gift, ...]:
    """All sets of tensors of one layer, the smallest first."""
    subsets = (tuple(part for i, part in enumerate(row) if mask >> i & 1) for mask in range(1, 1 << len(row)))
    sized = ((sum(part.held for part in subset), sum(part.read for part in subset), subset) for subset in subsets)
    return tuple(sorted(sized, key=lambda gift: (gift[0], len(gift[2]))))


def flow_bound(layers: Divisible, rooms: Sequence[int], prices: Sequence[float], host_s_per_byte: float) -> FlowBound:
    """What no blocks on these devices and the host can beat."""
    return FlowBound((layers.fixed_read, layers.free_read), layers.densities, rooms, prices, host_s_per_byte)


def divide(
    layers: Divisible, rooms: Sequence[int], prices: Sequence[float], host_s_per_byte: float, below_s: float = INFINITE
) -> Blocks | None:
    """The best blocks for devices with `rooms` bytes and `prices` seconds per byte, in their order; some stay empty.

    None if none takes less than `below_s`. A pass over the most promising boundaries gives the time to beat, then
    only those are looked at that a lower bound does not rule out.
    """
    bound = flow_bound(layers, rooms, prices, host_s_per_byte)
    first = _swept(layers, bound, rooms, prices, below_s=below_s, beam=BEAM)
    tried_s = first[0] * (1 + 1e-12) if first else below_s
    exact = _swept(layers, bound, rooms, prices, below_s=min(below_s, tried_s), beam=None)
    total, starts = exact or first or (INFINITE, [])
    return Blocks(tuple(starts), _moved(layers, starts, rooms), total) if starts else None


def _swept(
    layers: Divisible,
    bound: FlowBound,
    rooms: Sequence[int],
    prices: Sequence[float],
    *,
    below_s: float,
    beam: int | None,
) -> tuple[float, list[int]] | None:
    """(seconds, first layers of the blocks) by dynamic programming from the last device on.

    Per device only the `beam` most promising ends of its block are tried (None: all that may stay below `below_s`).
    """
    host_price = bound.host_s_per_byte
    count = len(layers.parts)
    best = [INFINITE] * count + [0.0]  # best[p]: layers p.. on the devices handled so far
    most = [INFINITE] * (count + 1)  # what best may be at most, for the rest to stay below
    choices: list[list[int]] = []
    for index in reversed(range(len(rooms))):
        ends = _ends(best, most, beam)
        now = [(seconds, start) for start, seconds in enumerate(best)]
        most = [below_s - bound.seconds(index, start) for start in range(count + 1)]
        for end in ends:
            _try_starts(layers, end, (rooms[index], prices[index], host_price), best[end], now, most=most)
        best = [seconds for seconds, _ in now]
        choices.append([end for _, end in now])
    total, first = min((best[h] + bound.seconds_on_host(h), h) for h in range(count))
    if total >= below_s:
        return None
    starts = [first]
    for chosen in reversed(choices[1:]):
        starts.append(chosen[starts[-1]])
    return total, starts


def _ends(best: Sequence[float], most: Sequence[float], beam: int | None) -> list[int]:
    """Where a block may end, only the `beam` most promising ends if that is given."""
    ends = [end for end, seconds in enumerate(best) if end and seconds < most[end]]
    return sorted(sorted(ends, key=lambda end: best[end] - most[end])[:beam]) if beam else ends


def _try_starts(
    layers: Divisible,
    end: int,
    device: tuple[int, float, float],
    after_s: float,
    now: list[tuple[float, int]],
    *,
    most: Sequence[float],
) -> None:
    """Offers `now`, (seconds, end) by start, every block of a device (room, price, price of the host) before `end`.

    Its immovable part must fit, and its seconds stay below `most`. They are first taken as if bytes could be moved,
    then by whole tensors.
    """
    room, price, host_price = device
    fixed_held, fixed_read = layers.fixed_held, layers.fixed_read
    free_held, free_read = layers.free_held, layers.free_read
    for start in range(end - 1, -1, -1):
        left = room - fixed_held[end] + fixed_held[start]
        if left < 0:
            return
        free, read = free_held[end] - free_held[start], free_read[end] - free_read[start]
        kept_s = after_s + (fixed_read[end] - fixed_read[start] + read) * price
        least_moved = read * (free - left) / free if free > left else 0.0
        enough = min(now[start][0], most[start])
        if kept_s + least_moved * LOOSE * (host_price - price) >= enough:
            continue
        whole, gift = layers.given(start, free - left)
        moved = free_read[whole] - free_read[start] + (gift[1] if gift else 0)
        seconds = kept_s + moved * (host_price - price)
        if seconds < enough:
            now[start] = seconds, end


def _moved(layers: Divisible, starts: Sequence[int], rooms: Sequence[int]) -> tuple[Movable, ...]:
    """The tensors that the blocks give away."""
    moved: list[Movable] = []
    for start, end, room in zip(starts, (*starts[1:], len(layers.parts)), rooms, strict=True):
        held = layers.fixed_held[end] - layers.fixed_held[start] + layers.free_held[end] - layers.free_held[start]
        if start < end:
            whole, gift = layers.given(start, held - room)
            moved += [part for row in layers.parts[start:whole] for part in row]
            moved += gift[2] if gift else ()
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
