"""The exact search: which devices, in which order, hold how many layers, for the least seconds.

Pure numbers in, pure numbers out. Layers are contiguous: the host holds the first h, then the devices in order; the
last device holds the output layer. A layer takes its own seconds on each device; the first device also multiplies
prompts for what is in RAM. A state is (devices used from the end, first layer they hold); its cost is the least time
found for those layers. Blocks are tried around the point that a relaxation calls best, and a state whose relaxed
completion cannot beat the incumbent is dropped, so the result is optimal for the given role costs.

The relaxation gives every layer a size and every device a price, so that no layer is faster anywhere than its size
times the price there; then every device is full of its best window, in order of price. Example: 10 layers of size 1,
a card of price 1 that holds 6 and one of price 3: no assignment takes less than 6 x 1 + 4 x 3 = 18 seconds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import ge, itemgetter

INFINITE = float("inf")
TINY = 1e-300
# Sums of floats may end a little above or below the truth: bounds are lowered, windows widened by so much.
SHRUNK, GROWN = 1 - 1e-11, 1 + 1e-11
State = tuple[int, int]  # (mask of devices used, first layer they hold)
Sums = tuple[float, ...]
Steps = tuple[list[float], list[tuple[float, float]]]
"""Size up to which each line (seconds at size zero, seconds per size) holds; the last line holds beyond all."""
# Breaks ties towards fewer devices; 0.1 microseconds per turn is below any measurable cost.
TIE_S = 1e-7


def _sums(row: Sequence[float]) -> Sums:
    return (0.0, *accumulate(row))


Need = tuple[int, int, int]
"""Compute-buffer bytes of a block of one, of two, and of more layers; never falling."""
NOTHING: Need = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Roles:
    """What a device needs by what it does: holds every offloaded layer (`only`), the first, middle or last."""

    only: Need = NOTHING
    first: Need = NOTHING
    middle: Need = NOTHING
    last: Need = NOTHING

    def several(self) -> tuple[Need, Need, Need]:
        """The roles where there are two devices and more."""
        return self.first, self.middle, self.last


@dataclass(frozen=True, slots=True)
class Slot:
    """One device as the search sees it: bytes it can hold (free less margin and overhead), seconds of every layer.

    `ram_s` are seconds of every layer in RAM while this device is the first one, `first_s` what being first costs.
    `remote`: it is in another machine and stands before all that are not; `once_s` is what the network costs at least.
    """

    capacity_bytes: int
    layer_s: tuple[float, ...]
    ram_s: tuple[float, ...]
    first_s: float = 0.0
    remote: bool = False
    once_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Problem:
    """One configuration of memory-relevant settings on a set of devices.

    `held` are bytes a layer needs on its device, the output layer last; `host_s` its seconds in RAM without any device,
    `host_first_s` what that costs besides. `whole` and `partial` are the roles without and with layers on the host.
    `host_room_layers` is how many leading layers the host's RAM can take; `host_layers` fixes their number (None:
    free); `extra_s` is time that no placement changes; `device_s` the cost of each device, `several_s` of having more
    than one. `ordered` keeps the slots in their order (a slot may stay empty).
    """

    held: tuple[int, ...]
    slots: tuple[Slot, ...]
    whole: Roles
    partial: Roles
    host_s: tuple[float, ...]
    host_room_layers: int
    host_first_s: float = 0.0
    host_layers: int | None = None
    extra_s: float = 0.0
    device_s: float = TIE_S
    several_s: float = 0.0
    ordered: bool = False
    kinds: tuple[int, ...] = field(init=False, repr=False, compare=False)
    held_sums: tuple[int, ...] = field(init=False, repr=False, compare=False)
    layer_sums: tuple[Sums, ...] = field(init=False, repr=False, compare=False)
    ram_sums: tuple[Sums, ...] = field(init=False, repr=False, compare=False)
    ram_slower: tuple[bool, ...] = field(init=False, repr=False, compare=False)
    remote_mask: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = tuple(map(self.slots.index, self.slots))
        rows = {kind: (_sums(self.slots[kind].layer_s), _sums(self.slots[kind].ram_s)) for kind in set(kinds)}
        slower = {kind: all(map(ge, self.slots[kind].ram_s, self.slots[kind].layer_s)) for kind in rows}
        object.__setattr__(self, "kinds", kinds)
        object.__setattr__(self, "held_sums", (0, *accumulate(self.held)))
        object.__setattr__(self, "layer_sums", tuple(rows[kind][0] for kind in kinds))
        object.__setattr__(self, "ram_sums", tuple(rows[kind][1] for kind in kinds))
        object.__setattr__(self, "ram_slower", tuple(slower[kind] for kind in kinds))
        object.__setattr__(self, "remote_mask", sum(1 << i for i, slot in enumerate(self.slots) if slot.remote))

    def block_s(self, device: int, start: int, end: int) -> float:
        """Seconds of the layers from `start` to before `end` on a device."""
        sums = self.layer_sums[device]
        return sums[end] - sums[start]

    def first_s(self, device: int, host_layers: int) -> float:
        """Seconds of the leading layers in RAM, and what it costs the first device to serve what is there."""
        return self.slots[device].first_s + self.ram_sums[device][host_layers]

    def host_alone_s(self) -> float:
        """Seconds of all layers on the host."""
        return self.host_first_s + sum(self.host_s)

    def start(self, end: int, capacity_bytes: int, need: Need) -> int:
        """The first layer of the longest block that ends before `end` and fits with its need; `end` if none does."""
        sums = self.held_sums
        start = bisect_left(sums, sums[end] - capacity_bytes + need[2], 0, end)
        if end - start > 2:
            return start
        for length in (2, 1):
            if length <= end and sums[end] - sums[end - length] + need[length - 1] <= capacity_bytes:
                return end - length
        return end

    def candidates(self, mask: int) -> Iterator[int]:
        """Slots that may precede those in `mask`; of equal ones only the first, as the others assign the same."""
        seen = set()
        stop = len(self.slots) if not (mask and self.ordered) else (mask & -mask).bit_length() - 1
        allowed = self.placeable(mask)
        for index, kind in enumerate(self.kinds[:stop]):
            if not mask >> index & 1 and allowed >> index & 1 and (self.ordered or kind not in seen):
                seen.add(kind)
                yield index

    def placeable(self, mask: int) -> int:
        """The slots that the machines allow before those in `mask`: the output layer is here where a device is here,
        and before a remote device are only others."""
        every = (1 << len(self.slots)) - 1
        if self.ordered or self.remote_mask in (0, every):
            return every
        if not mask:
            return every & ~self.remote_mask
        return self.remote_mask if mask & self.remote_mask else every

    def allows(self, host_layers: int) -> bool:
        fixed = self.host_layers
        return host_layers <= self.host_room_layers and (fixed is None or fixed == host_layers)


@dataclass(frozen=True, slots=True)
class Assignment:
    """`order` indexes the problem's slots, `counts` layers on each (the output layer counted on the last)."""

    order: tuple[int, ...]
    counts: tuple[int, ...]
    host_layers: int
    seconds: float


