"""Up to five real alternatives to a plan, each proven to fit, each with the flags that ask for it."""

from collections.abc import Iterator
from dataclasses import replace

from splitter.memory.speculation import DRAFT_TOKENS, MTP, NGRAM
from splitter.model.hparams import has_mtp
from splitter.plan.costs import turn_seconds
from splitter.plan.defaults import CONTEXT_STEP
from splitter.plan.evaluate import assemble
from splitter.plan.explain import waits_in_ram
from splitter.plan.fastest import find_fastest
from splitter.plan.finder import Solution
from splitter.plan.goals import longest
from splitter.plan.microbatch import ubatch, usual_ubatch
from splitter.plan.plan import Plan
from splitter.plan.sharing import shared_solution
from splitter.plan.speculating import ACCEPTED
from splitter.plan.task import Task

MOST = 5
WORTH = 1.02  # an alternative that promises speed must promise at least 2 %
LOSSY = ("-ctk", "q8_0", "-ctv", "q8_0")


def alternatives(task: Task, plan: Plan) -> tuple[Plan, ...]:
    """At most five plans that differ from `plan` in one decision the user may want to take."""
    found: list[Plan] = []
    for other in _candidates(task, plan):
        if len(found) < MOST and not any(_same(other, known) for known in (plan, *found)):
            found.append(other)
    return tuple(found)


def _same(a: Plan, b: Plan) -> bool:
    """Whether two plans come to the same for the user."""
    return a.settings == b.settings and a.speed.generation_tokens_per_s == b.speed.generation_tokens_per_s


def _candidates(task: Task, plan: Plan) -> Iterator[Plan]:
    if not plan.devices:
        return
    yield from _split_mode(task, plan)
    yield from _ubatch(task, plan)
    yield from _drafting(task, plan)
    yield from _lossy_cache(task, plan)
    yield from _other_context(task, plan)
    yield from _all_cards(task, plan)


def _plan(task: Task, found: Solution, title: str, *flags: str) -> Plan:
    return replace(assemble(task.scene, found.settings, found.placement), title=title, flags=flags)


def _worth_s(task: Task, plan: Plan) -> float:
    """What a turn of an alternative may take at most."""
    return turn_seconds(task.scene, plan.settings, plan.placement) / WORTH


def _lossy_cache(task: Task, plan: Plan) -> Iterator[Plan]:
    """q8_0 for K and V: half the cache, and a loss that can hardly be measured."""
    fixed = {"cache_type_k", "cache_type_v", "flash_attention"} & set(task.fixed)
    if fixed or plan.settings.split_mode == "tensor" or not task.scene.engine.knows_cache_type("q8_0"):
        return
    lossy = task.fixing(cache_type_k="q8_0", cache_type_v="q8_0")
    enough_s, sizes = _worth_s(task, plan), ubatch(task, plan.settings.ubatch_size)
    found = find_fastest(lossy, plan.settings.context_size, enough_s=enough_s, **sizes)
    if found and found.seconds < enough_s and found.placement != plan.placement:
        yield _plan(lossy, found, "q8_0 cache instead of f16 (slightly lossy)", *LOSSY)
        return
    size = None if "context_size" in task.fixed else _longest_like(lossy, plan)
    if size:
        longer = ("-c", str(size.settings.context_size))
        yield _plan(lossy, size, "q8_0 cache (slightly lossy) and a longer context", *LOSSY, *longer)


def _longest_like(task: Task, plan: Plan) -> Solution | None:
    """The longest context on the same devices with the same layers, if it is longer at all."""
    settings = plan.settings
    keep = {"gpu_layers": settings.gpu_layers, "device_order": settings.device_order, "n_cpu_moe": settings.n_cpu_moe}
    same = task.fixing(**{name: value for name, value in keep.items() if name not in task.fixed})
    best = None
    size, limit = 2 * settings.context_size, plan.facts.context_train or 0
    while size <= limit:
        found = find_fastest(same, size, **ubatch(task, settings.ubatch_size))
        if found is None:
            break
        best, size = found, 2 * size
    return best


