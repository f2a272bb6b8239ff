"""Equal plans: layers moved between neighbouring cards, at no cost, until the fullest card has the most room."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from splitter.plan.costs import block_placement, turn_seconds
from splitter.plan.finder import Solution, fits
from splitter.plan.scene import Scene
from splitter.plan.task import Task

STEPS = 64
SAME = 1 + 1e-9  # sums of floats in another order


def evened(task: Task, found: Solution) -> Solution:
    """`found`, or one that takes no longer and whose fullest device has more room; whole layers on devices only."""
    settings = found.settings
    moved = {"tensor_split", "gpu_layers"} & set(task.fixed)
    if moved or len(settings.device_order) < 2 or settings.split_mode != "layer":
        return found
    scene = task.scene.holding(settings)
    best, room = found, _least_room(scene, found)
    for _ in range(STEPS):
        better = next((o for o in _neighbours(scene, best, room) if o.seconds <= found.seconds * SAME), None)
        if better is None:
            return best
        best, room = better, _least_room(scene, better)
    return best


def _neighbours(scene: Scene, found: Solution, room: int) -> Iterator[Solution]:
    """The fullest device gives its first or last layer to a neighbour, where that leaves more room."""
    rooms = _rooms(scene, found)
    counts = [int(count) for count in found.settings.tensor_split]
    fullest = rooms.index(min(rooms))
    for other in (fullest - 1, fullest + 1):
        if 0 <= other < len(counts) and counts[fullest] > 1 and rooms[other] > room:
            changed = list(counts)
            changed[fullest], changed[other] = changed[fullest] - 1, changed[other] + 1
            moved = _with_counts(scene, found, changed)
            if _least_room(scene, moved) > room:
                yield moved


def _with_counts(scene: Scene, found: Solution, counts: Sequence[int]) -> Solution:
    settings = replace(found.settings, tensor_split=tuple(map(float, counts)))
    placement = block_placement(len(found.placement.layers) - sum(counts), counts)
    memory = scene.memory(settings)
    seconds = turn_seconds(scene, settings, placement)
    trial = Solution(settings, placement, seconds)
    return trial if fits(scene, settings, memory.footprint(placement)) else replace(trial, seconds=float("inf"))


def _rooms(scene: Scene, found: Solution) -> list[int]:
    """What is left of each device's budget."""
    uses = scene.memory(found.settings).footprint(found.placement).devices
    devices = scene.devices(found.settings.device_order)
    return [scene.budget_bytes(device) - use.used_bytes() for device, use in zip(devices, uses, strict=True)]


def _least_room(scene: Scene, found: Solution) -> int:
    return min(_rooms(scene, found))