class Effort:
    """How many states a series of searches may still look at; when they are used up, the best so far counts."""

    def __init__(self, states: float = INFINITE) -> None:
        self.states = states

    def spend(self) -> bool:
        """Whether one more state may be looked at."""
        self.states -= 1
        return self.states > 0


def search(
    problem: Problem, *, below_s: float = INFINITE, effort: Effort | None = None, quick: bool = False
) -> Assignment | None:
    """The fastest assignment that fits and beats `below_s` seconds per token, None if there is none.

    Optimal unless a given `effort` runs out, or `quick` asks for the first pass only.
    """
    best = _Best(problem, below_s - problem.extra_s, effort or Effort())
    _on_host(problem, best)
    for partial in (False, True):
        roles = problem.partial if partial else problem.whole
        if _possible(problem, partial):
            _on_one(problem, roles, partial, best)
            _on_many(problem, roles, partial, best, (False,) if quick else (False, True))
    return best.assignment


def bound_s(problem: Problem) -> float:
    """No assignment of the problem takes less than this."""
    needs = (need for roles in (problem.whole, problem.partial) for need in (roles.only, *roles.several()))
    relaxed = _Relaxation(problem, needs, host=True, coarse=True)
    first = min((slot.first_s for slot in problem.slots), default=problem.host_first_s)
    return problem.extra_s + min(first, problem.host_first_s) + relaxed.tight(0, len(problem.held))


class _Best:
    """The incumbent."""

    def __init__(self, problem: Problem, below_s: float, effort: Effort) -> None:
        self.problem, self.effort = problem, effort
        self.seconds = below_s
        self.assignment: Assignment | None = None

    def offer(self, seconds: float, order: tuple[int, ...], starts: tuple[int, ...]) -> None:
        """`starts` are the first layers of the blocks of `order`, the last block ending with the output layer."""
        if seconds >= self.seconds:
            return
        bounds = (*starts, len(self.problem.held))
        counts = tuple(end - start for start, end in pairwise(bounds))
        host = bounds[0]
        self.seconds = seconds
        self.assignment = Assignment(order, counts, host, seconds + self.problem.extra_s)


