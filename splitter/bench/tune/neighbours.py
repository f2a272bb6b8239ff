"""The neighbours of a plan: settings that differ from it in one decision. Pure; nothing the user fixed is varied."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from splitter.bench.tune.trial import Candidate, candidate
from splitter.errors import DoesNotFitError, UsageError
from splitter.memory.settings import Settings
from splitter.plan.placement import PIPELINE_OFF, counts_of, in_ram, taken_in
from splitter.plan.plan import Plan
from splitter.rig.nodes import nodes_of

MOST = 14  # neighbours measured per round
STEPS = (1, 2, 4, 8)  # layers moved at once
HOPELESS = 0.97  # of the incumbent's predicted speed: below, a placement is not tried
UBATCHES = (32, 64, 128, 256, 512, 1024, 2048)
Varied = tuple[str, str, dict[str, Any]]  # axis, label, changed fields


@dataclass(frozen=True, slots=True)
class Space:
    """What may be varied and how it is judged.

    `evaluate` gives the plan of settings, `solve` the solver's plan under fixed settings; both may raise UsageError,
    `solve` also DoesNotFitError. `fixed` are the names of the settings that the user gave; `cores` the host's;
    `n_prompt` the tokens of the measured prompt: batches above it make no difference.
    """

    evaluate: Callable[[Settings], Plan]
    solve: Callable[[Mapping[str, Any]], Plan]
    fixed: frozenset[str] = frozenset()
    cores: int | None = None
    lossy_kv: bool = False
    own_plan: bool = True
    n_prompt: int = 512

    def frees(self, *names: str) -> bool:
        """Whether the user left all of `names` open."""
        return not self.fixed & set(names)

    def plan(self, settings: Settings) -> Plan | None:
        """The plan of `settings` if they can be meant and fit."""
        try:
            plan = self.evaluate(settings)
        except UsageError:
            return None
        return plan if plan.fits() else None

    def solved(self, **fixed: Any) -> Plan | None:
        """The solver's plan under `fixed`, if there is one."""
        try:
            plan = self.solve(fixed)
        except (UsageError, DoesNotFitError):
            return None
        return plan if plan.fits() else None


def neighbours(space: Space, incumbent: Candidate, *, first: bool = False) -> tuple[Candidate, ...]:
    """What to try next, the most promising first; in the first round the solver's own plan as well.

    Placements that the speed model thinks slower are left out; for what it knows nothing of (micro-batch, threads,
    flash attention), its word does not count, and they come after what it thinks faster.
    """
    base = space.evaluate(incumbent.settings)
    found: dict[str, Candidate] = {}
    for plan, axis, label in _plans(space, base, first):
        made = candidate(plan, label, axis, incumbent)
        own = axis == "plan"  # measured whatever the speed model says of it: it may be the start that it is wrong about
        if made.key != incumbent.key and made.key not in found and (own or _hopeful(made, incumbent)):
            found[made.key] = made
    ranked = sorted(found.values(), key=lambda c: (c.axis != "plan", -_promise(c, incumbent), c.axis == "layers"))
    return tuple(ranked[:MOST])


def _promise(made: Candidate, incumbent: Candidate) -> float:
    """Predicted gain, in steps of half a percent: less is a guess."""
    if made.predicted is None or incumbent.predicted is None:
        return 0.0
    return round(200 * (made.predicted / incumbent.predicted - 1)) / 200


def _hopeful(made: Candidate, incumbent: Candidate) -> bool:
    if made.predicted is None or incumbent.predicted is None or made.axis in {"split mode", "threads", "nodes"}:
        return True
    return made.predicted >= incumbent.predicted * HOPELESS


def _plans(space: Space, base: Plan, first: bool) -> Iterator[tuple[Plan, str, str]]:
    if first and space.own_plan:
        own = space.solved()
        if own:
            yield own, "plan", "splitter's own plan"
    yield from _moved_layers(space, base)
    yield from _solved_again(space, base)
    yield from _smaller_batches(space, base)
    for axis, label, changes in _varied(space, base):
        plan = space.plan(replace(base.settings, **changes))
        if plan:
            yield plan, axis, label


