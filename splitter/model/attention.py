"""What every layer of a model caches, per KV cell and per sequence.

Source: create_memory in src/llama-model.cpp and the constructors in src/llama-kv-cache*.cpp and src/llama-memory-*.cpp,
llama.cpp build 11434.
"""

from dataclasses import dataclass

from splitter.model.facts import ModelFacts
from splitter.model.families import family
from splitter.model.hparams import GLM_SHARED_INDEXER_CONTEXT, Hparams, integer, per_layer, placed_layers, read_hparams

__all__ = ["ExtraCache", "LayerCache", "cache_layers", "is_known", "placed_layers"]

F32_BYTES = 4
COMPRESSED_STATES = {4: (8, 2), 128: (128, 1)}  # ratio -> rows of the state, width in heads (llama-kv-cache-dsv4.cpp)


@dataclass(frozen=True, slots=True)
class ExtraCache:
    """A further cache of a layer, of the K cache's type: one row for every `ratio` cells.

    `v_width` is the width of its (unused) values where llama.cpp allocates them, of the V cache's type.
    """

    k_width: int
    v_width: int = 0
    ratio: int = 1


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one repeating layer keeps per context.

    `k_width` and `v_width` are elements per KV cell (both 0: no KV cache), `v_width_padded` the elements of V without
    flash attention (as wide as the widest layer), `window` the sliding window in tokens (0 = full attention),
    `per_sequence` True where every sequence has cells of its own even in a unified cache. `recurrent_bytes` is the
    state of one sequence. `extra` are indexer and compressed caches. `reads` is the layer whose cache this one
    attends to, itself unless KV is shared. `drafts`: an MTP layer, cached in the context that drafts.
    """

    k_width: int = 0
    v_width: int = 0
    window: int = 0
    recurrent_bytes: int = 0
    v_width_padded: int = 0
    per_sequence: bool = False
    extra: tuple[ExtraCache, ...] = ()
    reads: int | None = None
    drafts: bool = False


def is_known(facts: ModelFacts) -> bool:
    """True for the architectures of llama.cpp build 11434; others are planned by what their header says."""
    return family(facts.architecture) is not None


def cache_layers(facts: ModelFacts, *, mtp: bool = False) -> tuple[LayerCache, ...]:
    """One LayerCache per placed layer (see `placed_layers`), in order; `mtp`: with those of the context that drafts."""
    hparams = read_hparams(facts)
    if not hparams.family.cached or hparams.family.borrows:
        return (LayerCache(),) * hparams.layers
    extra = _EXTRA[hparams.family.indexer](facts, hparams)
    states = _state_bytes(facts, hparams)
    padded = max((v * n for v, n in zip(hparams.head_v, hparams.kv_heads, strict=True)), default=0)
    layers = tuple(_layer(hparams, i, states[i], extra[i], padded) for i in range(hparams.layers))
    if not mtp or hparams.family.nextn_kv:
        return layers
    return (*layers[: hparams.trunk], *(_drafting(hparams, i, padded) for i in range(hparams.trunk, hparams.layers)))


def _drafting(hparams: Hparams, i: int, padded: int) -> LayerCache:
    """The KV cache of an MTP layer: plain attention, or latent (create_memory for LLAMA_CONTEXT_TYPE_MTP)."""
    return LayerCache(
        k_width=hparams.head_k[i] * hparams.kv_heads[i],
        v_width=0 if hparams.mla else hparams.head_v[i] * hparams.kv_heads[i],
        window=hparams.window if hparams.windowed[i] else 0,
        v_width_padded=0 if hparams.mla else padded,
        reads=i,
        drafts=True,
    )


def _layer(hparams: Hparams, i: int, state: int, extra: tuple[ExtraCache, ...], padded: int) -> LayerCache:
    compressed = hparams.family.indexer == "compressed"
    if not _has_kv(hparams, i):
        return LayerCache(recurrent_bytes=state, reads=_reads(hparams, i))
    values = not (hparams.mla or compressed)
    return LayerCache(
        k_width=hparams.head_k[i] * hparams.kv_heads[i],
        v_width=hparams.head_v[i] * hparams.kv_heads[i] if values else 0,
        window=hparams.window if hparams.windowed[i] else 0,
        recurrent_bytes=state,
        v_width_padded=padded if values else 0,
        per_sequence=compressed,
        extra=extra,
        reads=i,
    )


def _has_kv(hparams: Hparams, i: int) -> bool:
    known = hparams.family
    in_trunk = i < hparams.trunk or known.nextn_kv or hparams.trunk == 0
    if not in_trunk or i >= hparams.kv_layers:
        return False
    if known.recurrent == "no_kv_heads_no_ffn":
        return not hparams.recurrent[i] and hparams.ffn[i] == 0
    return not hparams.recurrent[i] or known.parallel_state


def _reads(hparams: Hparams, i: int) -> int | None:
    """Layers past `kv_layers` attend to the last layer with KV of their own kind (gemma3n, gemma4)."""
    if hparams.recurrent[i] or i < hparams.kv_layers or hparams.kv_layers < 2:
        return None
    return hparams.kv_layers - (2 if hparams.windowed[i] else 1)


def _state_bytes(facts: ModelFacts, hparams: Hparams) -> tuple[int, ...]:
    """F32 bytes of state per sequence and layer: recurrent state, per-layer-embedding history, compressor state."""
    sizes = [
        sum(hparams.state_elements) * F32_BYTES if recurrent and i < hparams.trunk else 0
        for i, recurrent in enumerate(hparams.recurrent)
    ]
    for layer in _numbers(facts, "ple.layers"):
        rows = (integer(facts, "ple.conv_kernel") - 1) * integer(facts, "ple.ngram_size")
        sizes[layer] += rows * integer(facts, "hyper_connection.count") * integer(facts, "embedding_length") * F32_BYTES
    if hparams.family.indexer == "compressed":
        ratios = per_layer(facts, "attention.compress_ratios", hparams.layers) or ()
        indexer = integer(facts, "attention.indexer.key_length")
        for i, ratio in enumerate(ratios[: hparams.trunk]):
            sizes[i] += _compressor_state(ratio, hparams.head_k[0], indexer) * F32_BYTES
    return tuple(sizes)


def _compressor_state(ratio: int, head: int, indexer: int) -> int:
    """Elements of a layer's compressor states (keys and scores); ratio 4 also compresses the indexer's keys."""
    if ratio not in COMPRESSED_STATES:
        return 0
    rows, heads = COMPRESSED_STATES[ratio]
    return 2 * rows * heads * (head + (indexer if ratio == min(COMPRESSED_STATES) else 0))


def _numbers(facts: ModelFacts, key: str) -> tuple[int, ...]:
    value = facts.hparam(key)
    return tuple(int(v) for v in value) if isinstance(value, tuple) else ()


def _no_indexer(_: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    return ((),) * hparams.layers


def _lightning(facts: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    """DeepSeek sparse attention: one key of `indexer.key_length` in every trunk layer."""
    return _owned(facts, hparams, (1,) * hparams.layers)


def _listed(facts: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    """Only the layers that the header lists own an indexer; without indexer.top_k the checkpoint has none."""
    if integer(facts, "attention.indexer.top_k") == 0:
        return _no_indexer(facts, hparams)
    return _owned(facts, hparams, per_layer(facts, "attention.indexer.types", hparams.layers) or (0,) * hparams.layers)


def _glm(facts: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    """GLM: as listed; a header without the list means all layers, or every fourth in models of a 1M context."""
    every = (facts.context_train or 0) < GLM_SHARED_INDEXER_CONTEXT
    default = tuple(int(every or i < 2 or (i - 2) % 4 == 0) for i in range(hparams.layers))
    return _owned(facts, hparams, per_layer(facts, "attention.indexer.types", hparams.layers) or default)


def _owned(facts: ModelFacts, hparams: Hparams, owners: tuple[int, ...]) -> tuple[tuple[ExtraCache, ...], ...]:
    return tuple(
        _indexer_cache(facts, hparams, i) if i < hparams.trunk and owners[i] else () for i in range(hparams.layers)
    )


def _sparse(facts: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    """MiniMax sparse attention: an indexer key in every layer after the leading dense ones."""
    lead = integer(facts, "leading_dense_block_count")
    return tuple(_indexer_cache(facts, hparams, i) if i >= lead else () for i in range(hparams.layers))


def _indexer_cache(facts: ModelFacts, hparams: Hparams, i: int) -> tuple[ExtraCache, ...]:
    width = hparams.head_k[i] if hparams.windowed[i] else integer(facts, "attention.indexer.key_length")
    return (ExtraCache(width, 0 if hparams.mla else hparams.head_v[i]),)


def _pooled(facts: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    """glm5-next: key, gate and pooled key side by side."""
    rows = 3 if integer(facts, "attention.indexer.kpool") else 1
    owners = per_layer(facts, "attention.indexer.types", hparams.layers) or (1,) * hparams.layers
    return _pooled_rows(facts, hparams, rows, owners)


def _pooled_by_ratio(facts: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    """qwen4exp: key and pooled key where compress_ratios pools, else the key alone."""
    ratios = per_layer(facts, "attention.compress_ratios", hparams.layers) or ()
    return _pooled_rows(facts, hparams, 2 if any(ratios) else 1, (1,) * hparams.layers)


def _pooled_rows(
    facts: ModelFacts, hparams: Hparams, rows: int, owners: tuple[int, ...]
) -> tuple[tuple[ExtraCache, ...], ...]:
    width = rows * integer(facts, "attention.indexer.key_length")
    return tuple(
        (ExtraCache(width),) if owners[i] and i < hparams.trunk and not hparams.recurrent[i] else ()
        for i in range(hparams.layers)
    )


def _compressed(facts: ModelFacts, hparams: Hparams) -> tuple[tuple[ExtraCache, ...], ...]:
    """DeepSeek V4: keys compressed 4:1 (with an indexer) or 128:1."""
    ratios = per_layer(facts, "attention.compress_ratios", hparams.layers) or (0,) * hparams.layers
    indexer = integer(facts, "attention.indexer.key_length")
    return tuple(
        _compressed_layer(ratio, hparams.head_k[i] * hparams.kv_heads[i], indexer) for i, ratio in enumerate(ratios)
    )


def _compressed_layer(ratio: int, width: int, indexer: int) -> tuple[ExtraCache, ...]:
    if ratio not in COMPRESSED_STATES:
        return ()
    keys = (ExtraCache(width, ratio=ratio),)
    return (*keys, ExtraCache(indexer, ratio=ratio)) if ratio == min(COMPRESSED_STATES) else keys


_EXTRA = {
    "none": _no_indexer,
    "lightning": _lightning,
    "listed": _listed,
    "glm": _glm,
    "sparse": _sparse,
    "pooled": _pooled,
    "pooled_by_ratio": _pooled_by_ratio,
    "compressed": _compressed,
}
