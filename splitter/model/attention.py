"""What each repeating layer of a model caches: attention families as data, read from the header."""

from dataclasses import dataclass

from splitter.model.facts import ModelFacts


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one repeating layer keeps per context.

    `k_width` and `v_width` are elements per KV cell (0 = no such cache), `window` the sliding window in tokens
    (0 = full attention), `recurrent_bytes` the state of one sequence in bytes.
    """

    k_width: int = 0
    v_width: int = 0
    window: int = 0
    recurrent_bytes: int = 0


def placed_layers(facts: ModelFacts) -> int:
    """The number of repeating layers that -ngl and -ts count."""
    return facts.layers


def _per_layer(facts: ModelFacts, key: str, default: int) -> tuple[int, ...]:
    value = facts.hparam(key)
    if isinstance(value, tuple):
        return tuple(int(v) for v in value)
    return (default if not isinstance(value, int) else value,) * facts.layers


def cache_layers(facts: ModelFacts) -> tuple[LayerCache, ...]:
    """One LayerCache per repeating layer, in order."""
    heads = _per_layer(facts, "attention.head_count", 1)
    kv_heads = facts.hparam("attention.head_count_kv")
    kv = heads if kv_heads is None else _per_layer(facts, "attention.head_count_kv", 1)
    embedding = facts.hparam("embedding_length")
    width = int(embedding) // max(heads[0], 1) if isinstance(embedding, int) else 0
    key, value = facts.hparam("attention.key_length"), facts.hparam("attention.value_length")
    k = key if isinstance(key, int) else width
    v = value if isinstance(value, int) else width
    return tuple(LayerCache(k_width=k * n, v_width=v * n) for n in kv)