def _moved_layers(space: Space, base: Plan) -> Iterator[tuple[Plan, str, str]]:
    """One layer from one place to another, and of the larger moves the one that promises most, for each pair."""
    settings = base.settings
    if settings.split_mode != "layer" or not space.frees("tensor_split") or not settings.device_order:
        return
    counts = counts_of(base.placement)
    host = len(base.placement.layers) - sum(counts)
    places: list[int | None] = [*range(len(counts)), None] if space.frees("gpu_layers") else [*range(len(counts))]
    held: dict[int | None, int] = {None: host, **dict(enumerate(counts))}
    for source, target in permutations(places, 2):
        steps = [step for step in STEPS if step <= held[source]]
        yield from _best_moves(space, base, (source, target), steps)


def _best_moves(
    space: Space, base: Plan, way: tuple[int | None, int | None], steps: Sequence[int]
) -> Iterator[tuple[Plan, str, str]]:
    names: dict[int | None, str] = {None: "the CPU", **dict(enumerate(base.settings.device_order))}
    where = f"from {names[way[0]]} to {names[way[1]]}"
    best: tuple[float, Plan, str] | None = None
    for step in steps:
        plan = space.plan(_moved(base.settings, counts_of(base.placement), way, step))
        if plan is None:
            break
        label = f"{step} layer{'s' * (step > 1)} {where}"
        if step == 1:
            yield plan, "layers", label
        speed = plan.speed.generation_tokens_per_s or 0.0
        if best is None or speed > best[0]:
            best = speed, plan, label
    if best:
        yield best[1], "layers", best[2]


def _moved(settings: Settings, counts: tuple[int, ...], way: tuple[int | None, int | None], step: int) -> Settings:
    source, target = way
    new = list(counts)
    if source is not None:
        new[source] -= step
    if target is not None:
        new[target] += step
    split = tuple(map(float, new)) if sum(new) and len(new) > 1 else ()
    return replace(settings, tensor_split=split, gpu_layers=sum(new))


def _solved_again(space: Space, base: Plan) -> Iterator[tuple[Plan, str, str]]:
    """A card left out or taken in, one card alone, tensor mode: the solver finds the split."""
    settings, rig = base.settings, base.rig
    kept = {"ubatch_size": settings.ubatch_size, "batch_size": settings.batch_size}
    if not space.frees("device_order", "tensor_split", "main_gpu"):
        return
    order = settings.device_order
    yield from _machines(space, base)
    for name in order if len(order) > 1 else ():
        plan = space.solved(**kept, device_order=tuple(other for other in order if other != name))
        if plan:
            yield plan, "devices", f"without {name}"
    for name in (device.id for device in rig.devices if device.id not in order and not device.node):
        plan = space.solved(**kept, device_order=(*order, name))
        if plan and dict(zip(plan.settings.device_order, counts_of(plan.placement), strict=True)).get(name):
            yield plan, "devices", f"with {name}"
    if space.frees("split_mode", "gpu_layers", "n_cpu_moe", "override_tensors") and len(rig.devices) > 1:
        for mode in ("none", "tensor"):
            plan = space.solved(**kept, split_mode=mode) if _allows(base, mode) else None
            if plan:
                yield plan, "split mode", f"-sm {mode}"


def _machines(space: Space, base: Plan) -> Iterator[tuple[Plan, str, str]]:
    """Another machine left out or taken in, with all its cards. Measured whatever is predicted: a network is not what
    its first second says."""
    settings = base.settings
    for node in nodes_of(base.rig):
        cards = tuple(device.id for device in base.rig.devices if device.node == node)
        rest = tuple(name for name in settings.device_order if name not in cards)
        if len(rest) < len(settings.device_order):
            batches = {"ubatch_size": settings.ubatch_size, "batch_size": settings.batch_size}
            plan = space.solved(**batches, device_order=rest) if rest else None
            label = f"without {node}"
        else:
            label = f"with {node}"
            wider = map(space.plan, taken_in(settings, base.placement, cards))
            plan = next((plan for plan in wider if plan), None)
        if plan:
            yield plan, "nodes", label


def _smaller_batches(space: Space, base: Plan) -> Iterator[tuple[Plan, str, str]]:
    """The split that a smaller micro-batch leaves room for, where that is the faster one."""
    settings = base.settings
    if base.engine.one_batch or not space.frees("ubatch_size", "device_order", "tensor_split"):
        return
    best = base.speed.generation_tokens_per_s or 0.0
    for size in [size for size in UBATCHES if size < settings.ubatch_size][:-3:-1]:
        plan = space.solved(ubatch_size=size, batch_size=settings.batch_size)
        speed = plan.speed.generation_tokens_per_s if plan else None
        if plan and speed and speed > best:
            best = speed
            yield plan, "layers", f"-ub {size} and the split that it leaves room for"


