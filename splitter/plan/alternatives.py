"""Two to four real alternatives to a plan, each proven to fit, each with its price in its title."""

from collections.abc import Iterator
from dataclasses import replace

from splitter.plan.defaults import CONTEXT_STEP
from splitter.plan.evaluate import assemble
from splitter.plan.explain import speed_text, waits_in_ram
from splitter.plan.fastest import find_fastest
from splitter.plan.finder import Solution
from splitter.plan.goals import longest
from splitter.plan.microbatch import ubatch
from splitter.plan.plan import Plan
from splitter.plan.task import Task
from splitter.plan.tensor_mode import refusal

MOST = 4
WORTH = 1.02  # an alternative that promises speed must promise at least 2 %


def alternatives(task: Task, plan: Plan) -> tuple[Plan, ...]:
    """At most four plans that differ from `plan` in one decision the user may want to take."""
    found: list[Plan] = []
    for other in _candidates(task, plan):
        if len(found) < MOST and all(other.settings != known.settings for known in (plan, *found)):
            found.append(other)
    return tuple(found)


def _candidates(task: Task, plan: Plan) -> Iterator[Plan]:
    if not plan.devices:
        return
    yield from _ubatch(task, plan)
    yield from _lossy_cache(task, plan)
    yield from _other_context(task, plan)
    yield from _all_cards(task, plan)
    yield from _tensor(task, plan)


def _plan(task: Task, found: Solution, title: str) -> Plan:
    plan = assemble(task.scene, found.settings, found.placement)
    return replace(plan, title=f"{title}: {speed_text(plan.speed.generation_tokens_per_s)}")


def _faster(found: Solution | None, plan: Plan) -> bool:
    now = plan.speed.generation_tokens_per_s
    return found is not None and now is not None and found.seconds > 0 and 1 / found.seconds > now * WORTH


def _lossy_cache(task: Task, plan: Plan) -> Iterator[Plan]:
    """q8_0 for K and V: half the cache, and a loss that can hardly be measured."""
    fixed = {"cache_type_k", "cache_type_v", "flash_attention"} & set(task.fixed)
    if fixed or plan.settings.split_mode == "tensor" or not task.scene.engine.knows_cache_type("q8_0"):
        return
    lossy = task.fixing(cache_type_k="q8_0", cache_type_v="q8_0")
    found = find_fastest(lossy, plan.settings.context_size, **ubatch(task, plan.settings.ubatch_size))
    if found and _faster(found, plan):
        yield _plan(lossy, found, "q8_0 cache instead of f16 (slightly lossy)")
        return
    size = None if "context_size" in task.fixed else _longest_like(lossy, plan)
    if size:
        yield _plan(lossy, size, f"q8_0 cache (slightly lossy) and {size.settings.context_size} tokens of context")


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
        found = find_fastest(task, shorter, **ubatch(task, plan.settings.ubatch_size))
        if found and _faster(found, plan):
            yield _plan(task, found, f"{shorter} tokens of context")
    if waits_in_ram(plan):
        return
    longer = longest(task).found
    if longer.settings.context_size > plan.settings.context_size:
        yield _plan(
            task,
            longer,
            f"{longer.settings.context_size} tokens of context, the longest that keeps every layer where it is",
        )


def _all_cards(task: Task, plan: Plan) -> Iterator[Plan]:
    """All cards with shares by free memory, as the engine itself would do it."""
    devices = task.scene.usable()
    if {"device_order", "tensor_split"} & set(task.fixed) or len(plan.devices) == len(devices):
        return
    order = tuple(device.id for device in devices)
    shares = tuple(float(max(task.scene.budget_bytes(device), 0) >> 20) for device in devices)
    everyone = task.fixing(device_order=order, tensor_split=shares)
    found = find_fastest(everyone, plan.settings.context_size, **ubatch(task, plan.settings.ubatch_size))
    if found:
        yield _plan(everyone, found, "all cards, split by free memory")


def _tensor(task: Task, plan: Plan) -> Iterator[Plan]:
    """`-sm tensor`, where the build and the architecture allow it."""
    fixed = {"split_mode", "tensor_split", "gpu_layers", "n_cpu_moe", "override_tensors"} & set(task.fixed)
    quantised = plan.settings.cache_type_k != "f16" or plan.settings.cache_type_v != "f16"
    known = "tensor" in task.scene.engine.split_modes and len(task.scene.usable()) > 1
    if fixed or quantised or not known or refusal(plan.facts.architecture, plan.settings):
        return
    sharing = task.fixing(split_mode="tensor")
    found = find_fastest(sharing, plan.settings.context_size, **ubatch(task, plan.settings.ubatch_size))
    if found and len(found.settings.device_order) > 1:
        yield _plan(sharing, found, "-sm tensor (experimental, needs fast links between the cards)")


def _ubatch(task: Task, plan: Plan) -> Iterator[Plan]:
    """The usual micro-batch, where the plan gave it up for generation speed."""
    usual = task.settings(context_size=256).ubatch_size
    if plan.settings.ubatch_size >= usual:
        return
    found = find_fastest(task, plan.settings.context_size, **ubatch(task, usual))
    if found:
        yield _plan(task, found, f"-ub {usual} (faster prompts)")
