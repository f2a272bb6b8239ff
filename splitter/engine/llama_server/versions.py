"""What each release of an engine understands. Unknown versions get the newest rules.

llama.cpp build numbers: the first build in which the behaviour was seen, with the change it came from. koboldcpp
releases: see koboldcpp.py.
"""

from splitter.plan.abilities import (
    CPU_MOE_BUILD,
    DEVICE_BUILD,
    KV_UNIFIED_BUILD,
    NEWEST,
    OVERRIDE_TENSOR_BUILD,
    koboldcpp_release,
    llama_build,
)

# --fit appeared with ggml-org/llama.cpp#16653 (2025-12); reported by users of build 7414 (#18084).
FIT_BUILD = 7414
# -fa takes on|off|auto since #15434 (2025-08); before, bare -fa turned it on and nothing turned it off.
FLASH_ATTENTION_VALUE_BUILD = 6325
# --load-mode since #20834 (2026-07, in build 10114); --no-mmap went away in build 10875 (#28334).
LOAD_MODE_BUILD = 10114
# Without -np: 4 slots that share one cache, since #16736 (2025-10); reported by users of build 7079 (#17300).
AUTO_SLOTS_BUILD, AUTO_SLOTS = 7079, 4
# A draft model does nothing without --spec-type draft-simple since #22673 (2026-05, in build 9297).
SPEC_TYPE_BUILD = 9297

# -mmdev since #23255 (2026-05); MTMD_BACKEND_DEVICE says the same since #14236 (2025-06), and to newer builds too.
MMPROJ_DEVICE_BUILD = 10114
# First builds that know a flag; where a change's own build is not known, one of the days after its merge.
SERVER_DRAFT_BUILD = 4200
BF16_CACHE_BUILD = 4875  # seen there, not in 3640
MMPROJ_BUILD = 5332  # --mmproj in the server: #12898 (2025-05)
OP_OFFLOAD_BUILD = 5456  # --no-op-offload: #13386 (2025-05)
SWA_FULL_BUILD = 5456  # --swa-full: #13194 (2025-05); before, sliding-window layers cached the whole context
NO_WEB_UI_BUILD = 4875  # --no-webui: seen there, not in 3640
WEB_UI_BUILD = 7710  # --webui, to be sure: seen there, not in 6150
CORS_BUILD = 11434  # --cors-origins: seen there, not in 9113; older builds let the pages of every origin read answers
TENSOR_MODE_BUILD = 8783  # -sm tensor: #19378 (2026-04), reported by users of that build (#21876); not in 8672

__all__ = [
    "AUTO_SLOTS",
    "AUTO_SLOTS_BUILD",
    "CORS_BUILD",
    "CPU_MOE_BUILD",
    "DEVICE_BUILD",
    "FIT_BUILD",
    "FLASH_ATTENTION_VALUE_BUILD",
    "KV_UNIFIED_BUILD",
    "LOAD_MODE_BUILD",
    "MMPROJ_BUILD",
    "MMPROJ_DEVICE_BUILD",
    "NEWEST",
    "NO_WEB_UI_BUILD",
    "OP_OFFLOAD_BUILD",
    "OVERRIDE_TENSOR_BUILD",
    "SERVER_DRAFT_BUILD",
    "SPEC_TYPE_BUILD",
    "SWA_FULL_BUILD",
    "TENSOR_MODE_BUILD",
    "WEB_UI_BUILD",
    "koboldcpp_release",
    "llama_build",
]
