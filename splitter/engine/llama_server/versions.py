"""What each build of llama-server can be told and what it assumes. Pure. Unknown versions get the newest rules.

Build numbers: the first build in which the behaviour was seen, with the change it came from; where a change's own build
is not known, one of the days after its merge.
"""

import re

from splitter.memory.rules import MemoryRules
from splitter.memory.speculation import MTP, NGRAM
from splitter.plan.engine_rules import EngineRules

NEWEST = 10**9

KV_UNIFIED_BUILD = 5913  # -kvu: #14363 (2025-07); before, slots always shared one cache
DEVICE_BUILD = 4200  # --device: #10497 (2024-11); draft models in the server: #10455 (2024-11)
OVERRIDE_TENSOR_BUILD = 5036  # -ot: #11397 (2025-04)
CPU_MOE_BUILD = 6096  # -ncmoe, -cmoe: #15077 (2025-08)
# --fit appeared with ggml-org/llama.cpp#16653 (2025-12); reported by users of build 7414 (#18084).
FIT_BUILD = 7414
# -fa takes on|off|auto since #15434 (2025-08); before, bare -fa turned it on and nothing turned it off. The same change
# made all layers the default of -ngl; before, none went to GPUs.
FLASH_ATTENTION_VALUE_BUILD = 6325
# Without -c: 4096 tokens since #10136 (2024-11), the model's own context before that and since --fit.
FIXED_CONTEXT_BUILD, FIXED_CONTEXT = 4024, 4096
# --load-mode since #20834 (2026-07, in build 10114); --no-mmap went away in build 10875 (#28334).
LOAD_MODE_BUILD, NO_MMAP_GONE_BUILD = 10114, 10875
# Without -np: 4 slots that share one cache, since #16736 (2025-10); reported by users of build 7079 (#17300).
AUTO_SLOTS_BUILD, AUTO_SLOTS = 7079, 4
# A draft model does nothing without --spec-type draft-simple since #22673 (2026-05, in build 9297).
SPEC_TYPE_BUILD = 9297
MTP_BUILD = 9246  # --spec-type draft-mtp: in that build, not in 9113
# -mmdev since #23255 (2026-05); MTMD_BACKEND_DEVICE says the same since #14236 (2025-06), and to newer builds too.
MMPROJ_DEVICE_BUILD = 10114
SERVER_DRAFT_BUILD = 4200
BF16_CACHE_BUILD = 4875  # seen there, not in 3640
MMPROJ_BUILD = 5332  # --mmproj in the server: #12898 (2025-05)
OP_OFFLOAD_BUILD = 5456  # --no-op-offload: #13386 (2025-05)
SWA_FULL_BUILD = 5456  # --swa-full: #13194 (2025-05); before, sliding-window layers cached the whole context
NO_WEB_UI_BUILD = 4875  # --no-webui: seen there, not in 3640
WEB_UI_BUILD = 7710  # --webui, to be sure: seen there, not in 6150
CORS_BUILD = 11434  # --cors-origins: seen there, not in 9113; older builds let the pages of every origin read answers
# Rows of logits for the slots alone (n_outputs_max in tools/server/server-context.cpp): in build 9464, not in 9453.
SLOT_ROWS_BUILD = 9464
PROMPT_CACHE_BUILD = 7079  # --cache-ram (8192 MiB) and --ctx-checkpoints: #16391 (2025-10); not in 6150
RPC_DEVICES_BUILD = 6700  # devices named RPC0, RPC1: #16276 (2025-10); the very first build was not looked up
TENSOR_MODE_BUILD = 8783  # -sm tensor: #19378 (2026-04), reported by users of that build (#21876); not in 8672


def llama_build(version: str | None) -> int:
    """The build number in a version: "11434", "b6327", "2026.10.11549"; the newest when it holds none."""
    numbers = re.findall(r"(?:^|[b.])(\d{4,})$", version or "")
    return int(numbers[0]) if numbers else NEWEST


def llama_rules(name: str, version: str | None) -> EngineRules:
    """What this build can be told and what it assumes."""
    build = llama_build(version)
    return EngineRules(
        name=name,
        version=version,
        forced=_forced(build),
        names_devices=build >= DEVICE_BUILD,
        device_flag="--device" if build >= DEVICE_BUILD else None,
        split_modes=("layer", "none", "tensor") if build >= TENSOR_MODE_BUILD else ("layer", "none"),
        drafts_itself=(MTP, NGRAM) if build >= SPEC_TYPE_BUILD else (),
        own_caches=build >= KV_UNIFIED_BUILD,
        memory=MemoryRules(
            slot_rows=build >= SLOT_ROWS_BUILD,
            places_norms=True,
            prompt_cache_mib=8192 if build >= PROMPT_CACHE_BUILD else 0,
            checkpoints=32 if build >= PROMPT_CACHE_BUILD else 0,
        ),
    )


def _forced(build: int) -> dict[str, object]:
    """Settings that `build` has no words for, with what it does by itself."""
    since: tuple[tuple[int, str, object], ...] = (
        (OVERRIDE_TENSOR_BUILD, "override_tensors", ()),
        (SWA_FULL_BUILD, "swa_full", True),
        (CPU_MOE_BUILD, "n_cpu_moe", 0),
    )
    return {field: value for first, field, value in since if build < first}
