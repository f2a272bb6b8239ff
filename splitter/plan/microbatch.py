"""The micro-batch (-ub): 512 unless a smaller one pays, or nothing else fits."""

from splitter.plan.fastest import find_fastest, least_seconds, may_be_alone, may_divide, on_fastest
from splitter.plan.finder import Solution, in_ram
from splitter.plan.task import Task

# A smaller micro-batch frees compute buffers but slows prompts: the largest is taken that generates within this of the
# smallest, which leaves the most memory to layers. Every size is compared with that one plan alone, so that a little
# more memory cannot lead down another path to a slower plan.
SMALLER_UBATCH_GAIN = 0.015
LEAST, BETWEEN = 64, (128, 256)


def best_at(task: Task, context_size: int) -> Solution | None:
    """The fastest at a context; a smaller micro-batch only where it pays, or where nothing else fits.

    The smallest one is planned first where not everything fits on the fastest device: its time cuts the others short.
    """
    if {"ubatch_size", "batch_size"} & set(task.fixed):
        return find_fastest(task, context_size)
    if may_be_alone(task, context_size):
        usual = find_fastest(task, context_size)
        if usual and on_fastest(task, usual):
            return usual
    least = find_fastest(task, context_size, **ubatch(task, LEAST))
    return _largest(task, context_size, least) if least else find_fastest(task, context_size)


def _largest(task: Task, context_size: int, least: Solution) -> Solution:
    """The largest micro-batch that is fast enough beside the smallest: the usual one, or as far as all between are."""
    usual = _fast_enough(task, context_size, least, {})
    best = least
    for size in () if usual else BETWEEN:
        found = _fast_enough(task, context_size, least, ubatch(task, size))
        if found is None:
            break
        best = found
    return usual or best


def _fast_enough(task: Task, context_size: int, least: Solution, chosen: dict[str, int]) -> Solution | None:
    """The fastest with a `chosen` micro-batch (none: the usual one) if that is fast enough beside the smallest."""
    enough = least.seconds * (1 + SMALLER_UBATCH_GAIN)
    below_s = enough
    if in_ram(least.settings, least.placement):
        wanted = task.settings(context_size=context_size, **chosen)
        sizes = {"ubatch_size": wanted.ubatch_size, "batch_size": wanted.batch_size}
        far = sizes["ubatch_size"] > BETWEEN[0]  # the smallest and the next are too close for a bound between them
        if far and may_divide(task, least) and least_seconds(task, least, **sizes) > enough:
            return None
        below_s = float("inf")
    found = find_fastest(task, context_size, below_s=below_s, enough_s=enough, **chosen)
    return found if found and found.seconds <= enough else None


def ubatch(task: Task, size: int) -> dict[str, int]:
    """The fields of a micro-batch."""
    return task.scene.engine.batches(size)
