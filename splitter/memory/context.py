"""Bytes of the KV cache and of recurrent state, layer by layer.

Source: src/llama-context.cpp (n_ctx, n_ctx_seq), src/llama-kv-cache*.cpp, llama.cpp build 11434.
"""

from dataclasses import dataclass

from splitter.errors import UsageError
from splitter.memory.setting_table import ALL_CACHE_TYPES
from splitter.memory.settings import Settings
from splitter.memory.speculation import draft_types, state_copies
from splitter.memory.weights import DEVICE_ALIGNMENT, ROW_PADDING
from splitter.model.attention import LayerCache
from splitter.model.facts import ModelFacts
from splitter.units import pad

CELL_PADDING = 256


def row_bytes(cache_type: str, elements: int) -> int:
    """Bytes of `elements` values in a cache type; UsageError for a type that llama.cpp does not offer."""
    if cache_type not in ALL_CACHE_TYPES:
        raise UsageError(f"'{cache_type}' is not a cache type", f"use one of {', '.join(ALL_CACHE_TYPES)}")
    block, size = ALL_CACHE_TYPES[cache_type]
    return elements * size // block


def cache_bytes(cache_type: str, width: int, cells: int) -> int:
    """Bytes of one cache tensor on a GPU: `cells` rows of `width` values, the last quantised one padded as in CUDA."""
    row = row_bytes(cache_type, width)
    rest = width % ROW_PADDING if ALL_CACHE_TYPES[cache_type][0] > 1 else 0
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


def window_cells(window: int, stream_cells: int, batch: int, sequences: int, padding: int = 0) -> int:
    """Cells of one stream of a sliding-window cache that `sequences` sequences share; `padding` as in MemoryRules."""
    return min(stream_cells, pad(window * sequences + batch, CELL_PADDING) + padding)


def uses_flash_attention(settings: Settings, possible: bool) -> bool:
    """Whether the cache is laid out for flash attention; `possible` False where the architecture forbids it."""
    return possible and settings.flash_attention != "off"


@dataclass(frozen=True, slots=True)
class Streams:
    """How the cells of a layer are laid out: `count` streams of `cells`, of `full_cells` without a sliding window."""

    count: int
    cells: int
    full_cells: int


def layer_streams(layer: LayerCache, settings: Settings, stream_cells: int, batch: int, padding: int = 0) -> Streams:
    """The streams of one layer; one serves all sequences when the cache is unified. `padding`: see `window_cells`."""
    count = settings.parallel if layer.per_sequence or not settings.kv_unified else 1
    if not layer.window or settings.swa_full:
        return Streams(count, stream_cells, stream_cells)
    cells = window_cells(layer.window, stream_cells, batch, settings.parallel // count, padding)
    return Streams(count, cells, stream_cells)


def kv_bytes(settings: Settings, streams: Streams, k_width: int, v_width: int) -> int:
    """Bytes of the keys and values of one layer."""
    cells = streams.count * streams.cells
    return cache_bytes(settings.cache_type_k, k_width, cells) + cache_bytes(settings.cache_type_v, v_width, cells)


def extra_bytes(layer: LayerCache, settings: Settings, streams: Streams) -> int:
    """Bytes of the indexer and compressed caches of one layer."""
    total = 0
    for extra in layer.extra:
        rows = streams.full_cells
        if extra.ratio > 1:
            rows = pad(max(1, -(-rows // extra.ratio)), CELL_PADDING)
        total += kv_bytes(settings, Streams(streams.count, rows, rows), extra.k_width, extra.v_width)
    return total


def layer_bytes(layer: LayerCache, settings: Settings, streams: Streams, *, flash: bool) -> int:
    """Bytes of one layer over all streams and sequences."""
    values = layer.v_width if flash else layer.v_width_padded
    settings = draft_types(settings) if layer.drafts else settings
    attention = kv_bytes(settings, streams, layer.k_width, values) + extra_bytes(layer, settings, streams)
    return attention + layer.recurrent_bytes * settings.parallel * state_copies(settings)


def context_bytes(
    facts: ModelFacts,
    layers: tuple[LayerCache, ...],
    settings: Settings,
    *,
    flash_possible: bool = True,
    window_padding: int = 0,
) -> tuple[int, ...]:
    """Bytes each placed layer caches; `flash_possible` False where llama.cpp forces flash attention off."""
    stream_cells, batch = sequence_cells(facts, settings), ubatch(facts, settings)
    flash = uses_flash_attention(settings, flash_possible)
    return tuple(
        layer_bytes(layer, settings, layer_streams(layer, settings, stream_cells, batch, window_padding), flash=flash)
        for layer in layers
    )