def _allows(base: Plan, mode: str) -> bool:
    if mode == base.settings.split_mode or mode not in base.engine.split_modes:
        return False
    return mode != "tensor" or base.engine.cannot_share(base.facts, base.settings) is None


def _varied(space: Space, base: Plan) -> Iterator[Varied]:
    yield from _orders(space, base)
    yield from _batches(space, base)
    yield from _threads(space, base)
    yield from _pipeline(space, base)
    yield from _attention(space, base)
    yield from _experts(space, base)


def _orders(space: Space, base: Plan) -> Iterator[Varied]:
    """Two neighbouring cards trade places, each with its layers."""
    order = base.settings.device_order
    if not space.frees("device_order", "tensor_split") or base.settings.split_mode != "layer":
        return
    counts = counts_of(base.placement)
    for i in range(len(order) - 1):
        new, split = list(order), list(map(float, counts))
        new[i : i + 2], split[i : i + 2] = new[i : i + 2][::-1], split[i : i + 2][::-1]
        yield "order", f"{order[i + 1]} before {order[i]}", {"device_order": tuple(new), "tensor_split": tuple(split)}


def _batches(space: Space, base: Plan) -> Iterator[Varied]:
    settings = base.settings
    if not space.frees("ubatch_size"):
        return
    sizes = base.engine.batch_sizes or UBATCHES
    near = [s for s in sizes if settings.ubatch_size / 2 <= s <= settings.ubatch_size * 2 and s != settings.ubatch_size]
    for size in (size for size in near if min(size, settings.ubatch_size) < space.n_prompt):
        if base.engine.one_batch or size <= settings.batch_size:
            yield "micro-batch", f"-ub {size}", base.engine.batches(size)
    if not base.engine.one_batch and space.frees("batch_size"):
        for size in (settings.batch_size // 2, settings.batch_size * 2):
            if settings.ubatch_size <= size <= 8192 and min(size, settings.batch_size) < space.n_prompt:
                yield "batch", f"-b {size}", {"batch_size": size}


def _threads(space: Space, base: Plan) -> Iterator[Varied]:
    """Where the host computes: all physical cores, half of them, one less."""
    if not space.cores or not space.frees("threads") or not (in_ram(base.settings, base.placement)):
        return
    for count in sorted({space.cores, max(space.cores // 2, 1), max(space.cores - 1, 1)}, reverse=True):
        if count != base.settings.threads:
            yield "threads", f"-t {count}", {"threads": count}


def _pipeline(space: Space, base: Plan) -> Iterator[Varied]:
    items = base.settings.override_tensors
    if not space.frees("override_tensors") or len(base.settings.device_order) < 2:
        return
    if PIPELINE_OFF in items:
        rest = tuple(item for item in items if item != PIPELINE_OFF)
        yield "pipeline", "pipeline on", {"override_tensors": rest}
    elif base.footprint.pipeline:
        yield "pipeline", "pipeline off", {"override_tensors": (*items, PIPELINE_OFF)}


def _attention(space: Space, base: Plan) -> Iterator[Varied]:
    settings = base.settings
    plain = settings.cache_type_v in ("f32", "f16", "bf16")
    if space.frees("flash_attention") and plain and settings.split_mode != "tensor":
        other = "on" if settings.flash_attention == "off" else "off"
        yield "flash attention", f"-fa {other}", {"flash_attention": other}
    lossless = {settings.cache_type_k, settings.cache_type_v} <= {"f16", "bf16", "f32"}
    if space.lossy_kv and lossless and space.frees("cache_type_k", "cache_type_v") and settings.split_mode != "tensor":
        lossy = {"cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attention": "on"}
        if space.frees("flash_attention") or settings.flash_attention != "off":
            yield "cache", "-ctk q8_0 -ctv q8_0", lossy


def _experts(space: Space, base: Plan) -> Iterator[Varied]:
    moved = base.settings.n_cpu_moe
    if not moved or not space.frees("n_cpu_moe", "cpu_moe"):
        return
    for count in (moved - 1, moved + 1):
        yield "experts", f"-ncmoe {count}", {"n_cpu_moe": count}
