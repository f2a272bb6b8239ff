"""Speculative decoding in memory: rows of logits to verify a draft, copies of recurrent state, the MTP context.

Source: common/speculative.cpp (common_speculative_n_max, common_speculative_get_output_limits), need_n_rs_seq in
common/common.h, llama.cpp build 11434; the same since build 9464.
"""

from dataclasses import replace

from splitter.memory.settings import Settings

DRAFT_TOKENS = 3  # --spec-draft-n-max
DRAFT_MODEL, MTP, NGRAM = "draft-simple", "draft-mtp", "ngram-simple"
# Tokens that other kinds draft at most, by their own flags' defaults.
FIXED_TOKENS = {NGRAM: 48, "ngram-map-k": 48, "ngram-map-k4v": 48, "ngram-mod": 64, "ngram-cache": 8}
ROLLING_BACK = frozenset({MTP, "draft-eagle3", "draft-dflash", "draft-dspark"})


def kinds(settings: Settings) -> tuple[str, ...]:
    """The kinds of speculative decoding in use; a draft model alone means the plain kind."""
    if settings.spec_type:
        return tuple(kind.strip() for kind in settings.spec_type.split(",") if kind.strip() != "none")
    return (DRAFT_MODEL,) if settings.draft_model else ()


def drafted_tokens(settings: Settings) -> int:
    """The most tokens that are drafted at once."""
    drafted = DRAFT_TOKENS if settings.spec_draft_n_max is None else settings.spec_draft_n_max
    return max((FIXED_TOKENS.get(kind, drafted) for kind in kinds(settings)), default=0)


def uses_mtp(settings: Settings) -> bool:
    """Whether the model's own MTP layers draft, in a context of their own; a draft model takes their place."""
    return MTP in kinds(settings) and settings.draft_model is None


def state_copies(settings: Settings) -> int:
    """How often recurrent state is held: once, and once for every drafted token that may be taken back."""
    if not ROLLING_BACK & set(kinds(settings)):
        return 1
    return 1 + (DRAFT_TOKENS if settings.spec_draft_n_max is None else settings.spec_draft_n_max)


def draft_types(settings: Settings) -> Settings:
    """`settings` with the cache types of what drafts: f16 whatever -ctk and -ctv say, unless -ctkd and -ctvd say."""
    return replace(settings, cache_type_k=settings.draft_cache_type_k, cache_type_v=settings.draft_cache_type_v)
