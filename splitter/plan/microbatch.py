"""The micro-batch (-ub, and -b with it): the one with the shortest turn."""

from collections.abc import Iterator

from splitter.memory.settings import Settings
from splitter.plan.fastest import find_fastest
from splitter.plan.finder import Solution
from splitter.plan.task import Task

SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
MOST = {"koboldcpp": 4096}  # by engine: the largest that it takes
# A turn that is longer by less than this is as good: then the engine's own micro-batch is kept, else the larger one,
# for longer prompts than the workload's gain by it.
AS_GOOD = 0.005


def best_at(task: Task, context_size: int) -> Solution | None:
    """The fastest at a context, with the micro-batch that makes the turn shortest."""
    if {"ubatch_size", "batch_size"} & set(task.fixed):
        return find_fastest(task, context_size)
    usual = find_fastest(task, context_size)
    found = [usual] if usual else []
    for size in _others(task, context_size):
        least = min((other.seconds for other in found), default=float("inf"))
        other = find_fastest(task, context_size, below_s=least * (1 + AS_GOOD), **ubatch(task, size))
        found += [other] if other else []
    if not found:
        return None
    good = min(other.seconds for other in found) * (1 + AS_GOOD)
    if usual and usual.seconds <= good:
        return usual
    return max((other for other in found if other.seconds <= good), key=lambda other: other.settings.ubatch_size)


def _others(task: Task, context_size: int) -> Iterator[int]:
    """The sizes to try besides the engine's own, the larger ones first."""
    most = min(context_size, MOST.get(task.scene.engine, SIZES[-1]))
    own = usual_ubatch(task)
    yield from (size for size in SIZES if own < size <= most)
    yield from (size for size in reversed(SIZES) if size < own)


def usual_ubatch(task: Task) -> int:
    """The engine's own micro-batch."""
    return task.settings(context_size=256).ubatch_size


def ubatch(task: Task, size: int) -> dict[str, int]:
    """The fields of a micro-batch; koboldcpp has one batch size, llama.cpp's logical one is no smaller."""
    if task.scene.engine == "koboldcpp":
        return {"ubatch_size": size, "batch_size": size}
    return {"ubatch_size": size, "batch_size": max(size, Settings.__dataclass_fields__["batch_size"].default)}
