"""What ik_llama.cpp can be told and what it assumes (common/common.cpp, src/llama.cpp of ik-llama-cpp-python 0.1.5)."""

from splitter.engine.ik_llama.graph_cut import refusal
from splitter.engine.ik_llama.latent import Latent
from splitter.engine.ik_llama.memory import PLAIN, ik_memory
from splitter.engine.ik_llama.placement import ByBytes
from splitter.memory.setting_table import ALL_CACHE_TYPES, FORK_CACHE_TYPES
from splitter.plan.engine_rules import EngineRules

OWN_CACHE_TYPES = tuple(FORK_CACHE_TYPES)


def ik_rules(name: str, version: str | None, latent: Latent = PLAIN) -> EngineRules:
    """One cache for all slots, whole also for sliding windows; layers by bytes; pipeline copies 1; -sm graph where it
    is asked for. `latent` is what a command says of -mla and -amb."""
    return EngineRules(
        name=name,
        version=version,
        assumed={"parallel": 1, "kv_unified": True, "batch_size": 2048, "ubatch_size": 512, "flash_attention": "on"},
        forced={"swa_full": True, "op_offload": True},
        split_modes=("layer", "none", "tensor"),
        cannot_share=refusal,
        shares_unasked=False,
        workers=False,  # its RPC speaks another protocol than llama.cpp's
        drafts_itself=(),
        cache_types=tuple(ALL_CACHE_TYPES),
        own_caches=False,
        fork_types=True,
        placement=ByBytes(latent),
        memory=ik_memory(latent),
    )
