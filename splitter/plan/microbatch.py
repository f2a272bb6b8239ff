"""The micro-batch (-ub): 512 unless a smaller one pays, or nothing else fits."""

from splitter.plan.fastest import find_fastest, may_divide, on_fastest
from splitter.plan.finder import Found, in_ram
from splitter.plan.task import Task

# A smaller micro-batch frees compute buffers but slows prompts: the largest is taken that generates within this of the
# smallest, which leaves the most memory to layers. Every size is compared with that one plan alone, so that a little
# more memory cannot lead down another path to a slower plan.
SMALLER_UBATCH_GAIN = 0.015
LEAST, BETWEEN = 64, (128, 256)


def best_at(task: Task, context_size: int) -> Found | None:
    """The fastest at a context; a smaller micro-batch only where it pays, or where nothing else fits."""
    usual = find_fastest(task, context_size)
    if {"ubatch_size", "batch_size"} & set(task.fixed) or (usual and on_fastest(task, usual)):
        return usual
    least = find_fastest(task, context_size, below_s=_to_beat(task, usual), **ubatch(task, LEAST))
    if least is None or (usual and usual.seconds <= least.seconds * (1 + SMALLER_UBATCH_GAIN)):
        return usual
    best, enough = least, least.seconds * (1 + SMALLER_UBATCH_GAIN)
    for size in BETWEEN:
        below_s = float("inf") if in_ram(least.settings, least.placement) else enough
        found = find_fastest(task, context_size, below_s=below_s, **ubatch(task, size))
        if found is None or found.seconds > enough:
            break
        best = found
    return best


def _to_beat(task: Task, usual: Found | None) -> float:
    """Seconds that whole layers must stay below; moving single tensors on top may bring any amount."""
    if usual is None or may_divide(task, usual):
        return float("inf")
    return usual.seconds / (1 + SMALLER_UBATCH_GAIN)


def ubatch(task: Task, size: int) -> dict[str, int]:
    """The fields of a micro-batch; koboldcpp has one batch size."""
    both = task.scene.engine == "koboldcpp"
    return {"ubatch_size": size, "batch_size": size} if both else {"ubatch_size": size}
