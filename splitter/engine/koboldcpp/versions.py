"""What each release of koboldcpp can be told and what it assumes (its argument parsers, 1.60 to 1.123). Pure.

Unknown versions get the newest rules.
"""

import re

from splitter.memory.rules import MemoryRules
from splitter.plan.engine_rules import EngineRules

Release = tuple[int, ...]
NEWEST: Release = (10**9, 0, 0)
QUANTKV_NUMBERS = {"f16": "0", "q8_0": "1", "q4_0": "2", "bf16": "3"}
QUANTKV_NAMES = ("f16", "bf16", "q8_0", "q5_1", "q4_0")
CONTEXT_PADDING = 128  # tokens that it adds to --contextsize (1.64 to 1.123)
# Releases that brought a flag.
FLASH_ATTENTION, PROJECTOR_ON_CPU, OVERRIDE_TENSORS, SWA, MOECPU = (1, 64), (1, 89), (1, 89), (1, 92), (1, 97)
SPLIT_MODE, SLOTS = (1, 113), (1, 114)


def koboldcpp_release(version: str | None) -> Release:
    """A version as a tuple: "1.115.1" -> (1, 115, 1); the newest when it holds none."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version or "")
    return tuple(int(part) for part in match.groups(default="0")) if match else NEWEST


def koboldcpp_rules(name: str, version: str | None) -> EngineRules:
    """What this release can be told and what it assumes: one sequence, one batch size, all cards of one backend."""
    release = koboldcpp_release(version)
    return EngineRules(
        name=name,
        version=version,
        assumed={"parallel": 1, "kv_unified": True, "batch_size": 512, "ubatch_size": 512, "mmap": False},
        forced=_forced(release),
        split_modes=("layer", "tensor") if release >= SPLIT_MODE else ("layer",),
        cache_types=cache_types(release),
        batch_sizes=batch_sizes(release),
        one_batch=True,
        one_cache_type=True,
        own_caches=False,
        largest_context=largest_context(release),
        homes_beside=False,
        projector_on_cpu=release >= PROJECTOR_ON_CPU,
        memory=MemoryRules(context_padding=CONTEXT_PADDING),
    )


def _forced(release: Release) -> dict[str, object]:
    """Settings that `release` has no words for, with what it does by itself."""
    since: tuple[tuple[Release, str, object], ...] = (
        (FLASH_ATTENTION, "flash_attention", "off"),
        (OVERRIDE_TENSORS, "override_tensors", ()),
        (SWA, "swa_full", True),
        (MOECPU, "n_cpu_moe", 0),
    )
    return {field: value for first, field, value in since if release < first}


def largest_context(release: Release) -> int:
    """The most tokens that --contextsize takes."""
    return 524288 if release >= (1, 118) else 262144


def batch_sizes(release: Release) -> tuple[int, ...]:
    """The batch sizes that `release` accepts."""
    small = (16,) if release >= (1, 90) else ()
    return (*small, 32, 64, 128, 256, 512, 1024, 2048, *((4096,) if release >= (1, 98, 1) else ()))


def cache_types(release: Release) -> tuple[str, ...]:
    """The cache types that `release` can say with --quantkv; f16 alone before 1.67."""
    if release >= (1, 112):
        return QUANTKV_NAMES
    if release >= (1, 111):
        return ("f16", "q8_0", "q4_0", "bf16")
    return ("f16", "q8_0", "q4_0") if release >= (1, 67) else ("f16",)