def _possible(problem: Problem, partial: bool) -> bool:
    if problem.host_layers is None:
        return not partial or problem.host_room_layers > 0
    return partial == (problem.host_layers > 0)


def _on_host(problem: Problem, best: _Best) -> None:
    if problem.allows(len(problem.held)):
        best.offer(problem.host_alone_s(), (), ())


def _close(problem: Problem, partial: bool, end: int, device: int, need: Need) -> int | None:
    """How many layers stay on the host when `device` is the first one and its block ends before layer `end`.

    As many as make the two fastest; None when none of it fits.
    """
    start = problem.start(end, problem.slots[device].capacity_bytes, need)
    if start == end:
        return None
    if not partial:
        return 0 if start == 0 else None
    least, most = max(start, 1), min(problem.host_room_layers, end - 1)
    host = problem.host_layers
    if host is not None:
        return host if least <= host <= most else None
    if least > most or problem.ram_slower[device]:
        return least if least <= most else None
    on_host, on_device = problem.ram_sums[device], problem.layer_sums[device]
    return min(range(least, most + 1), key=lambda layers: on_host[layers] - on_device[layers])


def _on_one(problem: Problem, roles: Roles, partial: bool, best: _Best) -> None:
    layers, allowed = len(problem.held), problem.placeable(0)
    for device, slot in enumerate(problem.slots):
        host = _close(problem, partial, layers, device, roles.only) if allowed >> device & 1 else None
        if host is not None:
            block = problem.block_s(device, host, layers) + slot.once_s
            best.offer(problem.first_s(device, host) + block + problem.device_s, (device,), (host,))


class _Relaxation:
    """A lower bound on the time of layers 0..end-1 on the devices that a mask leaves over, and the host.

    Every device takes layers up to its best window at its price, a full one paying all it costs to have it. With a
    `host` the first `forced` layers are its own. `sums` are sizes of the leading layers, `prices` seconds per size.
    """

    def __init__(
        self, problem: Problem, needs: Iterable[Need], host: bool, forced: int = 0, coarse: bool = False
    ) -> None:
        self.problem, self.forced = problem, forced
        self.prices, ram, sizes = _sizes(problem)
        self.sums = _sums(sizes)
        self.host_s = ram if host else INFINITE
        least: Need = (*map(min, zip(*needs, strict=True)),)
        if coarse:
            self.rooms = [max(slot.capacity_bytes - least[0], 0) for slot in problem.slots]
            ratio = max(size / held for size, held in zip(sizes, problem.held, strict=True) if held)
            windows = [room * ratio * GROWN for room in self.rooms]
        else:
            blocks = [_windows(problem, self.sums, slot.capacity_bytes, least) for slot in problem.slots]
            self.rooms, windows = [held for held, _ in blocks], [size for _, size in blocks]
        lines = [
            price + problem.device_s / window if window > 0 else INFINITE
            for price, window in zip(self.prices, windows, strict=True)
        ]
        fastest = sorted(range(len(lines)), key=lambda d: (lines[d], d))
        self.ranked = [(1 << d, windows[d], lines[d]) for d in fastest if lines[d] < self.host_s]
        self.known_steps: dict[int, Steps] = {}
        self.known_rooms: dict[int, int] = {}

    def room_left(self, mask: int) -> int:
        """Bytes that all devices outside `mask` can hold, remembered."""
        room = self.known_rooms.get(mask)
        if room is None:
            room = self.known_rooms[mask] = sum(size for d, size in enumerate(self.rooms) if not mask >> d & 1)
        return room

    def steps(self, mask: int) -> Steps:
        """What the first so many bytes cost on the devices outside `mask`, remembered."""
        known = self.known_steps.get(mask)
        if known is None:
            known = self.known_steps[mask] = self._steps(mask)
        return known

    def _steps(self, mask: int) -> Steps:
        edges, lines = [], []
        size, total = 0.0, 0.0
        for bit, window, price in self.ranked:
            if not mask & bit:
                lines.append((total - size * price, price))
                size, total = size + window, total + window * price
                edges.append(size)
        rest = (total - size * self.host_s, self.host_s) if self.host_s < INFINITE else (INFINITE, 0.0)
        return edges, [*lines, rest]

    def seconds(self, mask: int, end: int, on_host: int = 0) -> float:
        """Every device left takes its best window, the fastest first; `on_host` layers are on the host anyway."""
        first = self.sums[max(on_host, self.forced)]
        edges, lines = self.steps(mask)
        size = self.sums[end] - first
        base, price = lines[bisect_left(edges, size)]
        return (base + size * price + (first * self.host_s if first else 0.0)) * SHRUNK

    def tight(self, mask: int, end: int) -> float:
        """Like `seconds`, and what no device has room for is read by the host."""
        sums = self.problem.held_sums
        excess = sums[end] - self.room_left(mask)
        if excess > 0 and self.host_s == INFINITE:
            return INFINITE
        return self.seconds(mask, end, bisect_left(sums, excess) if excess > 0 else 0)

    def best_start(self, mask: int, price: float) -> int:
        """The first layer that a device of this price should hold: those before it fill the faster devices left."""
        if self.host_s < price:
            return len(self.problem.held)
        sums, (edges, lines) = self.sums, self.steps(mask)
        faster = bisect_left(lines, price, 0, len(edges), key=itemgetter(1))
        return bisect_right(sums, sums[self.forced] + (edges[faster - 1] if faster else 0)) - 1


