"""llama.cpp's hparams, as far as they decide what a layer caches, derived from a header and its family.

Source: src/llama-model.cpp (load_hparams), src/llama-hparams.cpp and src/models/*.cpp, llama.cpp build 11434.
"""

from dataclasses import dataclass

from splitter.model.facts import MetadataScalar, ModelFacts
from splitter.model.families import Family, IndexerKind, RecurrentRule, StateKind, Window, family

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS in src/llama-hparams.h
STATE_KINDS: dict[str, StateKind] = {
    "wkv.head_size": "rwkv",
    "shortconv.l_cache": "shortconv",
    "kda.head_dim": "kda",
    "ssm.conv_kernel": "mamba2",
}
# glm-dsa files from before the key existed: context_length below 1048576 means every layer has its own indexer.
GLM_SHARED_INDEXER_CONTEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class Hparams:
    """Per-layer tuples have one entry per placed layer (`layers`); the first `trunk` of them are not MTP layers.

    `head_k`/`head_v` are widths of one head, `windowed` marks sliding-window layers of `window` tokens, `recurrent`
    layers that carry a state per sequence: `state_elements` F32 values of rolling (convolution, token shift) and of
    recurrent state. `kv_layers` is the number of
    leading layers with their own KV cache, `mla` tells that keys hold values too.
    """

    family: Family
    layers: int
    trunk: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    ffn: tuple[int, ...]
    head_k: tuple[int, ...]
    head_v: tuple[int, ...]
    mla: bool
    windowed: tuple[bool, ...]
    window: int
    recurrent: tuple[bool, ...]
    state_elements: tuple[int, int]
    kv_layers: int


def integer(facts: ModelFacts, key: str, default: int = 0) -> int:
    """`<arch>.<key>` as int, `default` where the header is silent or holds an array."""
    value = facts.hparam(key)
    return int(value) if isinstance(value, (int, float)) else default


def per_layer(facts: ModelFacts, key: str, layers: int) -> tuple[int, ...] | None:
    """`<arch>.<key>` for each layer: a scalar serves all, a short array is continued with 0; None if absent."""
    value = facts.hparam(key)
    if isinstance(value, tuple):
        return tuple(int(v) for v in _padded(value, layers))
    return (int(value),) * layers if isinstance(value, (int, float)) else None


def _padded(values: tuple[MetadataScalar, ...], layers: int) -> tuple[MetadataScalar, ...]:
    return values[:layers] + (0,) * (layers - len(values))


def placed_layers(facts: ModelFacts) -> int:
    """Repeating layers that -ngl and -ts count (llama.cpp's n_layer_all).

    `block_count`, except that a looped model counts every pass and a router is a layer of its own.
    """
    known = family(facts.architecture)
    if known is None:
        return facts.layers
    if known.looped:
        return max(0, facts.layers - integer(facts, "nextn_predict_layers")) * _loops(facts)
    return facts.layers + known.router


def trunk_layers(facts: ModelFacts) -> int:
    """Placed layers without the MTP (NextN) layers at the end."""
    nextn = integer(facts, "nextn_predict_layers")
    known = family(facts.architecture)
    if known is not None and known.router:
        return facts.layers
    if known is not None and known.indexer == "compressed" and nextn:
        probe = f"blk.{facts.layers - nextn}.nextn.eh_proj.weight"
        nextn = nextn if any(t.name == probe for t in facts.tensors) else 0
    return placed_layers(facts) - min(nextn, facts.layers)


def has_mtp(facts: ModelFacts) -> bool:
    """Whether the file holds MTP (NextN) layers that can draft."""
    return any(tensor.name.endswith("nextn.eh_proj.weight") for tensor in facts.tensors)


def read_hparams(facts: ModelFacts) -> Hparams:
    """What the header and the family say about every layer's cache."""
    known = family(facts.architecture) or _guessed_family(facts)
    layers, trunk = placed_layers(facts), trunk_layers(facts)
    heads = _each(facts, "attention.head_count", layers, known)
    kv_heads = _each(facts, "attention.head_count_kv", layers, known) if _has_kv_heads(facts) else heads
    ffn = _each(facts, "feed_forward_length", layers, known)
    recurrent = _recurrent(facts, known, trunk, kv_heads, ffn)
    window, windowed = _windows(facts, known, layers, trunk, recurrent)
    head_k, head_v = _head_widths(facts, known, heads, windowed)
    return Hparams(
        family=known,
        layers=layers,
        trunk=trunk,
        heads=heads,
        kv_heads=kv_heads,
        ffn=ffn,
        head_k=head_k,
        head_v=head_v,
        mla=integer(facts, "attention.key_length_mla") > 0 and integer(facts, "attention.value_length_mla") > 0,
        windowed=windowed,
        window=window,
        recurrent=recurrent,
        state_elements=_state(facts, known, heads, head_k),
        kv_layers=_kv_layers(facts, known, layers),
    )


def _guessed_family(facts: ModelFacts) -> Family:
    """For an architecture that is not in the table: what the header's own keys suggest."""
    pattern = facts.hparam("attention.sliding_window_pattern")
    window = Window(pattern if type(pattern) is int else None, rule="if_given") if pattern is not None else None
    state = next((kind for key, kind in STATE_KINDS.items() if integer(facts, key) > 0), None)
    indexer: IndexerKind = "lightning" if integer(facts, "attention.indexer.key_length") else "none"
    if state is None:
        return Family(window=window, indexer=indexer)
    return Family(window=window, recurrent=_guessed_recurrence(facts), state=state, indexer=indexer)


