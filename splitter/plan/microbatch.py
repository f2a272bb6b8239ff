"""The micro-batch (-ub, and -b with it): the one with the shortest turn."""

from dataclasses import replace
from typing import Any, cast

from splitter.memory.settings import Settings
from splitter.plan.costs import layer_costs, turn_seconds
from splitter.plan.fastest import INFINITE, find_fastest, least_per_byte
from splitter.plan.finder import Solution
from splitter.plan.placement import in_ram
from splitter.plan.task import Task

SIZES = (64, 128, 256, 512, 1024, 2048, 4096, 8192)
# A turn that is longer by less than this is as good: then the engine's own micro-batch is kept, else the larger one,
# for longer prompts than the workload's gain by it.
AS_GOOD = 0.005


def best_at(task: Task, context_size: int) -> Solution | None:
    """The fastest at a context, with the micro-batch that makes the turn shortest."""
    if {"ubatch_size", "batch_size"} & set(task.fixed):
        return find_fastest(task, context_size)
    usual = find_fastest(task, context_size)
    found = [usual] if usual else []
    for sizes in _others(task, context_size):
        for size in sizes:
            best = min(found, key=_seconds) if found else None
            if best is None or _may_pay(task, best, ubatch(task, size)):
                enough_s = best.seconds * (1 + AS_GOOD) if best else INFINITE
                other = find_fastest(task, context_size, enough_s=enough_s, **ubatch(task, size))
                found += [other] if other else []
                if best and (other is None or other.seconds > best.seconds):
                    break
    if not found:
        return None
    good = min(map(_seconds, found)) * (1 + AS_GOOD)
    if usual and usual.seconds <= good:
        return usual
    return max((other for other in found if other.seconds <= good), key=lambda other: other.settings.ubatch_size)


def _seconds(found: Solution) -> float:
    return found.seconds


def _may_pay(task: Task, best: Solution, sizes: dict[str, int]) -> bool:
    """Whether another micro-batch may make the turn of `best` noticeably shorter.

    With the layers where they are it takes a time of its own. The memory that it frees saves at most what the dearest
    bytes cost in the dearest place, and so does a card that is left out and may have room beside smaller buffers; what
    it needs more costs at least what the cheapest bytes cost in RAM, if some are there already.
    """
    settings = replace(best.settings, **cast("dict[str, Any]", sizes))
    scene = task.scene
    enough = best.seconds * (1 - AS_GOOD)
    seconds = turn_seconds(scene, settings, best.placement)
    before = scene.memory(best.settings).footprint(best.placement)
    dearest, cheapest = _per_byte(task, best, settings)
    freed = idle = 0
    if settings.ubatch_size < best.settings.ubatch_size:
        idle = sum(max(scene.budget_bytes(d), 0) for d in task.devices() if d.id not in best.settings.device_order)
        freed = sum(use.compute_bytes for use in before.devices) + idle
    if seconds - freed * dearest >= enough:
        return False  # no buffer falls below zero, and none falls as the micro-batch grows
    after = scene.memory(settings).footprint(best.placement)
    devices = scene.devices(settings.device_order)
    seconds -= idle * dearest
    for device, old, new in zip(devices, before.devices, after.devices, strict=True):
        more = new.used_bytes() - old.used_bytes()
        missing = min(more, new.used_bytes() - scene.budget_bytes(device))
        seconds += min(more, 0) * dearest + max(missing, 0) * cheapest
    return seconds < enough


def _per_byte(task: Task, best: Solution, settings: Settings) -> tuple[float, float]:
    """Seconds of a turn per byte: at most between two places of `best`, at least between RAM and a device."""
    scene, devices = task.scene, task.devices()
    if not devices:
        return 0.0, 0.0
    costs = layer_costs(scene, scene.memory(replace(settings, n_cpu_moe=0, override_tensors=())), devices)
    spilled = in_ram(best.settings, best.placement)
    rows = [*costs.seconds.device, *(costs.seconds.ram[:-1] if spilled else ())]
    layers = list(zip(costs.held, *rows, strict=True))
    dearest = max(((max(times) - min(times)) / max(held, 1) for held, *times in layers), default=0.0)
    if not spilled:
        return dearest, 0.0
    least = least_per_byte(scene, settings, devices)
    return max(dearest, *least), min(least)


def _others(task: Task, context_size: int) -> tuple[list[int], list[int]]:
    """The sizes to try besides the engine's own: larger ones, and smaller ones, those next to it first."""
    own, known = usual_ubatch(task), task.scene.engine.batch_sizes or SIZES
    sizes = [size for size in SIZES if size in known]
    return [size for size in sizes if own < size <= context_size], [size for size in reversed(sizes) if size < own]


def usual_ubatch(task: Task) -> int:
    """The engine's own micro-batch."""
    return task.settings(context_size=256).ubatch_size


def ubatch(task: Task, size: int) -> dict[str, int]:
    """The fields of a micro-batch."""
    return task.scene.engine.batches(size)
