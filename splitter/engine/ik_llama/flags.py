"""The flags of ik_llama.cpp that llama.cpp does not have, and those of llama.cpp that it lacks (common/common.cpp)."""

from collections.abc import Sequence
from itertools import pairwise

# Flags of its own, by the number of their values.
_SWITCHES = """
-no-fmoe --no-fused-moe -fmoe --fused-moe -ger --grouped-expert-routing -no-fug --no-fused-up-gate -no-mmad
--no-fused-mul-multiadd -rcache --rope-cache -gr --graph-reuse -no-gr --no-graph-reuse -no-fa --no-flash-attn --fit
-rtr --run-time-repack -thp --transparent-huge-pages -vq --validate-quants -mqkv --merge-qkv -muge
--merge-up-gate-experts -khad --k-cache-hadamard -vhad --v-cache-hadamard -smgs --split-mode-graph-scheduling -sas
--scheduler-async -smf16 --split-mode-f16 -smf32 --split-mode-f32 -mtp --multi-token-prediction -no-mtp
--no-multi-token-prediction --dry-run -dr -no-ooae --no-offload-only-active-experts -ooae
--offload-only-active-experts --minilog --peg --send-done --penalize-nl --spec-autotune
"""
OWN_SWITCHES = frozenset(_SWITCHES.split())
_VALUES = """
-mla --mla-use -amb --attention-max-batch -ser --smart-expert-reduction --max-gpu -cuda --cuda-params -op
--offload-policy --fit-margin -gfm --gpu-fit-margin -wgt --worst-graph-tokens -mea --max-extra-alloc -fdn
--fused-delta-net -grt --graph-reduce-type -ctk-first --cache-type-k-first -ctk-last --cache-type-k-last -ctv-first
--cache-type-v-first -ctv-last --cache-type-v-last --mtmd-kq-type -draft --draft-params --webui -crs
--cache-ram-similarity -cram-n-min --cache-ram-n-min --ctx-checkpoints-interval --ctx-checkpoints-tolerance
--sql-save-file --reasoning-tokens --log-format
"""
OWN_VALUES = frozenset(_VALUES.split())
# Values of its own behind flags that it shares.
_TYPES = ("q6_0", "q8_KV")
OWN_WORDS = {
    **dict.fromkeys(("-sm", "--split-mode"), ("graph", "attn")),
    **dict.fromkeys(("-ctk", "-ctv", "--cache-type-k", "--cache-type-v"), _TYPES),
}
# What each of them changes in memory, for those whose effect the figures leave out.
UNJUDGED = {
    "-ser": "-ser skips experts",
    "-rtr": "-rtr repacks the tensors in RAM and turns mmap off",
    "-ctk-first": "the first layers' own cache type",
    "-ctk-last": "the last layers' own cache type",
    "-ctv-first": "the first layers' own cache type",
    "-ctv-last": "the last layers' own cache type",
    "--max-gpu": "--max-gpu uses fewer cards in a layer",
    "-mtp": "the layers that predict several tokens",
    "-muge": "merged experts are held a second time while it loads",
}
# Flags of llama-server that it refuses, with what to do instead.
MISSING = {
    **dict.fromkeys(("-fitt", "--fit-target", "-fitc", "--fit-ctx"), "use --fit-margin MIB"),
    "--list-devices": "its log names the devices when it starts",
    "--mmap": "leave it out: it is the default",
    **dict.fromkeys(("-kvu", "--kv-unified", "-no-kvu", "--no-kv-unified"), "leave it out: its slots share one cache"),
    "--swa-full": "leave it out: it always keeps the whole cache",
    **dict.fromkeys(("--no-op-offload", "--op-offload"), "leave it out"),
    **dict.fromkeys(("-lv", "--verbosity-level", "-lm", "--load-mode"), "leave it out, or write --no-mmap"),
    **dict.fromkeys(("-mmdev", "--mmproj-device"), "use --no-mmproj-offload"),
    "--cors-origins": "leave it out",
    "--no-webui": "write --webui none",
    "--draft-max": "write --spec-type with its parameters",
}


def knows_flag(flag: str) -> bool:
    """Whether it has this flag: its own, or one of llama.cpp's that it kept."""
    from splitter.engine.llama_server.flags import flags_by_name

    return flag in OWN_SWITCHES | OWN_VALUES or (flag in flags_by_name() and flag not in MISSING)


def own_words(words: Sequence[str]) -> int:
    """How many of `words` only this fork understands: its own flags, and values of its own behind shared ones."""
    from splitter.engine.llama_server.flags import flags_by_name

    flags = sum(word in OWN_SWITCHES | OWN_VALUES and word not in flags_by_name() for word in words)
    return flags + sum(value in OWN_WORDS.get(word, ()) for word, value in pairwise(words))
