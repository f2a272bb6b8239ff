"""The single changes that could make a command fit, each with its words and its cost (see culprit.py). Pure."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import log2

from splitter.memory.settings import Settings
from splitter.plan.extra_models import DRAFT, PROJECTOR, projector_device
from splitter.plan.placement import PIPELINE_OFF
from splitter.plan.plan import Plan

USUAL_UBATCH = 512
CONTEXT_STEP = 1024
SMALLEST_CONTEXT = 2048

Candidate = tuple[tuple[str, ...], str, float, Settings]


def candidates(plan: Plan) -> Iterator[Candidate]:
    """(fields, words, cost, settings) of every change that has no degrees."""
    s = plan.settings
    if s.swa_full:
        yield ("swa_full",), "keep only the sliding window in the cache", 0.0, replace(s, swa_full=False)
    if s.flash_attention == "off":
        yield ("flash_attention",), "turn flash attention on", 0.0, replace(s, flash_attention="on")
    if s.parallel > 1 and not s.kv_unified:
        yield ("kv_unified",), "share one cache among the slots", 0.2, replace(s, kv_unified=True)
    if plan.footprint.pipeline:
        off = (*s.override_tensors, PIPELINE_OFF)
        yield ("override_tensors",), "turn pipeline parallelism off", 1.1, replace(s, override_tensors=off)
    if s.flash_attention != "off" and {s.cache_type_k, s.cache_type_v} & {"f16", "f32", "bf16"}:
        half = replace(s, cache_type_k="q8_0", cache_type_v="q8_0")
        yield ("cache_type_k", "cache_type_v"), "take a q8_0 cache", 1.0, half
    if s.spec_type and "mtp" in s.spec_type:
        plain = replace(s, spec_type=None, spec_draft_n_max=None)
        yield ("spec_type",), "do without multi-token prediction", 2.3, plain
    if s.op_offload and (s.n_cpu_moe or s.cpu_moe):
        yield ("op_offload",), "do the CPU's part of prompts on the CPU", 1.8, replace(s, op_offload=False)
    yield from _other_models(plan)


def _other_models(plan: Plan) -> Iterator[Candidate]:
    s = plan.settings
    roomy = max(plan.devices, key=lambda device: device.headroom_bytes(), default=None)
    if _held(plan, PROJECTOR):
        if roomy and roomy.device.id != projector_device(s):
            yield (
                ("mmproj_device",),
                f"put the projector on {roomy.device.id}",
                0.6,
                replace(s, mmproj_device=roomy.device.id),
            )
        yield ("mmproj_device",), "keep the projector on the CPU", 1.5, replace(s, mmproj_device="none")
    if _held(plan, DRAFT):
        if roomy:
            yield (
                ("draft_device_order",),
                f"put the draft model on {roomy.device.id}",
                0.6,
                replace(s, draft_device_order=(roomy.device.id,)),
            )
        alone = replace(
            s, draft_model=None, draft_device_order=None, draft_gpu_layers=None, spec_type=None, spec_draft_n_max=None
        )
        yield ("draft_model",), "do without the draft model", 2.4, alone


def _held(plan: Plan, part: str) -> bool:
    return any(name == part for device in plan.devices for name, _ in device.memory.overhead)


Rung = tuple[float, str, Settings]  # what this degree adds to the cost, words, settings
Ladder = tuple[tuple[str, ...], float, Iterator[Rung]]


def ladders(plan: Plan, given: frozenset[str]) -> Iterator[Ladder]:
    """Changes by degrees, each from its mildest form on."""
    s = plan.settings
    if s.ubatch_size > 64:
        yield ("ubatch_size", "batch_size"), 0.6, _smaller_batches(plan)
    if s.parallel > 1:
        yield ("parallel",), 2.1, _fewer_slots(s)
    asked = "context_size" in given
    yield ("context_size",), 2.0 if asked else 0.4, _shorter(plan, 1.2 if asked else 0.1)


def _smaller_batches(plan: Plan) -> Iterator[Rung]:
    s, size = plan.settings, plan.settings.ubatch_size
    while size > 64:
        size //= 2
        batch = size if plan.engine.one_batch else s.batch_size
        lost = 0.1 * log2(s.ubatch_size / size) + max(0.5 * log2(USUAL_UBATCH / size), 0.0)
        yield lost, f"work on prompts {size} tokens at a time", replace(s, ubatch_size=size, batch_size=batch)


def _fewer_slots(s: Settings) -> Iterator[Rung]:
    count = s.parallel
    while count > 1:
        count //= 2
        yield (
            0.2 * (1 - count / s.parallel),
            f"serve {count} request{'s' * (count > 1)} at a time",
            replace(s, parallel=count),
        )


def _shorter(plan: Plan, weight: float) -> Iterator[Rung]:
    """Sixteenths of the context: fine enough to suggest."""
    s = plan.settings
    sizes = [s.context_size * part // 16 // CONTEXT_STEP * CONTEXT_STEP for part in range(15, 0, -1)]
    for before, size in pairwise((0, *sizes)):
        if size >= SMALLEST_CONTEXT and size != before:
            lost = weight * log2(s.context_size / size)
            yield lost, f"take {size} tokens of context", replace(s, context_size=size)
