"""The micro-batch (-ub): 512 unless a smaller one pays, or nothing else fits."""

from splitter.plan.fastest import find_fastest
from splitter.plan.finder import Found
from splitter.plan.task import Task

# A smaller micro-batch frees compute buffers but slows prompts: each halving must bring this much generation speed.
SMALLER_UBATCH_GAIN = 0.01
SMALLER = (256, 128, 64)
FRACTIONS_MAY_BRING = 1.1  # whole layers must come this close to what is to beat; moving single tensors may do the rest
LAST_RESORTS = (256, 128, 64)


def best_at(task: Task, context_size: int) -> Found | None:
    """The fastest at a context; a smaller micro-batch only where it pays, or where nothing else fits."""
    found = find_fastest(task, context_size)
    if {"ubatch_size", "batch_size"} & set(task.fixed):
        return found
    if found is None:
        smaller = (find_fastest(task, context_size, **ubatch(task, size)) for size in LAST_RESORTS)
        return next((other for other in smaller if other is not None), None)
    if found.placement.layers[0] is not None and len(found.settings.device_order) < 2 and not found.settings.n_cpu_moe:
        return found
    best, to_beat = found, found.seconds
    for size in SMALLER:
        to_beat /= 1 + SMALLER_UBATCH_GAIN
        other = find_fastest(task, context_size, below_s=to_beat * FRACTIONS_MAY_BRING, **ubatch(task, size))
        if other and other.seconds < to_beat:
            best, to_beat = other, other.seconds
    return best


def ubatch(task: Task, size: int) -> dict[str, int]:
    """The fields of a micro-batch; koboldcpp has one batch size."""
    both = task.scene.engine == "koboldcpp"
    return {"ubatch_size": size, "batch_size": size} if both else {"ubatch_size": size}
