"""Bytes of the KV cache and of recurrent state."""

from splitter.memory.settings import Settings
from splitter.model.attention import LayerCache, cache_layers
from splitter.model.facts import ModelFacts
from splitter.units import pad

# Cache type -> (elements per block, bytes per block), ggml/src/ggml-common.h.
CACHE_TYPES = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
    "q4_1": (32, 20),
    "iq4_nl": (32, 18),
    "q5_0": (32, 22),
    "q5_1": (32, 24),
}


def row_bytes(cache_type: str, elements: int) -> int:
    """Bytes of `elements` values of a cache type (llama.cpp's --cache-type-k names)."""
    block, size = CACHE_TYPES[cache_type]
    return elements // block * size


def cells(layer: LayerCache, settings: Settings) -> int:
    """KV cells of a layer over all streams."""
    streams = 1 if settings.kv_unified else settings.parallel
    per_stream = pad(pad(settings.context_size, 256) // streams, 256)
    if layer.window and not settings.swa_full:
        sequences = settings.parallel if settings.kv_unified else 1
        per_stream = min(per_stream, pad(layer.window * sequences + settings.ubatch_size, 256))
    return per_stream * streams


def context_bytes(facts: ModelFacts, settings: Settings) -> tuple[int, ...]:
    """Bytes each repeating layer caches."""
    return tuple(
        cells(layer, settings)
        * (row_bytes(settings.cache_type_k, layer.k_width) + row_bytes(settings.cache_type_v, layer.v_width))
        + layer.recurrent_bytes * settings.parallel
        for layer in cache_layers(facts)
    )
