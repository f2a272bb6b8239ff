"""Bytes of the KV cache and of recurrent state, layer by layer.

Source: src/llama-context.cpp (n_ctx, n_ctx_seq), src/llama-kv-cache*.cpp, llama.cpp build 11434.
"""

from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.memory.weights import DEVICE_ALIGNMENT, ROW_PADDING
from splitter.model.attention import LayerCache
from splitter.model.facts import ModelFacts
from splitter.units import pad

CELL_PADDING = 256
# --cache-type-k/-v name -> (elements per block, bytes per block), ggml/src/ggml-common.h.
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
    """Bytes of `elements` values in a cache type; UsageError for a type that llama.cpp does not offer."""
    if cache_type not in CACHE_TYPES:
        raise UsageError(f"'{cache_type}' is not a cache type", f"use one of {', '.join(CACHE_TYPES)}")
    block, size = CACHE_TYPES[cache_type]
    return elements * size // block


def cache_bytes(cache_type: str, width: int, cells: int) -> int:
    """Bytes of one cache tensor on a GPU: `cells` rows of `width` values, the last quantised one padded as in CUDA."""
    row = row_bytes(cache_type, width)
    rest = width % ROW_PADDING if CACHE_TYPES[cache_type][0] > 1 else 0
    padding = row_bytes(cache_type, ROW_PADDING - rest) if rest else 0
    return pad(row * cells + padding, DEVICE_ALIGNMENT)


def sequence_cells(facts: ModelFacts, settings: Settings) -> int:
    """Cells of one stream of a full-attention cache (n_ctx_seq): -c padded to 256, divided among the slots if split."""
    total = pad(settings.context_size or facts.context_train or 0, CELL_PADDING)
    return total if settings.kv_unified else pad(total // settings.parallel, CELL_PADDING)


def ubatch(facts: ModelFacts, settings: Settings) -> int:
    """The physical batch that llama.cpp really uses: at most the logical batch and the context."""
    context = settings.context_size or facts.context_train or 0
    return min(context, settings.batch_size, settings.ubatch_size or settings.batch_size)


def window_cells(window: int, stream_cells: int, batch: int, sequences: int) -> int:
    """Cells of one stream of a sliding-window cache that `sequences` sequences share."""
    return pad(min(stream_cells, window * sequences + batch), CELL_PADDING)


def uses_flash_attention(settings: Settings, possible: bool) -> bool:
    """Whether the cache is laid out for flash attention; `possible` False where the architecture forbids it."""
    return possible and settings.flash_attention != "off"


def layer_bytes(layer: LayerCache, settings: Settings, stream_cells: int, batch: int, flash: bool) -> int:
    """Bytes of one layer over all streams and sequences."""
    streams = settings.parallel if layer.per_sequence or not settings.kv_unified else 1
    cells = stream_cells
    if layer.window and not settings.swa_full:
        cells = window_cells(layer.window, stream_cells, batch, settings.parallel // streams)
    k_type, v_type = settings.cache_type_k, settings.cache_type_v
    values = layer.v_width if flash else layer.v_width_padded
    total = cache_bytes(k_type, layer.k_width, streams * cells) + cache_bytes(v_type, values, streams * cells)
    for extra in layer.extra:
        rows = stream_cells if extra.ratio == 1 else pad(max(1, -(-stream_cells // extra.ratio)), CELL_PADDING)
        total += cache_bytes(k_type, extra.k_width, streams * rows) + cache_bytes(v_type, extra.v_width, streams * rows)
    return total + layer.recurrent_bytes * settings.parallel


def context_bytes(
    facts: ModelFacts, layers: tuple[LayerCache, ...], settings: Settings, *, flash_possible: bool = True
) -> tuple[int, ...]:
    """Bytes each placed layer caches with these settings."""
    stream_cells, batch = sequence_cells(facts, settings), ubatch(facts, settings)
    flash = uses_flash_attention(settings, flash_possible)
    return tuple(layer_bytes(layer, settings, stream_cells, batch, flash) for layer in layers)
