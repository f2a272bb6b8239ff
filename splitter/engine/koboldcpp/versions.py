"""What each release of koboldcpp can be told and what it assumes (its argument parsers, 1.60 to 1.123). Pure.

Unknown versions get the newest rules.
"""

import re
from collections.abc import Mapping
from typing import Any

from splitter.memory.rules import MemoryRules
from splitter.plan.engine_rules import EngineRules

Release = tuple[int, ...]
NEWEST: Release = (10**9, 0, 0)
QUANTKV_NUMBERS = {"f16": "0", "q8_0": "1", "q4_0": "2", "bf16": "3"}
MAX_MOECPU = 200  # layers, the most that --moecpu and --ffncpu count
QUANTKV_NAMES = ("f16", "bf16", "q8_0", "q5_1", "q4_0")
BACKENDS = ("CUDA", "ROCm", "Vulkan")
CONTEXT_PADDING = 128  # tokens that it adds to --contextsize (1.64 to 1.123)
# Releases that brought a flag.
FLASH_ATTENTION, PROJECTOR_ON_CPU, OVERRIDE_TENSORS, SWA, MOECPU = (1, 64), (1, 89), (1, 89), (1, 92), (1, 97)
USE_MTP = (1, 115)
QUANTKV, QUANTKV_WORDS, LOWVRAM = (1, 67), (1, 112), (1, 100)
# --usecpu and automatic layers; no window; nothing is mapped unless asked; the fit of llama.cpp unasked.
USECPU = SKIPLAUNCHER = (1, 75)
NO_MMAP, AUTOFIT_ON = (1, 82), (1, 108)
NEW_BATCH_SIZE = (1, 101)  # the older name --blasbatchsize stays
SPLIT_MODE, SLOTS, SWA_ON = (1, 113), (1, 114), (1, 114)
USECUDA, EXPORT_CONFIG, UBATCH = (1, 96), (1, 84, 2), (1, 122)
# Pipeline parallelism: by llama.cpp's rule, then only when asked for, then unless refused, then where ubatch < batch.
PIPELINE_ASKED, PIPELINE_ON, TWO_COPIES = (1, 104), (1, 107), (1, 111)
FLASH_ON = (1, 107)  # flash attention unless refused
SMARTCACHE = (1, 103)
ROW_IS_TENSOR = (1, 116)  # the split mode row became tensor after 1.115.1; seen in 1.122
DRAFT_BESIDE_PROJECTOR = (1, 116)  # warned of, and done, since June 2026
WINDOW_PADDING = 128  # cells beside those of the window; seen in 1.117, not in 1.76; came about with --moecpu
CONTEXTS = (
    ((1, 122), 16384), ((1, 115, 2), 12288), ((1, 115), 16384), ((1, 96), 8192), ((1, 70), 4096),
)  # fmt: skip


def koboldcpp_release(version: str | None) -> Release:
    """A version as a tuple: "1.115.1" -> (1, 115, 1); the newest when it holds none."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", version or "")
    return tuple(int(part) for part in match.groups(default="0")) if match else NEWEST


def koboldcpp_rules(name: str, version: str | None, flags: Mapping[str, Any] | None = None) -> EngineRules:
    """What this release can be told and what it assumes: one sequence, one batch size, all cards of one backend.

    `flags` are those of a command that somebody wrote, by argparse's names; without them the command will be ours.
    """
    release = koboldcpp_release(version)
    return EngineRules(
        name=name,
        version=version,
        assumed={"parallel": 1, "kv_unified": True, "batch_size": 512, "ubatch_size": 512, "mmap": False},
        forced=_forced(release),
        backends=BACKENDS,
        workers=False,  # its RPC speaks another protocol than llama.cpp's, and falls back to the CPU without a word
        one_backend=True,
        drafts_itself=(),
        told_cores=True,
        split_modes=("layer", "tensor") if release >= SPLIT_MODE else ("layer",),
        cache_types=cache_types(release),
        batch_sizes=batch_sizes(release),
        one_batch=True,
        one_cache_type=True,
        own_caches=False,
        device_flag=None,
        largest_context=largest_context(release),
        homes_beside=False,
        projector_on_cpu=release >= PROJECTOR_ON_CPU,
        memory=_memory(release, flags),
    )


def _memory(release: Release, flags: Mapping[str, Any] | None) -> MemoryRules:
    """Seen with 1.117 and 1.76 on the CPU, and with 1.117 on emulated cards."""
    told = flags or {}
    padding = str(told.get("swapadding", 0))
    return MemoryRules(
        context_padding=CONTEXT_PADDING,
        pipeline_copies=_pipeline_copies(release, flags),
        pipelines_whole_batches=release < UBATCH,
        extra_sequences=1,
        window_padding=(WINDOW_PADDING if release >= MOECPU else 0) + (int(padding) if padding.isdigit() else 0),
        places_norms=release >= TWO_COPIES,
        contexts=2 if told.get("enableguidance") else 1,
        draft_sees_all=True,
    )


def _pipeline_copies(release: Release, flags: Mapping[str, Any] | None) -> int:
    """1: no pipeline. `flags` as in `koboldcpp_rules`: our own command turns it on or off as planned, where it can."""
    row = bool(flags and flags.get("splitmode") == "row")  # or tensor, which has no pipeline either
    asked_off = bool(flags and flags.get("nopipelineparallel")) and PIPELINE_ON <= release < UBATCH
    not_asked = flags is not None and PIPELINE_ASKED <= release < PIPELINE_ON and not flags.get("pipelineparallel")
    if asked_off or not_asked or row:
        return 1
    return 2 if release >= TWO_COPIES else 4


def _forced(release: Release) -> dict[str, object]:
    """Settings that `release` has no words for, with what it does by itself. Experts stay in RAM by an override of
    their tensors until --moecpu says it shorter."""
    since: tuple[tuple[Release, str, object], ...] = (
        (FLASH_ATTENTION, "flash_attention", "off"),
        (OVERRIDE_TENSORS, "override_tensors", ()),
        (OVERRIDE_TENSORS, "n_cpu_moe", 0),
        (SWA, "swa_full", True),
    )
    return {field: value for first, field, value in since if release < first}


def largest_context(release: Release) -> int:
    """The most tokens that --contextsize takes: seen in 1.115.1 and 1.117."""
    return 524288 if release >= (1, 117) else 262144


def default_context(release: Release) -> int:
    """The context where --contextsize is missing."""
    return next((size for since, size in CONTEXTS if release >= since), 2048)


def backend_flag(release: Release) -> str:
    """What --usecuda is called."""
    return "--usecuda" if release >= USECUDA else "--usecublas"


def batch_sizes(release: Release) -> tuple[int, ...]:
    """The batch sizes that `release` accepts."""
    small = (16,) if release >= (1, 90) else ()
    return (*small, 32, 64, 128, 256, 512, 1024, 2048, *((4096,) if release >= (1, 98, 1) else ()))


def cache_types(release: Release) -> tuple[str, ...]:
    """The cache types that `release` can say with --quantkv; f16 alone before 1.67."""
    if release >= QUANTKV_WORDS:
        return QUANTKV_NAMES
    if release >= (1, 111):
        return ("f16", "q8_0", "q4_0", "bf16")
    return ("f16", "q8_0", "q4_0") if release >= QUANTKV else ("f16",)
