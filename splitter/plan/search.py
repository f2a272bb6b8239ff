"""The exact search: which devices, in which order, hold how many layers, for the least seconds per token.

Pure numbers in, pure numbers out. Layers are contiguous: the host holds the first h, then the devices in order; the
last device holds the output layer. A state is (devices used from the end, first layer they hold); its cost is the least
time found for those layers. Blocks are tried around the point that a relaxation (every device full of its best window,
in order of bandwidth) calls best, and a state whose relaxed completion cannot beat the incumbent is dropped, so the
result is optimal for the given role costs.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

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
    held_sums: tuple[int, ...] = field(init=False, repr=False, compare=False)
    read_sums: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
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
        for index, slot in enumerate(self.slots[:stop]):
            if not mask >> index & 1 and (self.ordered or slot not in seen):
                seen.add(slot)
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

    def __init__(self, states: float = float("inf")) -> None:
        self.states = states

    def spend(self) -> bool:
        """Whether one more state may be looked at."""
        self.states -= 1
        return self.states > 0


def search(
    problem: Problem, *, below_s: float = float("inf"), effort: Effort | None = None, quick: bool = False
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
    relaxed = _Relaxation(problem, (problem.whole, problem.partial), host=True, coarse=True)
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
    """A lower bound on the time of layers 0..end-1 on the devices that a mask leaves over, and the host."""

    def __init__(self, problem: Problem, roles: Sequence[Roles], host: bool, coarse: bool = False) -> None:
        self.problem = problem
        self.host_s = problem.host_s_per_byte if host else float("inf")
        needs = [need for r in roles for need in (r.only, r.first, r.middle, r.last)]
        least = (min(n[0] for n in needs), min(n[1] for n in needs), min(n[2] for n in needs))
        self.rooms = [max(slot.capacity_bytes - least[0], 0) for slot in problem.slots]
        if coarse:
            ratio = max(read / held for read, held in zip(problem.read, problem.held, strict=True) if held)
            windows = [int(room * ratio) + 1 for room in self.rooms]
        else:
            windows = [_best_window(problem, slot.capacity_bytes, least) for slot in problem.slots]
        fastest = sorted(range(len(windows)), key=lambda d: (problem.slots[d].s_per_byte, d))
        self.ranked = [(1 << d, windows[d], problem.slots[d].s_per_byte) for d in fastest]
        self.tables: dict[int, list[tuple[int, float]]] = {}
        self.room: dict[int, int] = {}
        self.loose_rows: dict[int, list[float]] = {}
        self.known_least: dict[State, float] = {}
        self.best_starts: dict[tuple[int, float], int] = {}

    def room_left(self, mask: int) -> int:
        """Bytes that all devices outside `mask` can hold."""
        room = self.room.get(mask)
        if room is None:
            room = sum(size for d, size in enumerate(self.rooms) if not mask >> d & 1)
            self.room[mask] = room
        return room

    def tight(self, mask: int, end: int) -> float:
        """Like `seconds`, and what no device has room for is read by the host."""
        sums = self.problem.held_sums
        excess = sums[end] - self.room_left(mask)
        if excess <= 0:
            return self.seconds(mask, end)
        if self.host_s == float("inf"):
            return self.host_s
        forced = bisect_left(sums, excess)
        return self.seconds(mask, end, self.problem.read_sums[forced])

    def left(self, mask: int) -> list[tuple[int, float]]:
        """(bytes read, seconds per byte) of every device outside `mask`, fastest first."""
        table = self.tables.get(mask)
        if table is None:
            table = [(window, cost) for bit, window, cost in self.ranked if not mask & bit]
            self.tables[mask] = table
        return table

    def seconds(self, mask: int, end: int, on_host: int = 0) -> float:
        """Every device left takes its best window, the fastest first; `on_host` bytes are read by the host anyway."""
        rest = self.problem.read_sums[end] - on_host
        total = on_host * self.host_s if on_host else 0.0
        for window, cost in self.left(mask):
            if cost >= self.host_s:
                break
            if rest <= window:
                return total + rest * cost
            total += window * cost
            rest -= window
        return total + rest * self.host_s if rest else total

    def loose_row(self, mask: int) -> list[float]:
        """`seconds` of every end."""
        row = self.loose_rows.get(mask)
        if row is None:
            row = self.loose_rows[mask] = self._loose_row(mask)
        return row

    def _loose_row(self, mask: int) -> list[float]:
        sums = self.problem.read_sums
        row: list[float] = []
        total, read = 0.0, 0
        for window, cost in (*self.left(mask), (sums[-1], self.host_s)):
            taken, price = (window, cost) if cost < self.host_s else (sums[-1], self.host_s)
            stop = bisect_right(sums, read + taken)
            base = total - read * price if price < INFINITE else INFINITE
            row += [base + size * price if size else 0.0 for size in sums[len(row) : stop]]
            total, read = total + taken * price, read + taken
            if stop == len(sums):
                break
        return row

    def least(self, mask: int, end: int) -> float:
        """`tight`, remembered."""
        known = self.known_least.get((mask, end))
        if known is None:
            known = self.known_least[mask, end] = self.tight(mask, end)
        return known

    def best_start(self, mask: int, s_per_byte: float) -> int:
        """The first layer that a device of this speed should hold: those before it fill the faster devices left."""
        key = (mask, s_per_byte)
        start = self.best_starts.get(key)
        if start is None:
            start = self.best_starts[key] = self._best_start(mask, s_per_byte)
        return start

    def _best_start(self, mask: int, s_per_byte: float) -> int:
        if self.host_s < s_per_byte:
            return len(self.problem.held)
        faster = sum(window for window, cost in self.left(mask) if cost < s_per_byte)
        return bisect_right(self.problem.read_sums, faster) - 1


def _best_window(problem: Problem, capacity: int, need: Need) -> int:
    """The most bytes per token that contiguous layers within `capacity` bytes can read."""
    sums = problem.read_sums
    return max(sums[end] - sums[problem.start(end, capacity, need)] for end in range(1, len(sums)))


INFINITE = float("inf")
State = tuple[int, int]  # (mask of devices used, first layer they hold)


def _on_many(problem: Problem, roles: Roles, partial: bool, best: _Best, passes: Sequence[bool]) -> None:
    """Two devices and more: a quick pass that fills every device gives the incumbent, the second pass is exact."""
    coarse = _Relaxation(problem, (roles,), host=partial, coarse=True)
    if len(problem.slots) < 2 or coarse.tight(0, len(problem.held)) >= best.seconds:
        return
    relaxed = _Relaxation(problem, (roles,), host=partial)
    for exact in passes:
        _Sweep(problem, roles, partial, relaxed, best, exact).run()


@dataclass(slots=True)
class _Sweep:
    """One pass over the states, from the output layer backwards, one more device per level."""

    problem: Problem
    roles: Roles
    partial: bool
    relaxed: _Relaxation
    best: _Best
    exact: bool
    costs: dict[State, float] = field(default_factory=dict)
    parents: dict[State, tuple[State, int]] = field(default_factory=dict)
    known_left: dict[int, tuple[int, ...]] = field(default_factory=dict)
    known_lowest: dict[tuple[int, int, bool], int] = field(default_factory=dict)
    known_close: dict[State, int | None] = field(default_factory=dict)

    def run(self) -> None:
        start = (0, len(self.problem.held))
        self.costs[start] = 0.0
        level = [start]
        while level:
            following: dict[State, None] = {}
            for state in level:
                least = self.costs[state] + self.relaxed.least(*state)
                if least < self.best.seconds and self.best.effort.spend():
                    self.close(state)
                    following.update(dict.fromkeys(self.extend(state)))
            level = list(following)

    def left(self, mask: int) -> tuple[int, ...]:
        """The devices that may precede those in `mask`."""
        if mask not in self.known_left:
            self.known_left[mask] = tuple(self.problem.candidates(mask))
        return self.known_left[mask]

    def lowest(self, device: int, end: int, is_last: bool) -> int:
        """The first layer of the longest block of `device` that ends before `end`, at least 1."""
        key = (device, end, is_last)
        lowest = self.known_lowest.get(key)
        if lowest is None:
            need = self.roles.last if is_last else self.roles.middle
            lowest = max(self.problem.start(end, self.problem.slots[device].capacity_bytes, need), 1)
            self.known_lowest[key] = lowest
        return lowest

    def extend(self, state: State) -> list[State]:
        """The states with one more device that are new or cheaper than before and may beat the incumbent."""
        mask, end = state
        spent = self.costs[state] + self.problem.hop_s
        following: list[State] = []
        for device in self.left(mask):
            lowest = self.lowest(device, end, not mask)
            if lowest < end:
                after = mask | 1 << device
                slot = self.problem.slots[device]
                for side in self.sides(after, slot, lowest, end):
                    self.reach(state, device, spent, side, following)
        return following

    def reach(self, state: State, device: int, spent: float, side: range, following: list[State]) -> None:
        """Notes the states in which `device` holds the layers from one of `side` on, as long as they may be better."""
        mask, end = state
        after, cost = mask | 1 << device, self.problem.slots[device].s_per_byte
        sums, held, costs, below = self.problem.read_sums, self.problem.held_sums, self.costs, self.best.seconds
        if not self.exact:
            self.reach_one(state, device, spent + (sums[end] - sums[side[0]]) * cost, side[0], following)
            return
        loose, room = self.relaxed.loose_row(after), self.relaxed.room_left(after)
        for start in side:
            seconds = spent + (sums[end] - sums[start]) * cost
            if seconds + loose[start] >= below:
                break
            reached = (after, start)
            known = costs.get(reached)
            if known is not None and known <= seconds:
                continue
            if held[start] <= room or seconds + self.relaxed.least(after, start) < below:
                costs[reached] = seconds
                self.parents[reached] = (state, device)
                following.append(reached)

    def reach_one(self, state: State, device: int, seconds: float, start: int, following: list[State]) -> None:
        """`reach` for a single first layer, without a row of bounds."""
        reached = (state[0] | 1 << device, start)
        if seconds < self.costs.get(reached, INFINITE) and seconds + self.relaxed.least(*reached) < self.best.seconds:
            self.costs[reached] = seconds
            self.parents[reached] = (state, device)
            following.append(reached)

    def sides(self, after: int, slot: Slot, lowest: int, end: int) -> tuple[range, ...]:
        """First layers to try. The relaxed total is convex in it: away from its minimum, a failure ends a side."""
        if not self.exact:
            return (range(lowest, lowest + 1),)
        middle = min(max(self.relaxed.best_start(after, slot.s_per_byte), lowest), end - 1)
        return (range(middle, lowest - 1, -1), range(middle + 1, end))

    def close(self, state: State) -> None:
        """Lets every device that is left be the first one, and the host hold the rest."""
        mask, end = state
        if not mask:
            return
        sums = self.problem.read_sums
        spent = self.costs[state] + self.problem.hop_s
        for device in self.left(mask):
            host = self.host_layers(device, end)
            if host is None:
                continue
            slot = self.problem.slots[device]
            seconds = spent + (sums[end] - sums[host]) * slot.s_per_byte + self.problem.host_s(host)
            if seconds < self.best.seconds:
                order, starts = self.trace(state)
                self.best.offer(seconds, (device, *order), (host, *starts))

    def host_layers(self, device: int, end: int) -> int | None:
        """How many layers stay on the host when `device` is the first one and its block ends before `end`."""
        key = (device, end)
        if key not in self.known_close:
            self.known_close[key] = _close(
                self.problem, self.partial, end, self.problem.slots[device], self.roles.first
            )
        return self.known_close[key]

    def trace(self, state: State) -> tuple[tuple[int, ...], tuple[int, ...]]:
        order, starts = [], []
        while state in self.parents:
            starts.append(state[1])
            state, device = self.parents[state]
            order.append(device)
        return tuple(order), tuple(starts)
