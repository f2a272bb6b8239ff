"""The three goals: the fastest at a context, the longest context, and the knee between them."""

from dataclasses import dataclass, replace
from typing import Any

from splitter.plan.defaults import CONTEXT_STEP, default_context
from splitter.plan.even import evened
from splitter.plan.fastest import find_fastest
from splitter.plan.finder import Solution
from splitter.plan.microbatch import SIZES, best_at, ubatch, usual_ubatch
from splitter.plan.placement import PIPELINE_OFF, in_ram
from splitter.plan.refuse import does_not_fit
from splitter.plan.request import Request
from splitter.plan.sharing import paying
from splitter.plan.task import Task

KNEE = 0.9
LONGEST_UNKNOWN = 131072


@dataclass(frozen=True, slots=True)
class Choice:
    """A proven placement with the words for why this context and this micro-batch."""

    found: Solution
    reasons: tuple[str, ...] = ()


def choose(task: Task, request: Request) -> Choice:
    """The placement that meets the request's goal; DoesNotFitError if there is none."""
    fixed = task.fixed.get("context_size")
    if request.context_max or (request.goal == "context" and fixed is None):
        choice = longest(task)
    elif request.goal == "balanced" and fixed is None:
        choice = balanced(task)
    else:
        choice = _fastest(task, int(fixed or default_context(task.scene.facts, task.scene.workload)))
    choice = _shared(task, request, Choice(evened(task, choice.found), choice.reasons))
    reasons = (*_goal_reason(request), *choice.reasons, *_ubatch_reason(task, choice.found))
    return Choice(choice.found, reasons)


def _shared(task: Task, request: Request, choice: Choice) -> Choice:
    """The same in `-sm tensor` where the goal is speed and that pays, with its price."""
    if request.context_max or request.goal != "speed":
        return choice
    shared = paying(task, choice.found)
    if shared is None:
        return choice
    saved = 100 * (1 - shared.seconds / choice.found.seconds)
    text = (
        f"-sm tensor: all cards work on every layer, a turn is {saved:.0f} % shorter than in layer mode; "
        "prompts alone are slower, and the mode is experimental"
    )
    return Choice(shared, (*choice.reasons, text))


def _fastest(task: Task, context_size: int) -> Choice:
    found = best_at(task, context_size)
    if found is None:
        raise does_not_fit(task, context_size)
    return Choice(found, context_reason(task, task.fixed.get("context_size")))


def _goal_reason(request: Request) -> tuple[str, ...]:
    """Says so where the context that the user named leaves the goal nothing to choose."""
    fixed = request.fixed.get("context_size")
    if fixed and request.goal != "speed":
        return (f"-c {fixed} fixes the context, so --goal {request.goal} has nothing to choose: planned for speed",)
    if request.context_max and request.goal == "balanced":
        return (
            "-c max asks for the longest context; --goal balanced alone would stop where more context costs much speed",
        )
    return ()


def context_reason(task: Task, fixed: int | None) -> tuple[str, ...]:
    """Says which context was planned for when the user named none."""
    if fixed:
        return ()
    facts = task.scene.facts
    size = default_context(facts, task.scene.workload)
    limit = f"the model allows {facts.context_train}" if facts.context_train else "the model names no limit"
    return (f"planned for a context of {size} tokens ({limit}); -c N or -c max plans for another",)


def _ubatch_reason(task: Task, found: Solution) -> tuple[str, ...]:
    size, usual = found.settings.ubatch_size, usual_ubatch(task)
    if "ubatch_size" in task.fixed or size == usual:
        return ()
    if size < usual:
        return (f"-ub {size} instead of {usual} frees memory for layers: a turn is shorter though prompts are slower",)
    staged = in_ram(found.settings, found.placement)
    why = "what is in RAM crosses to the card less often" if staged else "each pass over the weights serves more tokens"
    return (f"-ub {size} instead of {usual}: prompts are faster, for {why}",)


def longest(task: Task) -> Choice:
    """The largest context, to 256 tokens, that costs no layer its GPU; the largest that fits if some are in RAM anyway.

    What stays on GPUs at the default context stays there; devices and their shares may change. The model's own
    context is the limit.
    """
    facts = task.scene.facts
    least = default_context(facts, task.scene.workload)
    start = best_at(task, least)
    if start is None:
        start, least = _largest_below(task, least)
    most = max(largest_context(task), least)
    if in_ram(start.settings, start.placement) and not _keeps_in_ram(task):
        return _longest_at_all(task, start, least, most)
    kept = _keeping(task, start)
    found = _bisect(kept, start, least, most)
    size = found.settings.context_size
    limit = "the model's own limit" if size == most else "256 more would push layers off the GPUs"
    return Choice(found, (f"the longest context that keeps every layer where it is: {size} tokens ({limit})",))


def largest_context(task: Task) -> int:
    """The longest context that the model was trained for and the engine takes."""
    own = task.scene.facts.context_train or LONGEST_UNKNOWN
    return min(own, task.scene.engine.largest_context or own)


def _keeps_in_ram(task: Task) -> bool:
    """Whether the user decides what is in RAM."""
    return bool({"gpu_layers", "tensor_split", "n_cpu_moe", "cpu_moe", "override_tensors"} & set(task.fixed))


def _longest_at_all(task: Task, start: Solution, least: int, most: int) -> Choice:
    """The largest context that fits where layers wait in RAM already, with its price."""
    sized = task if {"ubatch_size", "batch_size"} & set(task.fixed) else task.fixing(**ubatch(task, SIZES[0]))
    size = _bisect(sized, start, least, most).settings.context_size
    found = start if size == start.settings.context_size else best_at(task, size) or start
    limit = "the model's own limit" if size == most else "256 more would not fit"
    kept = f", at {100 * start.seconds / found.seconds:.0f} % of the speed at {least}" if size > least else ""
    text = (
        f"the longest context that fits: {size} tokens ({limit}){kept}; some layers or tensors are in RAM at any length"
    )
    return Choice(found, (text,))


def _keeping(task: Task, start: Solution) -> Task:
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


def _bisect(task: Task, start: Solution, least: int, most: int) -> Solution:
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


def _guess(task: Task, start: Solution, low: int, high: int) -> int:
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


def _largest_below(task: Task, context_size: int) -> tuple[Solution, int]:
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
    size = default_context(facts, task.scene.workload)
    first = best_at(task, size)
    if first is None:
        raise does_not_fit(task, size)
    chosen, beyond = first, None
    limit = largest_context(task)
    while size < limit:
        size = min(2 * size, limit)
        found = best_at(task, size)
        if found is None or found.seconds * KNEE > first.seconds:
            beyond = found
            break
        chosen = found
    return Choice(chosen, (_knee_reason(first, chosen, beyond, size),))


def _knee_reason(first: Solution, chosen: Solution, beyond: Solution | None, tried: int) -> str:
    kept = 100 * first.seconds / chosen.seconds
    text = f"{chosen.settings.context_size} tokens keep {kept:.0f} % of the speed at {first.settings.context_size}"
    if tried == chosen.settings.context_size:
        return f"{text}, and are the model's own limit"
    if beyond is None:
        return f"{text}; {tried} would not fit"
    return f"{text}; {tried} would keep {100 * first.seconds / beyond.seconds:.0f} %"
