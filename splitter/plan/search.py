"""The exact search: which devices, in which order, hold how many layers, for the least seconds per token.

Pure numbers in, pure numbers out. Layers are contiguous: the host holds the first h, then the devices in order; the
last device holds the output layer. A state is (devices used from the end, first layer they hold); its cost is the least
time found for those layers. Blocks are tried around the point that a relaxation (every device full of its best window,
in order of bandwidth) calls best, and a state whose relaxed completion cannot beat the incumbent is dropped, so the
result is optimal for the given role costs.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from operator import itemgetter

INFINITE = float("inf")
State = tuple[int, int]  # (mask of devices used, first layer they hold)
Steps = tuple[list[int], list[tuple[float, float]]]
"""Bytes up to which each line (seconds at zero bytes, seconds per byte) holds; the last line holds beyond all."""
# Breaks ties towards fewer devices; 0.1 microseconds per hop is below any measurable cost.
TIE_S = 1e-7


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
    """One device as the search sees it: bytes it can hold (free less margin and overhead), seconds per byte read."""

    capacity_bytes: int
    s_per_byte: float


@dataclass(frozen=True, slots=True)
class Problem:
    """One configuration of memory-relevant settings on a set of devices.

    `held` are bytes a layer needs on its device, `read` bytes it reads per token, both with the output layer last.
    `whole` and `partial` are the roles without and with layers on the host. `host_room_layers` is how many leading
    layers the host's RAM can take; `host_layers` fixes their number (None: free); `extra_s` is time that no placement
    changes; `hop_s` the cost of one more device. `ordered` keeps the slots in their order (a slot may stay empty).
    """

    held: tuple[int, ...]
    read: tuple[int, ...]
    slots: tuple[Slot, ...]
    whole: Roles
    partial: Roles
    host_s_per_byte: float
    host_room_layers: int
    host_layers: int | None = None
    extra_s: float = 0.0
    hop_s: float = TIE_S
    ordered: bool = False
    kinds: tuple[int, ...] = field(init=False, repr=False, compare=False)
    held_sums: tuple[int, ...] = field(init=False, repr=False, compare=False)
    read_sums: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(map(self.slots.index, self.slots)))
        object.__setattr__(self, "held_sums", (0, *accumulate(self.held)))
        object.__setattr__(self, "read_sums", (0, *accumulate(self.read)))

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

    def host_s(self, host_layers: int) -> float:
        return self.read_sums[host_layers] * self.host_s_per_byte

    def candidates(self, mask: int) -> Iterator[int]:
        """Slots that may precede those in `mask`; of equal ones only the first, as the others assign the same."""
        seen = set()
        stop = len(self.slots) if not (mask and self.ordered) else (mask & -mask).bit_length() - 1
        for index, kind in enumerate(self.kinds[:stop]):
            if not mask >> index & 1 and (self.ordered or kind not in seen):
                seen.add(kind)
                yield index

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
    return problem.extra_s + relaxed.tight(0, len(problem.held))


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
    layers = len(problem.held)
    if problem.allows(layers):
        best.offer(problem.host_s(layers), (), ())


def _close(problem: Problem, partial: bool, end: int, slot: Slot, need: Need) -> int | None:
    """How many layers stay on the host when `slot` is the first device and its block ends before layer `end`.

    The faster of the two takes all it can; None when that does not fit.
    """
    start = problem.start(end, slot.capacity_bytes, need)
    if start == end:
        return None
    if not partial:
        return 0 if start == 0 else None
    most = min(problem.host_room_layers, end - 1)
    host = problem.host_layers
    if host is None:
        host = most if problem.host_s_per_byte < slot.s_per_byte else max(start, 1)
    return host if max(start, 1) <= host <= most else None


def _on_one(problem: Problem, roles: Roles, partial: bool, best: _Best) -> None:
    layers = len(problem.held)
    for index, slot in enumerate(problem.slots):
        host = _close(problem, partial, layers, slot, roles.only)
        if host is not None:
            read = problem.read_sums[layers] - problem.read_sums[host]
            best.offer(problem.host_s(host) + read * slot.s_per_byte + problem.hop_s, (index,), (host,))


class _Relaxation:
    """A lower bound on the time of layers 0..end-1 on the devices that a mask leaves over, and the host.

    Every device takes bytes up to its best window at its price, a full one paying the whole hop. With a `host` the
    first `forced` layers are its own.
    """

    def __init__(
        self, problem: Problem, needs: Iterable[Need], host: bool, forced: int = 0, coarse: bool = False
    ) -> None:
        self.problem, self.forced = problem, forced
        self.host_s = problem.host_s_per_byte if host else INFINITE
        least: Need = (*map(min, zip(*needs, strict=True)),)
        if coarse:
            self.rooms = [max(slot.capacity_bytes - least[0], 0) for slot in problem.slots]
            ratio = max(read / held for read, held in zip(problem.read, problem.held, strict=True) if held)
            windows = [int(room * ratio) + 1 for room in self.rooms]
        else:
            blocks = [_windows(problem, slot.capacity_bytes, least) for slot in problem.slots]
            self.rooms, windows = [held for held, _ in blocks], [read for _, read in blocks]
        prices = [
            slot.s_per_byte + problem.hop_s / max(window, 1)
            for slot, window in zip(problem.slots, windows, strict=True)
        ]
        fastest = sorted(range(len(prices)), key=lambda d: (prices[d], d))
        self.ranked = [(1 << d, windows[d], prices[d]) for d in fastest if prices[d] < self.host_s]
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
        read, total = 0, 0.0
        for bit, window, price in self.ranked:
            if not mask & bit:
                lines.append((total - read * price, price))
                read, total = read + window, total + window * price
                edges.append(read)
        rest = (total - read * self.host_s, self.host_s) if self.host_s < INFINITE else (INFINITE, 0.0)
        return edges, [*lines, rest]

    def seconds(self, mask: int, end: int, on_host: int = 0) -> float:
        """Every device left takes its best window, the fastest first; `on_host` layers are on the host anyway."""
        sums = self.problem.read_sums
        first = sums[max(on_host, self.forced)]
        edges, lines = self.steps(mask)
        size = sums[end] - first
        base, price = lines[bisect_left(edges, size)]
        return base + size * price + (first * self.host_s if first else 0.0)

    def tight(self, mask: int, end: int) -> float:
        """Like `seconds`, and what no device has room for is read by the host."""
        sums = self.problem.held_sums
        excess = sums[end] - self.room_left(mask)
        if excess > 0 and self.host_s == INFINITE:
            return INFINITE
        return self.seconds(mask, end, bisect_left(sums, excess) if excess > 0 else 0)

    def best_start(self, mask: int, s_per_byte: float) -> int:
        """The first layer that a device of this speed should hold: those before it fill the faster devices left."""
        if self.host_s < s_per_byte:
            return len(self.problem.held)
        sums, (edges, lines) = self.problem.read_sums, self.steps(mask)
        faster = bisect_left(lines, s_per_byte, 0, len(edges), key=itemgetter(1))
        return bisect_right(sums, sums[self.forced] + (edges[faster - 1] if faster else 0)) - 1


def _windows(problem: Problem, capacity: int, need: Need) -> tuple[int, int]:
    """The most bytes that contiguous layers within `capacity` bytes can hold, and read per token."""
    held, read = problem.held_sums, problem.read_sums
    starts = [(end, problem.start(end, capacity, need)) for end in range(1, len(read))]
    return max(held[e] - held[s] for e, s in starts), max(read[e] - read[s] for e, s in starts)


def _on_many(problem: Problem, roles: Roles, partial: bool, best: _Best, passes: Sequence[bool]) -> None:
    """Two devices and more: a quick pass that fills every device gives the incumbent, the second pass is exact."""
    needs, forced = roles.several(), (problem.host_layers or 1) if partial else 0
    coarse = _Relaxation(problem, needs, partial, forced, coarse=True)
    if len(problem.slots) < 2 or coarse.tight(0, len(problem.held)) >= best.seconds:
        return
    relaxed = _Relaxation(problem, needs, partial, forced)
    if relaxed.tight(0, len(problem.held)) >= best.seconds:
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
        self.costs: dict[int, list[float]] = {}
        self.parents: dict[State, tuple[State, int]] = {}

    def run(self, exact: bool) -> None:
        """Not `exact`: every device takes all it can."""
        layers = len(self.problem.held)
        self.costs, self.parents = {0: [INFINITE] * layers + [0.0]}, {}
        level = [(0, layers)]
        while level:
            following: list[State] = []
            for state in level:
                mask, end = state
                least = self.costs[mask][end] + self.relaxed.tight(mask, end)
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
        middle, room = self.relaxed.best_start(after, slot.s_per_byte), self.relaxed.room_left(after)
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
                    self.costs[move.after] = [INFINITE] * len(self.problem.read_sums)
                for side in sides(move, lowest, end) if exact else (range(lowest, lowest + 1),):
                    self.reach(state, move, side, following)

    def reach(self, state: State, move: _Move, side: range, following: list[State]) -> None:
        """Notes the states in which the device holds the layers from one of `side` on, as long as they may be better.

        The relaxed total is convex in the start: away from its minimum, a failure ends a side.
        """
        mask, end = state
        sums, held, costs = self.problem.read_sums, self.problem.held_sums, self.costs[move.after]
        spent, below, price = self.costs[mask][end] + self.problem.hop_s, self.best.seconds, move.slot.s_per_byte
        (edges, lines), relaxed = move.steps, self.relaxed
        forced = sums[relaxed.forced]
        if forced:
            below -= forced * relaxed.host_s
        for start in side:
            seconds = spent + (sums[end] - sums[start]) * price
            size = sums[start] - forced
            base, line = lines[bisect_left(edges, size)]
            if seconds + base + size * line >= below:
                break
            if costs[start] <= seconds:
                continue
            if held[start] <= move.room or seconds + relaxed.tight(move.after, start) < self.best.seconds:
                if costs[start] == INFINITE:
                    following.append((move.after, start))
                costs[start] = seconds
                self.parents[move.after, start] = state, move.device

    def close(self, state: State) -> None:
        """Lets every device that is left be the first one, and the host hold the rest."""
        mask, end = state
        if not mask:
            return
        sums = self.problem.read_sums
        spent = self.costs[mask][end] + self.problem.hop_s
        for move in self.moves(mask):
            host = self.host_layers(move.device, end)
            if host is None:
                continue
            seconds = spent + (sums[end] - sums[host]) * move.slot.s_per_byte + self.problem.host_s(host)
            if seconds < self.best.seconds:
                order, starts = self.trace(state)
                self.best.offer(seconds, (move.device, *order), (host, *starts))

    def host_layers(self, device: int, end: int) -> int | None:
        """How many layers stay on the host when `device` is the first one and its block ends before `end`."""
        key = (device, end)
        if key not in self.known_close:
            slot, partial = self.problem.slots[device], self.relaxed.forced > 0
            self.known_close[key] = _close(self.problem, partial, end, slot, self.roles.first)
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