def _sizes(problem: Problem) -> tuple[list[float], float, list[float]]:
    """Prices of the devices and of the RAM, and sizes of the layers: no layer is faster than its size times a price."""
    rows = [*(slot.layer_s for slot in problem.slots), *_ram_rows(problem)]
    prices = [max(sum(row), TINY) for row in rows]
    layers = zip(*rows, strict=True)
    sizes = [min(seconds / price for seconds, price in zip(layer, prices, strict=True)) for layer in layers]
    devices = len(problem.slots)
    return prices[:devices], min(prices[devices:]), sizes


def _ram_rows(problem: Problem) -> list[tuple[float, ...]]:
    """The least seconds of every layer in RAM, whichever device is first."""
    rows = {problem.host_s, *(slot.ram_s for slot in problem.slots)}
    return [tuple(map(min, zip(*rows, strict=True)))]


def _windows(problem: Problem, sizes: Sums, capacity: int, need: Need) -> tuple[int, float]:
    """The most bytes that contiguous layers within `capacity` bytes can hold, and the largest size of such layers."""
    held = problem.held_sums
    starts = [(end, problem.start(end, capacity, need)) for end in range(1, len(held))]
    return max(held[e] - held[s] for e, s in starts), max(sizes[e] - sizes[s] for e, s in starts)


def _on_many(problem: Problem, roles: Roles, partial: bool, best: _Best, passes: Sequence[bool]) -> None:
    """Two devices and more: a quick pass that fills every device gives the incumbent, the second pass is exact."""
    needs, forced = roles.several(), (problem.host_layers or 1) if partial else 0
    if len(problem.slots) < 2:
        return
    coarse = _Relaxation(problem, needs, partial, forced, coarse=True)
    once = problem.several_s + min(slot.first_s for slot in problem.slots)
    if once + coarse.tight(0, len(problem.held)) >= best.seconds:
        return
    relaxed = _Relaxation(problem, needs, partial, forced)
    if once + relaxed.tight(0, len(problem.held)) >= best.seconds:
        return
    sweep = _Sweep(problem, roles, relaxed, best)
    for exact in passes:
        sweep.run(exact)


@dataclass(slots=True)
class _Move:
    """One more device before those of a mask: `after` is the mask with it, `middle` where it should start.

    `lowest` remembers by end of its block where the longest starts; `room` and `steps` are of the devices left then.
    """

    device: int
    after: int
    slot: Slot
    need: Need
    middle: int
    room: int
    steps: Steps
    lowest: dict[int, int]


