"""The three goals: the fastest at a context, the longest context, and the knee between them."""

from dataclasses import dataclass, replace
from typing import Any

from splitter.plan.defaults import CONTEXT_STEP, default_context
from splitter.plan.fastest import find_fastest
from splitter.plan.finder import PIPELINE_OFF, Found
from splitter.plan.microbatch import best_at
from splitter.plan.refuse import does_not_fit
from splitter.plan.request import Request
from splitter.plan.task import Task

KNEE = 0.9
LONGEST_UNKNOWN = 131072


@dataclass(frozen=True, slots=True)
class Choice:
    """A proven placement with the words for why this context and this micro-batch."""

    found: Found
    reasons: tuple[str, ...] = ()


def choose(task: Task, request: Request) -> Choice:
    """The placement that meets the request's goal; DoesNotFitError if there is none."""
    fixed = task.fixed.get("context_size")
    if request.context_max or (request.goal == "context" and fixed is None):
        return longest(task)
    if request.goal == "balanced" and fixed is None:
        return balanced(task)
    context_size = int(fixed or default_context(task.scene.facts))
    found = best_at(task, context_size)
    if found is None:
        raise does_not_fit(task, context_size)
    return Choice(found, (*context_reason(task, fixed), *_ubatch_reason(task, found)))


def context_reason(task: Task, fixed: int | None) -> tuple[str, ...]:
    """Says which context was planned for when the user named none."""
    if fixed:
        return ()
    facts = task.scene.facts
    size = default_context(facts)
    of = f"of the model's {facts.context_train}" if facts.context_train else "(the model names no limit)"
    return (f"planned for {size} tokens of context {of}: -c N or -c max plans for another",)


def _ubatch_reason(task: Task, found: Found) -> tuple[str, ...]:
    if "ubatch_size" in task.fixed or found.settings.ubatch_size >= task.settings(context_size=256).ubatch_size:
        return ()
    size = found.settings.ubatch_size
    return (f"-ub {size} instead of 512 frees compute memory for layers; prompts are processed more slowly",)


def longest(task: Task) -> Choice:
    """The largest context, to 256 tokens, that costs no layer its GPU.

    What stays on GPUs at the default context stays there; devices and their shares may change. The model's own
    context is the limit.
    """
    facts = task.scene.facts
    least = default_context(facts)
    start = best_at(task, least)
    if start is None:
        start, least = _largest_below(task, least)
    most = max(facts.context_train or LONGEST_UNKNOWN, least)
    kept = _keeping(task, start)
    found = _bisect(kept, start, least, most)
    size = found.settings.context_size
    limit = "the model's own limit" if size == most else "256 more would push layers off the GPUs"
    return Choice(found, (f"the longest context that keeps every layer where it is: {size} tokens ({limit})",))


def _keeping(task: Task, start: Found) -> Task:
    """`task` with the number of GPU layers and CPU experts of `start` fixed."""
    settings = start.settings
    keep: dict[str, Any] = {
        "gpu_layers": settings.gpu_layers,
        "ubatch_size": settings.ubatch_size,
        "batch_size": settings.batch_size,
    }
    keep |= {"n_cpu_moe": settings.n_cpu_moe} if settings.n_cpu_moe else {}
    if settings.override_tensors and settings.override_tensors != (PIPELINE_OFF,):
        keep["override_tensors"] = settings.override_tensors
    return task.fixing(**{name: value for name, value in keep.items() if name not in task.fixed})


def _bisect(task: Task, start: Found, least: int, most: int) -> Found:
    """The fit with the largest context between `least` (which fits) and `most`, in steps of 256.

    Need grows almost linearly with the context, so the first question is where the free memory would be used up, and
    the next ones close in on it from there.
    """
    whole = find_fastest(task, most)
    if whole is not None:
        return whole
    best, low, high = start, least // CONTEXT_STEP, most // CONTEXT_STEP
    middle, stride = _guess(task, start, low, high), 2
    while high - low > 1:
        found = find_fastest(task, middle * CONTEXT_STEP)
        if found is None:
            high, after = middle, middle - stride
        else:
            best, low, after = found, middle, middle + stride
        stride *= 4
        middle = after if low < after < high else (low + high) // 2
    return best


def _guess(task: Task, start: Found, low: int, high: int) -> int:
    """Where the budgets of all devices would be used up, in steps, if need grew as in the placement of `start`."""
    scene = task.scene
    devices = scene.usable() if "device_order" not in task.fixed else task.devices()
    need, need_at_most = (
        sum(use.breakdown_bytes() for use in scene.memory(settings).footprint(start.placement).devices)
        for settings in (start.settings, replace(start.settings, context_size=high * CONTEXT_STEP))
    )
    room = sum(max(scene.budget_bytes(device), 0) for device in devices) - need
    step_bytes = max((need_at_most - need) // max(high - low, 1), 1)
    return min(max(low + room // step_bytes, low + 1), high - 1)


def _largest_below(task: Task, context_size: int) -> tuple[Found, int]:
    """For rigs where not even the default context fits: the first shorter one that does."""
    size = context_size
    while size > CONTEXT_STEP:
        size = max(size // 2 // CONTEXT_STEP * CONTEXT_STEP, CONTEXT_STEP)
        found = best_at(task, size)
        if found is not None:
            return found, size
    raise does_not_fit(task, CONTEXT_STEP)


def balanced(task: Task) -> Choice:
    """The knee: the longest of the doubled contexts that keeps 90 % of the speed at the default context."""
    facts = task.scene.facts
    size = default_context(facts)
    first = best_at(task, size)
    if first is None:
        raise does_not_fit(task, size)
    chosen, beyond = first, None
    limit = facts.context_train or LONGEST_UNKNOWN
    while size < limit:
        size = min(2 * size, limit)
        found = best_at(task, size)
        if found is None or found.seconds * KNEE > first.seconds:
            beyond = found
            break
        chosen = found
    return Choice(chosen, (_knee_reason(first, chosen, beyond, size),))


def _knee_reason(first: Found, chosen: Found, beyond: Found | None, tried: int) -> str:
    kept = 100 * first.seconds / chosen.seconds
    text = f"{chosen.settings.context_size} tokens keep {kept:.0f} % of the speed at {first.settings.context_size}"
    if tried == chosen.settings.context_size:
        return f"{text}, and are the model's own limit"
    if beyond is None:
        return f"{text}; {tried} would not fit"
    return f"{text}; {tried} would keep {100 * first.seconds / beyond.seconds:.0f} %"
