"""The fastest plan at one context size: configurations ordered by their bounds, each searched, each result proven.

The search works with compute buffers by role; the memory model, which knows better, is asked about each assignment
found. If a device turns out too full its role is corrected and the search repeated: no plan leaves that does not fit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from splitter.memory.footprint import Footprint, Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.plan.costs import (
    Compute,
    LayerCosts,
    block_placement,
    compute_roles,
    layer_costs,
    observed,
    problem,
)
from splitter.plan.evaluate import assemble, opens_context
from splitter.plan.given import given_split, shared
from splitter.plan.placement import placement_of
from splitter.plan.plan import Plan
from splitter.plan.scene import Scene
from splitter.plan.search import Assignment, Problem, bound_s, search
from splitter.plan.task import Task
from splitter.rig.device import Device

# Matches no tensor: its presence alone turns pipeline parallelism off (src/llama-context.cpp asks only whether there is
# any override), which saves three extra copies of the inputs on every device.
PIPELINE_OFF = "^pipeline-off$=CPU"
PIPELINE_OFF_GAIN = 0.02  # the pipeline speeds up prompts, so doing without must bring this much generation speed
CORRECTIONS = 12


@dataclass(frozen=True, slots=True)
class Variant:
    """What is tried besides the placement: experts of the first `n_cpu_moe` layers in RAM, pipeline kept or not."""

    n_cpu_moe: int
    pipeline_off: bool = False

    def fields(self) -> dict[str, Any]:
        override = {"override_tensors": (PIPELINE_OFF,)} if self.pipeline_off else {}
        return {"n_cpu_moe": self.n_cpu_moe, **override}


@dataclass(frozen=True, slots=True)
class Found:
    """A proven placement and its price."""

    settings: Settings
    placement: Placement
    seconds: float


def fastest(task: Task, context_size: int, **chosen: Any) -> Plan | None:
    """The fastest plan of `task` at `context_size` tokens with the `chosen` settings; None if nothing fits."""
    found = find_fastest(task, context_size, **chosen)
    return assemble(task.scene, found.settings, found.placement) if found else None


def find_fastest(task: Task, context_size: int, **chosen: Any) -> Found | None:
    """`fastest` without building the Plan."""
    base = task.settings(context_size=context_size, **chosen)
    if task.split_mode() == "tensor" and task.devices():
        return _first_fit(task, ((0.0, settings, None) for settings in shared(task, base)))
    if task.fixed.get("tensor_split") and task.split_mode() == "layer":
        return _first_fit(task, given_split(task, base))
    return _Finder(task, base).run()


def _first_fit(task: Task, candidates: Iterable[tuple[float, Settings, Placement | None]]) -> Found | None:
    """The first candidate that the memory model accepts."""
    for seconds, settings, given in candidates:
        memory = task.scene.memory(settings)
        placement = given or placement_of(len(memory.layer_model_bytes) - 1, settings, ())
        if fits(task.scene, settings, memory.footprint(placement)):
            return Found(settings, placement, seconds)
    return None


def fits(scene: Scene, settings: Settings, footprint: Footprint) -> bool:
    """Every device within its budget and the host within its free RAM."""
    ram = scene.rig.host.ram_free_bytes
    if ram is not None and footprint.host.used_bytes() > ram:
        return False
    devices = scene.devices(settings.device_order)
    return all(
        use.used_bytes() <= scene.budget_bytes(device)
        for index, (device, use) in enumerate(zip(devices, footprint.devices, strict=True))
        if opens_context(settings, index)
    )


class _Finder:
    """Searches all variants of one set of base settings."""

    def __init__(self, task: Task, base: Settings) -> None:
        self.task, self.base = task, base
        self.devices = task.devices()
        self.best: Found | None = None
        self.pipelined = False
        self.everywhere = replace(base, device_order=tuple(device.id for device in self.devices))
        self.plain = task.scene.memory(self.everywhere)
        self.layers = len(self.plain.layer_model_bytes)
        self.roles: dict[Variant, Compute] = {}
        self.layer_costs: dict[Variant, LayerCosts] = {}

    def run(self) -> Found | None:
        for group in self.groups():
            bounded = sorted(
                ((bound_s(self.problem(variant, group)), variant) for variant in self.variants()), key=_key
            )
            for bound, variant in bounded:
                if bound < self.to_beat(variant):
                    self.settle(variant, group)
        return self.best

    def to_beat(self, variant: Variant) -> float:
        """Seconds per token that `variant` must stay below; giving up the pipeline must pay."""
        if self.best is None:
            return float("inf")
        gives_up = variant.pipeline_off and self.pipelined
        return self.best.seconds / (1 + PIPELINE_OFF_GAIN) if gives_up else self.best.seconds

    def groups(self) -> list[tuple[Device, ...]]:
        """The sets of devices to search: all together, or in `-sm none` each on its own."""
        if self.task.split_mode() == "none":
            main = self.task.fixed.get("main_gpu")
            chosen = self.devices if main is None else self.devices[main : main + 1]
            return [(device,) for device in chosen] or [()]
        return [self.devices]

    def variants(self) -> Iterator[Variant]:
        fixed = self.task.fixed
        yield Variant(self.base.n_cpu_moe)
        if "override_tensors" in fixed or self.base.n_cpu_moe or self.base.cpu_moe:
            return
        if len(self.devices) > 1 and self.task.split_mode() == "layer":
            yield Variant(0, pipeline_off=True)
        if "n_cpu_moe" not in fixed and "cpu_moe" not in fixed and self.devices:
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

    def known_costs(self, variant: Variant) -> LayerCosts:
        """The costs of a variant whose tensors are read."""
        if variant not in self.layer_costs:
            self.layer_costs[variant] = layer_costs(self.model(variant))
        return self.layer_costs[variant]

    def compute(self, variant: Variant) -> Compute:
        """Compute roles of a variant; all partial -ncmoe share those of half the layers until corrected."""
        if variant not in self.roles:
            typical = variant if variant.n_cpu_moe in (0, self.base.n_cpu_moe) else Variant((self.layers + 1) // 2)
            if typical not in self.roles:
                gpu_layers = self.gpu_layers(variant)
                host = None if gpu_layers is None or gpu_layers < 0 else max(self.layers - gpu_layers, 0)
                self.roles[typical] = compute_roles(self.model(typical), len(self.devices), host)
            self.roles[variant] = self.roles[typical]
        return self.roles[variant]

    def gpu_layers(self, variant: Variant) -> int | None:
        """The fixed -ngl; turning the pipeline off only makes sense with all layers on devices."""
        fixed: int | None = self.task.fixed.get("gpu_layers")
        return self.layers if fixed is None and variant.pipeline_off else fixed

    def problem(self, variant: Variant, group: Sequence[Device]) -> Problem:
        return problem(
            self.task.scene,
            self.model(variant if not variant.n_cpu_moe else Variant(self.base.n_cpu_moe)),
            self.costs(variant),
            self.compute(variant),
            group,
            gpu_layers=self.gpu_layers(variant),
            ordered="device_order" in self.task.fixed,
        )

    def settle(self, variant: Variant, group: Sequence[Device]) -> None:
        """Searches, asks the memory model, corrects the roles and repeats until a placement is proven.

        Afterwards the roles are lowered to what the accepted placement really has, in case that lets a faster one in.
        """
        for _ in range(CORRECTIONS):
            assignment = search(self.problem(variant, group), below_s=self.to_beat(variant))
            if assignment is None:
                return
            found = self.build(variant, group, assignment)
            footprint = self.task.scene.memory(found.settings).footprint(found.placement)
            fitting = fits(self.task.scene, found.settings, footprint)
            if fitting:
                self.best, self.pipelined = found, footprint.pipeline
            before = self.compute(variant)
            self.correct(variant, found.placement, footprint, lower=fitting)
            if self.compute(variant) == before:
                return

    def correct(self, variant: Variant, placement: Placement, footprint: Footprint, *, lower: bool) -> None:
        everywhere = self.plain.everywhere_bytes
        held = sorted({owner for owner in placement.layers if owner is not None})
        sizes = [footprint.devices[owner].compute_bytes + everywhere for owner in held]
        if not sizes:
            return
        old = self.roles[variant]
        if placement.layers[0] is None:
            self.roles[variant] = replace(old, partial=observed(old.partial, sizes, lower=lower))
        else:
            self.roles[variant] = replace(old, whole=observed(old.whole, sizes, lower=lower))

    def build(self, variant: Variant, group: Sequence[Device], assignment: Assignment) -> Found:
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
        return Found(settings, block_placement(assignment.host_layers, counts), assignment.seconds)

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


def _key(bounded: tuple[float, Variant]) -> tuple[bool, float, int]:
    bound, variant = bounded
    return variant.pipeline_off, bound, variant.n_cpu_moe