class _Sweep:
    """Passes over the states, from the output layer backwards, one more device per level."""

    def __init__(self, problem: Problem, roles: Roles, relaxed: _Relaxation, best: _Best) -> None:
        self.problem, self.roles, self.relaxed, self.best = problem, roles, relaxed, best
        self.known_moves: dict[int, tuple[_Move, ...]] = {}
        self.known_lowest: dict[tuple[int, bool], dict[int, int]] = {}
        self.known_close: dict[State, int | None] = {}
        self.least_first_s = min(slot.first_s for slot in problem.slots)
        self.costs: dict[int, list[float]] = {}
        self.parents: dict[State, tuple[State, int]] = {}

    def run(self, exact: bool) -> None:
        """Not `exact`: every device takes all it can."""
        layers = len(self.problem.held)
        self.costs, self.parents = {0: [INFINITE] * layers + [self.problem.several_s]}, {}
        level = [(0, layers)]
        while level:
            following: list[State] = []
            for state in level:
                mask, end = state
                least = self.costs[mask][end] + self.least_first_s + self.relaxed.tight(mask, end)
                if least < self.best.seconds and self.best.effort.spend():
                    self.close(state)
                    self.extend(state, exact, following)
            level = following

    def moves(self, mask: int) -> tuple[_Move, ...]:
        """The devices that may precede those in `mask`, remembered."""
        known = self.known_moves.get(mask)
        if known is None:
            known = self.known_moves[mask] = tuple(self.move(mask, d) for d in self.problem.candidates(mask))
        return known

    def move(self, mask: int, device: int) -> _Move:
        slot, after = self.problem.slots[device], mask | 1 << device
        need = self.roles.middle if mask else self.roles.last
        price = self.relaxed.prices[device]
        middle, room = self.relaxed.best_start(after, price), self.relaxed.room_left(after)
        lowest = self.known_lowest.setdefault((device, not mask), {})
        return _Move(device, after, slot, need, middle, room, self.relaxed.steps(after), lowest)

    def extend(self, state: State, exact: bool, following: list[State]) -> None:
        """Adds the states with one more device that are new and may beat the incumbent."""
        mask, end = state
        first = self.relaxed.forced + 1  # one layer is left for the first device
        for move in self.moves(mask):
            lowest = move.lowest.get(end)
            if lowest is None:
                lowest = max(self.problem.start(end, move.slot.capacity_bytes, move.need), first)
                move.lowest[end] = lowest
            if lowest < end:
                if move.after not in self.costs:
                    self.costs[move.after] = [INFINITE] * len(self.problem.held_sums)
                for side in sides(move, lowest, end) if exact else (range(lowest, lowest + 1),):
                    self.reach(state, move, side, following)

    def reach(self, state: State, move: _Move, side: range, following: list[State]) -> None:
        """Notes the states in which the device holds the layers from one of `side` on, as long as they may be better.

        The relaxed total is convex in the start: away from its minimum, a failure ends a side.
        """
        mask, end = state
        sums, held, costs = self.relaxed.sums, self.problem.held_sums, self.costs[move.after]
        spent = self.costs[mask][end] + self.problem.device_s + move.slot.once_s
        price = self.relaxed.prices[move.device]
        below = self.best.seconds - self.least_first_s
        (edges, lines), relaxed = move.steps, self.relaxed
        forced = sums[relaxed.forced]
        relaxed_below = (below - (forced * relaxed.host_s if forced else 0.0)) * GROWN
        block = self.problem.layer_sums[move.device]
        for start in side:
            size = sums[start] - forced
            base, line = lines[bisect_left(edges, size)]
            if spent + (sums[end] - sums[start]) * price + base + size * line >= relaxed_below:
                break
            seconds = spent + block[end] - block[start]
            if costs[start] <= seconds:
                continue
            if (held[start] <= move.room and seconds + base + size * line < relaxed_below) or (
                seconds + relaxed.tight(move.after, start) < below
            ):
                if costs[start] == INFINITE:
                    following.append((move.after, start))
                costs[start] = seconds
                self.parents[move.after, start] = state, move.device

    def close(self, state: State) -> None:
        """Lets every device that is left be the first one, and the host hold the rest."""
        mask, end = state
        if not mask:
            return
        spent = self.costs[mask][end] + self.problem.device_s
        for move in self.moves(mask):
            host = self.host_layers(move.device, end)
            if host is None:
                continue
            first = self.problem.first_s(move.device, host)
            seconds = spent + move.slot.once_s + self.problem.block_s(move.device, host, end) + first
            if seconds < self.best.seconds:
                order, starts = self.trace(state)
                self.best.offer(seconds, (move.device, *order), (host, *starts))

    def host_layers(self, device: int, end: int) -> int | None:
        """How many layers stay on the host when `device` is the first one and its block ends before `end`."""
        key = (device, end)
        if key not in self.known_close:
            partial = self.relaxed.forced > 0
            self.known_close[key] = _close(self.problem, partial, end, device, self.roles.first)
        return self.known_close[key]

    def trace(self, state: State) -> tuple[tuple[int, ...], tuple[int, ...]]:
        order, starts = [], []
        while state in self.parents:
            starts.append(state[1])
            state, device = self.parents[state]
            order.append(device)
        return tuple(order), tuple(starts)


def sides(move: _Move, lowest: int, end: int) -> tuple[range, range]:
    """The first layers of a block to try, from where it should start to both sides."""
    middle = min(max(move.middle, lowest), end - 1)
    return range(middle, lowest - 1, -1), range(middle + 1, end)
