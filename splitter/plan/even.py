"""Equal plans: layers moved between neighbouring cards, at no cost, until the fullest card has the most room."""

from collections.abc import Iterator

from splitter.plan.finder import Solution, fits, with_counts
from splitter.plan.scene import Scene
from splitter.plan.task import Task

STEPS = 64
# What counts as no longer: sums of floats in another order, and what breaks ties towards fewer devices.
SAME = 1 + 1e-9
TIES_S = 1e-6


def evened(task: Task, found: Solution) -> Solution:
    """`found`, or one that takes no longer and whose fullest device has more room; whole layers on devices only."""
    settings = found.settings
    moved = {"tensor_split", "gpu_layers"} & set(task.fixed)
    if moved or len(settings.device_order) < 2 or settings.split_mode != "layer":
        return found
    scene, most_s = task.scene.holding(settings), found.seconds * SAME + TIES_S
    best = found
    for _ in range(STEPS):
        better = next(_roomier(scene, best, most_s), None)
        if better is None:
            return best
        best = better
    return best


def _roomier(scene: Scene, found: Solution, most_s: float) -> Iterator[Solution]:
    """The fullest device gives its first or last layer to a neighbour, where that leaves more room in good time."""
    rooms = _rooms(scene, found)
    counts = [int(count) for count in found.settings.tensor_split]
    fullest = rooms.index(min(rooms))
    for other in (fullest - 1, fullest + 1):
        if 0 <= other < len(counts) and counts[fullest] > 1 and rooms[other] > rooms[fullest]:
            changed = list(counts)
            changed[fullest], changed[other] = changed[fullest] - 1, changed[other] + 1
            moved = with_counts(scene, found, changed)
            if moved.seconds <= most_s and min(_rooms(scene, moved)) > rooms[fullest] and _fits(scene, moved):
                yield moved


def _fits(scene: Scene, found: Solution) -> bool:
    return fits(scene, found.settings, scene.memory(found.settings).footprint(found.placement))


def _rooms(scene: Scene, found: Solution) -> list[int]:
    """What is left of each device's budget."""
    uses = scene.memory(found.settings).footprint(found.placement).devices
    devices = scene.devices(found.settings.device_order)
    return [scene.budget_bytes(device) - use.used_bytes() for device, use in zip(devices, uses, strict=True)]