def _other_context(task: Task, plan: Plan) -> Iterator[Plan]:
    """A shorter context where that buys speed, and the longest one."""
    if "context_size" in task.fixed:
        return
    shorter = plan.settings.context_size // 2 // CONTEXT_STEP * CONTEXT_STEP
    if shorter >= CONTEXT_STEP:
        enough_s = _worth_s(task, plan)
        found = find_fastest(task, shorter, enough_s=enough_s, **ubatch(task, plan.settings.ubatch_size))
        if found and found.seconds < enough_s:
            yield _plan(task, found, "a shorter context", "-c", str(shorter))
    if waits_in_ram(plan) or plan.settings.split_mode == "tensor":
        return
    longer = longest(task).found
    if longer.settings.context_size > plan.settings.context_size:
        yield _plan(task, longer, "the longest context that keeps every layer where it is", "-c", "max")


def _all_cards(task: Task, plan: Plan) -> Iterator[Plan]:
    """All cards with shares by free memory, as the engine itself would do it."""
    devices = tuple(device for device in task.scene.usable() if not device.node)
    if {"device_order", "tensor_split"} & set(task.fixed) or len(plan.devices) == len(devices):
        return
    order = tuple(device.id for device in devices)
    shares = tuple(float(max(task.scene.budget_bytes(device), 0) >> 20) for device in devices)
    everyone = task.fixing(device_order=order, tensor_split=shares)
    found = find_fastest(everyone, plan.settings.context_size, **ubatch(task, plan.settings.ubatch_size))
    if found:
        split = ",".join(f"{share:g}" for share in shares)
        yield _plan(everyone, found, "all cards, split by free memory", "--device", ",".join(order), "-ts", split)


def _split_mode(task: Task, plan: Plan) -> Iterator[Plan]:
    """Layer mode where the plan is in tensor mode, and the other way round where engine and architecture allow it."""
    context_size, size = plan.settings.context_size, ubatch(task, plan.settings.ubatch_size)
    if plan.settings.split_mode == "tensor" and "split_mode" not in task.fixed:
        layered = find_fastest(task, context_size, **size)
        if layered:
            yield _plan(task, layered, "whole layers on each card (faster prompts, not experimental)", "-sm", "layer")
    elif plan.settings.split_mode == "layer":
        shared = shared_solution(task, Solution(plan.settings, plan.placement, 0.0))
        if shared:
            title = "every layer on several cards (experimental, needs fast links between them)"
            yield _plan(task.fixing(split_mode="tensor"), shared, title, "-sm", "tensor")


def _drafting(task: Task, plan: Plan) -> Iterator[Plan]:
    """Speculative decoding, which is off unless asked for: by the model's MTP layers where it has them, else by n-grams
    of the context, which need no memory."""
    itself = task.scene.engine.drafts_itself
    kind = MTP if has_mtp(plan.facts) else NGRAM
    if kind not in itself or {"spec_type", "draft_model"} & set(task.fixed) or plan.settings.parallel > 4:
        return
    drafted = task.fixing(spec_type=kind)
    if kind == NGRAM:
        title = "n-grams of the context draft: faster only where the answer repeats it"
        same = Solution(replace(plan.settings, spec_type=kind), plan.placement, 0.0)
        other = _plan(drafted, same, title, "--spec-type", kind)
        if other.fits():
            yield other
        return
    found = find_fastest(drafted, plan.settings.context_size, **ubatch(task, plan.settings.ubatch_size))
    if found:
        title = f"MTP layers draft {DRAFT_TOKENS} tokens ({100 * ACCEPTED:.0f} % accepted is assumed)"
        yield _plan(drafted, found, title, "--spec-type", kind)


def _ubatch(task: Task, plan: Plan) -> Iterator[Plan]:
    """The engine's own micro-batch, where the plan gave prompt speed up for generation."""
    usual = usual_ubatch(task)
    if plan.settings.ubatch_size >= usual:
        return
    found = find_fastest(task, plan.settings.context_size, **ubatch(task, usual))
    if found:
        yield _plan(task, found, "faster prompts", "-ub", str(usual))
