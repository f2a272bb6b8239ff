"""Finder: the fastest placement of whole layers under one set of base settings.

Configurations are ordered by their bounds and searched; the memory model is asked about each assignment found. If a
device turns out too full its compute buffer is learnt and the search repeated: nothing leaves here that does not fit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from splitter.memory.footprint import Footprint, Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.plan.costs import NOTHING_KNOWN, Compute, LayerCosts, block_placement, layer_costs, problem, turn_seconds
from splitter.plan.evaluate import opens_context
from splitter.plan.placement import PIPELINE_OFF
from splitter.plan.scene import Scene
from splitter.plan.search import TIE_S, Assignment, Effort, Problem, bound_s, search
from splitter.plan.task import Task
from splitter.rig.device import Device

PIPELINE_OFF_GAIN = 0.01  # the pipeline may speed up long prompts, so doing without must make a turn so much shorter
# States that the searches over -ncmoe may look at together, and devices up to which they are worth it where fractions
# of layers may settle it: beyond them, no such search changed one of 368 plans.
EXPERT_STATES = 600
EXPERT_DEVICES = 4
CORRECTIONS = 20


Kind = tuple[bool, bool, bool]


@dataclass(frozen=True, slots=True)
class Variant:
    """What is tried besides the placement: experts of the first `n_cpu_moe` layers in RAM, pipeline kept or not."""

    n_cpu_moe: int
    pipeline_off: bool = False

    def fields(self) -> dict[str, Any]:
        override = {"override_tensors": (PIPELINE_OFF,)} if self.pipeline_off else {}
        return {"n_cpu_moe": self.n_cpu_moe, **override}


@dataclass(frozen=True, slots=True)
class Solution:
    """A proven placement and the seconds of a turn."""

    settings: Settings
    placement: Placement
    seconds: float


def fits(scene: Scene, settings: Settings, footprint: Footprint) -> bool:
    """Every device within its budget and the host within its free RAM."""
    ram = scene.rig.host.ram_free_bytes
    if ram is not None and footprint.host.used_bytes() > ram:
        return False
    devices = scene.devices(settings.device_order)
    shared = {device.id for device in scene.rig.shared()}
    pooled = [
        use.used_bytes() + scene.overhead_bytes(device)
        for device, use in zip(devices, footprint.devices, strict=True)
        if device.id in shared
    ]
    pool = scene.pool_bytes()
    if pooled and pool is not None and sum(pooled) + footprint.host.used_bytes() > pool:
        return False
    return all(
        use.used_bytes() <= scene.budget_bytes(device)
        for index, (device, use) in enumerate(zip(devices, footprint.devices, strict=True))
        if opens_context(settings, index)
    )


class Finder:
    """Searches all variants of one set of base settings."""

    def __init__(self, task: Task, base: Settings, below_s: float = float("inf")) -> None:
        self.task, self.base, self.below_s = task, base, below_s
        self.devices = task.devices()
        self.best: Solution | None = None
        self.pipelined = False
        self.effort = Effort(EXPERT_STATES)
        self.everywhere = replace(base, device_order=tuple(device.id for device in self.devices))
        self.plain = task.scene.memory(self.everywhere)
        self.layers = len(self.plain.layer_model_bytes)
        self.learnt: dict[Variant, Compute] = {}
        self.least: dict[Kind, Compute] = {}
        self.layer_costs: dict[Variant, LayerCosts] = {}

    def run(self) -> Solution | None:
        for group in self.groups():
            for bound, variant in self.bounded(group):
                if bound < self.to_beat(variant) and (self.effort.states > 0 or not variant.n_cpu_moe):
                    self.settle(variant, group)
        while self.best and (shifted := self.shifted(self.best)):
            self.best = shifted
        return self.best

    def shifted(self, found: Solution) -> Solution | None:
        """The fastest fitting placement one layer away from `found` that beats it.

        With experts of some layers in RAM a device's buffer also depends on whether its block holds a layer whose
        experts it has itself, which roles and lengths do not tell: here the memory model has the last word.
        """
        fixed, settings = self.task.fixed, found.settings
        if not settings.n_cpu_moe or {"gpu_layers", "tensor_split"} & set(fixed) or self.task.split_mode() != "layer":
            return None
        scene, devices = self.task.scene, len(settings.device_order)
        solutions = (with_counts(scene, found, counts) for counts in _one_layer_away(found.placement, devices))
        for solution in sorted(solutions, key=lambda item: item.seconds):
            if solution.seconds >= found.seconds * (1 - 1e-9):
                return None
            if fits(scene, solution.settings, scene.memory(solution.settings).footprint(solution.placement)):
                return solution
        return None

    def bounded(self, group: Sequence[Device]) -> list[tuple[float, Variant]]:
        """The variants with a lower bound on their seconds, in the order in which they are searched.

        Until a compute buffer is known the micro-batch changes nothing here, so the answer is shared.
        """
        variants = tuple(self.variants())
        moved = self.known_costs(Variant(self.layers)) if len(variants) > 2 else None
        key = (self.problem(variants[0], group), variants, moved)
        known: list[tuple[float, Variant]] | None = None if self.least else self.task.scene.searched.get(key)
        if known is None:
            known = sorted(((bound_s(self.problem(variant, group)), variant) for variant in variants), key=_key)
            if not self.least:
                self.task.scene.searched[key] = known
        return known

    def to_beat(self, variant: Variant) -> float:
        """Seconds that `variant` must stay below; giving up the pipeline must pay."""
        if self.best is None:
            return self.below_s
        gives_up = variant.pipeline_off and self.pipelined
        return self.best.seconds / (1 + PIPELINE_OFF_GAIN) if gives_up else self.best.seconds

    def groups(self) -> list[tuple[Device, ...]]:
        """The sets of devices to search: all together, or in `-sm none` each on its own."""
        if self.task.split_mode() == "none":
            main = self.task.fixed.get("main_gpu")
            here = tuple(device for device in self.devices if not device.node) or self.devices
            chosen = here if main is None else self.devices[main : main + 1]
            return [(device,) for device in chosen] or [()]
        return [self.devices]

    def variants(self) -> Iterator[Variant]:
        fixed = self.task.fixed
        yield Variant(self.base.n_cpu_moe)
        if "override_tensors" in fixed or self.base.n_cpu_moe or self.base.cpu_moe:
            return
        if len(self.devices) > 1 and self.task.split_mode() == "layer":
            yield Variant(0, pipeline_off=True)
        divided = self.task.may_divide() and len(self.devices) > EXPERT_DEVICES
        if "n_cpu_moe" not in fixed and "cpu_moe" not in fixed and self.devices and not divided:
            moved = self.known_costs(Variant(self.layers)).moved
            yield from (Variant(n + 1) for n, size in enumerate(moved) if size)

    def model(self, variant: Variant) -> MemoryModel:
        """The memory model of a variant on all devices."""
        return self.task.scene.memory(replace(self.everywhere, **variant.fields()))

    def costs(self, variant: Variant) -> LayerCosts:
        """Per-layer bytes; those of -ncmoe are joined from the two extremes instead of reading every tensor again."""
        if not variant.n_cpu_moe or variant.n_cpu_moe == self.base.n_cpu_moe:
            return self.known_costs(variant)
        return self.known_costs(Variant(0)).spliced(self.known_costs(Variant(self.layers)), variant.n_cpu_moe)

    def costs_of(self, variant: Variant, group: Sequence[Device]) -> LayerCosts:
        """The costs on some of the devices."""
        costs = self.costs(variant)
        return costs if group == self.devices else costs.of([self.devices.index(device) for device in group])

    def known_costs(self, variant: Variant) -> LayerCosts:
        """The costs of a variant whose tensors are read."""
        if variant not in self.layer_costs:
            self.layer_costs[variant] = layer_costs(self.task.scene, self.model(variant), self.devices)
        return self.layer_costs[variant]

    def kind(self, variant: Variant) -> Kind:
        """Variants of a kind build the same graphs: some experts in RAM, all of them, no pipeline."""
        return variant.n_cpu_moe > 0, variant.n_cpu_moe >= self.layers - 1, variant.pipeline_off

    def compute(self, variant: Variant) -> Compute:
        """What is known of the compute buffers of a variant: nothing at first, then what its placements taught."""
        return self.learnt.get(variant) or self.least.get(self.kind(variant), NOTHING_KNOWN)

    def gpu_layers(self, variant: Variant) -> int | None:
        """The fixed -ngl; turning the pipeline off only makes sense with all layers on devices."""
        fixed: int | None = self.task.fixed.get("gpu_layers")
        return self.layers if fixed is None and variant.pipeline_off else fixed

    def problem(self, variant: Variant, group: Sequence[Device]) -> Problem:
        """The search problem of a variant; experts of layers that are in RAM anyway are the business of smaller n."""
        whole = problem(
            self.task.scene,
            self.model(variant if not variant.n_cpu_moe else Variant(self.base.n_cpu_moe)),
            self.costs_of(variant, group),
            self.compute(variant),
            group,
            gpu_layers=self.gpu_layers(variant),
            ordered="device_order" in self.task.fixed,
        )
        if not variant.n_cpu_moe or variant.n_cpu_moe == self.base.n_cpu_moe:
            return whole
        return replace(whole, host_room_layers=min(whole.host_room_layers, variant.n_cpu_moe - 1))

    def settle(self, variant: Variant, group: Sequence[Device]) -> None:
        """Searches, asks the memory model, learns from its answer and repeats until nothing new is learnt.

        Compute buffers are first taken for nothing, so the first assignments are too full and teach what a device in
        each role really needs. After a placement is proven its true buffers replace what was learnt, in case a faster
        one fits beside them.
        """
        for _ in range(CORRECTIONS):
            effort = self.effort if variant.n_cpu_moe else None
            unknown = self.compute(variant) == NOTHING_KNOWN  # then any placement teaches enough
            case, below = self.problem(variant, group), self.to_beat(variant)
            assignment = self.first(case, below, effort) if unknown else search(case, below_s=below, effort=effort)
            if assignment is None:
                return
            found = self.build(variant, group, assignment)
            footprint = self.task.scene.memory(found.settings).footprint(found.placement)
            fitting = fits(self.task.scene, found.settings, footprint)
            if fitting and found.seconds < below:
                self.best, self.pipelined = found, footprint.pipeline
            before = self.compute(variant)
            self.correct(variant, found.placement, footprint, lower=fitting)
            if self.compute(variant) == before:
                return

    def first(self, case: Problem, below_s: float, effort: Effort | None) -> Assignment | None:
        """The search while no compute buffer is known: the first placement that beats `below_s` teaches enough.

        The same for every micro-batch, so the answer is shared, and so are the states that it took.
        """
        states = effort.states if effort else 0
        key, searched = (case, below_s, states), self.task.scene.searched
        if key not in searched:
            found = search(case, below_s=below_s, effort=effort, quick=True)
            found = found or search(case, below_s=below_s, effort=effort)
            searched[key] = found, effort.states if effort else 0
        found, left = searched[key]
        if effort:
            effort.states = left
        return cast("Assignment | None", found)

    def correct(self, variant: Variant, placement: Placement, footprint: Footprint, *, lower: bool) -> None:
        """Learns the compute buffers of a real placement, for this variant and as a start for those of its kind."""
        held = sorted({owner for owner in placement.layers if owner is not None})
        everywhere = self.plain.everywhere_bytes
        sizes = [(placement.layers.count(d), footprint.devices[d].compute_bytes + everywhere) for d in held]
        partial, kind = placement.layers[0] is None, self.kind(variant)
        host = footprint.host.compute_bytes
        self.learnt[variant] = self.compute(variant).after(sizes, host, partial=partial, lower=lower)
        self.least[kind] = self.least.get(kind, NOTHING_KNOWN).after(sizes, host, partial=partial, lower=True)

    def build(self, variant: Variant, group: Sequence[Device], assignment: Assignment) -> Solution:
        """The settings and the placement of an assignment."""
        order, counts = self.arranged(group, assignment)
        fixed = self.task.fixed
        chosen: dict[str, Any] = {
            "gpu_layers": sum(counts),
            "device_order": tuple(device.id for device in order),
            "tensor_split": tuple(map(float, counts)) if len(order) > 1 else (),
            **variant.fields(),
        }
        if self.task.split_mode() == "none":
            counts = self.alone(group, counts, chosen)
        settings = replace(self.base, **{**chosen, **fixed})
        placement, seconds = block_placement(assignment.host_layers, counts), assignment.seconds
        if any(device.node for device in order):  # the search knows the least that the network takes
            seconds = max(seconds, turn_seconds(self.task.scene, settings, placement))
        return Solution(settings, placement, seconds)

    def arranged(self, group: Sequence[Device], assignment: Assignment) -> tuple[tuple[Device, ...], tuple[int, ...]]:
        """Devices in the engine's order with their counts; a fixed order keeps its empty devices."""
        if "device_order" not in self.task.fixed:
            return tuple(group[index] for index in assignment.order), assignment.counts
        counts = dict(zip(assignment.order, assignment.counts, strict=True))
        return tuple(group), tuple(counts.get(index, 0) for index in range(len(group)))

    def alone(self, group: Sequence[Device], counts: tuple[int, ...], chosen: dict[str, Any]) -> tuple[int, ...]:
        """`-sm none`: the device list is the one device, or the user's with that device as main GPU."""
        chosen["tensor_split"] = ()
        if not group or not {"main_gpu", "device_order"} & set(self.task.fixed):
            chosen["main_gpu"] = 0
            return counts
        main = self.devices.index(group[0])
        chosen |= {"main_gpu": main, "device_order": tuple(device.id for device in self.devices)}
        return tuple(sum(counts) if index == main else 0 for index in range(len(self.devices)))


def with_counts(scene: Scene, found: Solution, counts: Sequence[int]) -> Solution:
    """`found` with these layers per device, whether they fit or not."""
    split = tuple(map(float, counts)) if len(counts) > 1 else ()
    settings = replace(found.settings, gpu_layers=sum(counts), tensor_split=split)
    placement = block_placement(len(found.placement.layers) - sum(counts), counts)
    return Solution(settings, placement, turn_seconds(scene, settings, placement) + TIE_S * len(counts))


def _one_layer_away(placement: Placement, devices: int) -> Iterator[tuple[int, ...]]:
    """Counts per device with a layer more from the host, or one moved between neighbours; no device is emptied."""
    counts = [placement.layers.count(device) for device in range(devices)]
    if devices and placement.layers[0] is None:
        yield (counts[0] + 1, *counts[1:])
    for left in range(devices - 1):
        for step in (1, -1):
            moved = list(counts)
            moved[left] += step
            moved[left + 1] -= step
            if min(moved[left], moved[left + 1]) > 0:
                yield tuple(moved)


def _key(bounded: tuple[float, Variant]) -> tuple[bool, float, int]:
    bound, variant = bounded
    return variant.pipeline_off, bound, variant.n_cpu_moe
