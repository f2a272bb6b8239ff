"""The three goals: the fastest at a context, the longest context, and the knee between them."""

from dataclasses import dataclass

from splitter.plan.defaults import CONTEXT_STEP, default_context
from splitter.plan.fastest import Found, find_fastest
from splitter.plan.refuse import does_not_fit
from splitter.plan.request import Request
from splitter.plan.task import Task

# A smaller micro-batch frees compute buffers but slows prompts: it must bring this much generation speed.
SMALLER_UBATCH_GAIN = 0.01
SMALLER_UBATCH = 256
LAST_RESORTS = (256, 128, 64)
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
    other = find_fastest(task, context_size, **ubatch(task, SMALLER_UBATCH))
    return other if other and other.seconds * (1 + SMALLER_UBATCH_GAIN) < found.seconds else found


def ubatch(task: Task, size: int) -> dict[str, int]:
    """The fields of a micro-batch; koboldcpp has one batch size."""
    both = task.scene.engine == "koboldcpp"
    return {"ubatch_size": size, "batch_size": size} if both else {"ubatch_size": size}


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
    keep = {"gpu_layers": settings.gpu_layers, "ubatch_size": settings.ubatch_size, "batch_size": settings.batch_size}
    if settings.n_cpu_moe:
        keep["n_cpu_moe"] = settings.n_cpu_moe
    return task.fixing(**{name: value for name, value in keep.items() if name not in task.fixed})


def _bisect(task: Task, start: Found, least: int, most: int) -> Found:
    """The fit with the largest context between `least` (which fits) and `most`, in steps of 256."""
    whole = find_fastest(task, most)
    if whole is not None:
        return whole
    best, low, high = start, least // CONTEXT_STEP, most // CONTEXT_STEP
    while high - low > 1:
        middle = (low + high) // 2
        found = find_fastest(task, middle * CONTEXT_STEP)
        if found is None:
            high = middle
        else:
            best, low = found, middle
    return best


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