def _guessed_recurrence(facts: ModelFacts) -> RecurrentRule:
    listed = isinstance(facts.hparam("attention.recurrent_layers"), tuple)
    if listed or integer(facts, "full_attention_interval") > 0:
        return "interval"
    return "no_kv_heads" if facts.hparam("attention.head_count") else "all"


def _has_kv_heads(facts: ModelFacts) -> bool:
    return isinstance(facts.hparam("attention.head_count_kv"), (int, float, tuple))


def _each(facts: ModelFacts, key: str, layers: int, known: Family) -> tuple[int, ...]:
    """A per-layer value for every placed layer."""
    return _looped(facts, per_layer(facts, key, facts.layers) or (0,) * facts.layers, layers, known)


def _looped(facts: ModelFacts, values: tuple[int, ...], layers: int, known: Family) -> tuple[int, ...]:
    if known.router:
        return (*values, 1)
    loops = _loops(facts) if known.looped else 1
    return values[: layers // loops] * loops


def _loops(facts: ModelFacts) -> int:
    """How often a looped model passes its physical layers, at most as often as llama.cpp has room for layers."""
    return max(1, min(integer(facts, "num_loops", 1), MAX_LAYERS // max(facts.layers, 1)))


def _recurrent(
    facts: ModelFacts, known: Family, trunk: int, kv_heads: tuple[int, ...], ffn: tuple[int, ...]
) -> tuple[bool, ...]:
    layers = range(len(kv_heads))
    if known.recurrent == "interval":
        listed = per_layer(facts, "attention.recurrent_layers", len(kv_heads))
        if listed is not None:
            return tuple(bool(v) for v in listed)
        interval = max(1, integer(facts, "full_attention_interval", known.interval))
        return tuple(i < trunk and (i + 1) % interval != 0 for i in layers)
    if known.recurrent == "no_kv_heads":
        return tuple(i < trunk and kv_heads[i] == 0 for i in layers)
    if known.recurrent == "no_kv_heads_no_ffn":
        return tuple(i < trunk and kv_heads[i] == 0 and ffn[i] == 0 for i in layers)
    return (known.recurrent == "all",) * len(kv_heads)


def _windows(
    facts: ModelFacts, known: Family, layers: int, trunk: int, recurrent: tuple[bool, ...]
) -> tuple[int, tuple[bool, ...]]:
    none = (False,) * layers
    rule = known.window
    given = facts.hparam("attention.sliding_window")
    size = int(given) if isinstance(given, (int, float)) else None
    if rule is None or not _window_applies(rule, size, trunk):
        return 0, none
    window = rule.forced if rule.forced is not None else (rule.size if size is None else size)
    if known.indexer == "compressed":
        return window, (True,) * layers
    if rule.all_attention:
        return window, tuple(i < trunk and not recurrent[i] for i in range(layers))
    listed = facts.hparam("attention.sliding_window_pattern")
    if isinstance(listed, tuple):
        return window, tuple(bool(v) for v in _padded(listed, layers))
    if rule.pattern is None:
        return window, (True,) * layers
    pattern = int(listed) if isinstance(listed, (int, float)) else rule.pattern
    return window, tuple(i < trunk and _is_windowed(i, pattern, rule.dense_first) for i in range(layers))


def _window_applies(rule: Window, size: int | None, trunk: int) -> bool:
    return {
        "always": True,
        "if_given": bool(size),
        "never_if_zero": size != 0,
        "exactly_64_layers": trunk == 64,
    }[rule.rule]


def _is_windowed(layer: int, pattern: int, dense_first: bool) -> bool:
    if pattern == 0:
        return True
    return layer % pattern != 0 if dense_first else layer % pattern < pattern - 1


def _head_widths(
    facts: ModelFacts, known: Family, heads: tuple[int, ...], windowed: tuple[bool, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    width = integer(facts, "embedding_length") // heads[0] if heads and heads[0] else 0
    full_k = integer(facts, "attention.key_length", width)
    full_v = integer(facts, "attention.value_length", width)
    window_k = integer(facts, "attention.key_length_swa", full_k)
    window_v = integer(facts, "attention.value_length_swa", full_v)
    if known.latent_values:
        full_v = integer(facts, "attention.kv_lora_rank", full_v)
    return (
        tuple(window_k if w else full_k for w in windowed),
        tuple(window_v if w else full_v for w in windowed),
    )


def _kv_layers(facts: ModelFacts, known: Family, layers: int) -> int:
    if known.kv_from_start is not None:
        return min(known.kv_from_start, layers)
    return layers - integer(facts, "attention.shared_kv_layers")


def _state(facts: ModelFacts, known: Family, heads: tuple[int, ...], head_k: tuple[int, ...]) -> tuple[int, int]:
    """F32 elements of the rolling (convolution, token shift) and of the recurrent state of one sequence."""
    width = integer(facts, "embedding_length")
    kernel = integer(facts, "ssm.conv_kernel")
    inner, state = integer(facts, "ssm.inner_size"), integer(facts, "ssm.state_size")
    if known.state == "rwkv":
        return integer(facts, "token_shift_count", 2) * width, width * integer(facts, "wkv.head_size")
    if known.state == "shortconv":
        return width * (integer(facts, "shortconv.l_cache") - 1), 0
    if known.state == "kda":
        head = integer(facts, "kda.head_dim")
        return 3 * (kernel - 1 if kernel else 3) * heads[0] * head, head * head * heads[0]
    if known.state == "lightning":
        return 0, head_k[0] * head_k[0] * heads[0]
    groups = integer(facts, "ssm.group_count") if known.state == "mamba2" else 0
    return max(kernel - 1, 0) * (inner + 2 * groups * state), state * inner
