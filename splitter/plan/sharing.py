"""Tensor or layer: whether `-sm tensor` makes a turn so much shorter that it is worth its price."""

from dataclasses import replace

from splitter.memory.settings import Settings
from splitter.plan.families import family_of
from splitter.plan.fastest import find_fastest
from splitter.plan.finder import Solution
from splitter.plan.given import ideal_s
from splitter.plan.microbatch import ubatch
from splitter.plan.speed import BOUND
from splitter.plan.task import Task
from splitter.rig.device import Device

PAYS = 0.9  # of the turn in layer mode: below, the experimental mode is taken
# What the decision stays with unless the user asks: backends whose devices reduce over links of their own, cards from
# Turing on (pairs of P40 lost), and links that carry two reductions per layer and token (PCIe 3.0 x8 was measured to
# pay, x4 and less were not).
REDUCING = ("CUDA", "ROCm")
LEAST_LINK_BYTES_PER_S = 6e9
DECIDED = frozenset(
    {"split_mode", "tensor_split", "gpu_layers", "n_cpu_moe", "cpu_moe", "override_tensors", "main_gpu"}
)


def shared_solution(task: Task, like: Solution, below_s: float = float("inf")) -> Solution | None:
    """The fastest `-sm tensor` at the context and micro-batch of `like`; None where engine, architecture, cache or the
    user's own flags rule it out, or where it would not fit several cards."""
    settings, task = like.settings, task.alone() or task  # every layer is reduced twice: no network carries that
    quantised = settings.cache_type_k != "f16" or settings.cache_type_v != "f16"
    known = "tensor" in task.scene.engine.split_modes and len(task.scene.usable()) > 1
    if (
        DECIDED & set(task.fixed)
        or quantised
        or not known
        or task.scene.engine.cannot_share(task.scene.facts, settings)
    ):
        return None
    same = replace(task, fixed={**task.fixed, "split_mode": "tensor"})
    found = find_fastest(same, settings.context_size, below_s=below_s, **ubatch(task, settings.ubatch_size))
    return found if found and len(found.settings.device_order) > 1 else None


def paying(task: Task, layered: Solution) -> Solution | None:
    """The `-sm tensor` that is to be taken instead of `layered`: a turn shorter by a tenth, no experts, one backend
    that reduces well, and links that carry it. None where there is none."""
    task = task.alone() or task
    scene = task.scene
    priced = scene.constants.basis != BOUND.basis and scene.engine.shares_unasked  # bytes over bandwidth know no price
    if not priced or "moe" in scene.model_class() or not any(map(_reduces_well, scene.usable())):
        return None
    if len(task.devices()) < 2 or _least_s(task, layered.settings) >= layered.seconds * PAYS:
        return None
    shared = shared_solution(task, layered, layered.seconds * PAYS)
    if shared is None or shared.seconds >= layered.seconds * PAYS:
        return None
    devices = scene.devices(shared.settings.device_order)
    return shared if all(map(_reduces_well, devices)) and len({d.backend for d in devices}) == 1 else None


def _least_s(task: Task, settings: Settings) -> float:
    """What `-sm tensor` takes at least on the fastest devices."""
    devices = task.devices()
    return min(ideal_s(task.scene, settings, devices[:count]) for count in range(2, len(devices) + 1))


def _reduces_well(device: Device) -> bool:
    link = device.link_bytes_per_s
    old = family_of(device).old
    return device.backend in REDUCING and not old and (link is None or link >= LEAST_LINK_BYTES_PER_S)
