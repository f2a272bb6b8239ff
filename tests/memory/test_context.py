"""Cells, rows and streams of a cache, and the laws that hold for every model."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.errors import UsageError
from splitter.memory.context import cache_bytes, context_bytes, row_bytes, sequence_cells, window_cells
from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.rules import MemoryRules
from splitter.memory.setting_table import CACHE_TYPES
from splitter.memory.settings import Settings
from splitter.model.attention import LayerCache, cache_layers
from splitter.units import MIB
from tests.memory.engine_answers import answers

FACTS = {case.model: case.facts for case in answers()}
SETTINGS = Settings(context_size=8192, gpu_layers=999, device_order=("CUDA0",))
FULL = LayerCache(k_width=1024, v_width=1024, v_width_padded=1024)


@pytest.mark.parametrize(
    ("context", "parallel", "unified", "expected"),
    [
        (4096, 1, True, 4096),
        (4097, 4, True, 4352),
        (4097, 4, False, 1280),
        (300, 2, False, 256),
        (0, 1, True, 256),  # -c 0: the model's own 256
    ],
)
def test_cells_per_stream(context: int, parallel: int, unified: bool, expected: int) -> None:
    settings = replace(SETTINGS, context_size=context, parallel=parallel, kv_unified=unified)
    assert sequence_cells(FACTS["qwen3-dense"], settings) == expected


def test_a_window_holds_every_sequence_and_one_batch_but_no_more_than_the_context() -> None:
    assert window_cells(1024, 32768, 512, 1) == 1536
    assert window_cells(1024, 32768, 512, 4) == 4608
    assert window_cells(1024, 512, 512, 4) == 512


@pytest.mark.parametrize(
    ("parallel", "window_padding", "mib"),
    [(1, 0, 1924), (1, 128, 1976), (4, 128, 3640)],  # 1.117 printed the last two, releases before 1.97 the first
)
def test_koboldcpps_cache_of_gemma_3_27b(parallel: int, window_padding: int, mib: int) -> None:
    """Context 16384: 10 layers of everything, 52 with a window of 1024 tokens that one more sequence shares."""
    rules = MemoryRules(context_padding=128, extra_sequences=1, window_padding=window_padding)
    layers = (LayerCache(2048, 2048),) * 10 + (LayerCache(2048, 2048, window=1024),) * 52
    settings = rules.seen(replace(SETTINGS, context_size=16384, batch_size=512, parallel=parallel))
    found = context_bytes(FACTS["qwen3-dense"], layers, settings, window_padding=window_padding)
    assert sum(found) == mib * MIB


def test_the_padding_of_a_window_counts_and_goes_no_further_than_the_context() -> None:
    assert window_cells(1024, 16640, 512, 5, 128) == 5760
    assert window_cells(1024, 1024, 512, 1, 128) == 1024
    assert window_cells(1000, 16640, 512, 1, 128 + 37) == 1536 + 165


def test_a_second_context_doubles_cache_and_compute_but_no_weights() -> None:
    """koboldcpp's --enableguidance."""
    facts, placement = FACTS["qwen3-dense"], Placement((0,) * (FACTS["qwen3-dense"].layers + 1), 1)
    settings = replace(SETTINGS, context_size=4096)
    once = MemoryModel(facts, settings).footprint(placement).devices[0]
    twice = MemoryModel(facts, settings, MemoryRules(contexts=2)).footprint(placement).devices[0]
    assert twice.model_bytes == once.model_bytes
    assert (twice.context_bytes, twice.compute_bytes) == (2 * once.context_bytes, 2 * once.compute_bytes)


def test_rows_of_every_cache_type() -> None:
    assert [row_bytes(name, 64) for name in CACHE_TYPES] == [256, 128, 128, 68, 36, 40, 36, 44, 48]
    with pytest.raises(UsageError, match="q3_k"):
        row_bytes("q3_k", 64)


def test_a_quantised_cache_pads_its_last_row() -> None:
    assert cache_bytes("q8_0", 1024, 256) == 1024 * 34 // 32 * 256
    assert cache_bytes("q8_0", 128, 256) == 128 * 34 // 32 * 256 + 512
    assert cache_bytes("f16", 128, 256) == 128 * 2 * 256


def test_without_flash_attention_values_are_as_wide_as_in_the_widest_layer() -> None:
    layers = (FULL, LayerCache(k_width=512, v_width=512, v_width_padded=1024))
    on, off = (replace(SETTINGS, flash_attention=mode) for mode in ("auto", "off"))
    facts = FACTS["qwen3-dense"]
    assert context_bytes(facts, layers, off)[1] == context_bytes(facts, layers, on)[1] * 3 // 2
    assert context_bytes(facts, layers, off)[0] == context_bytes(facts, layers, on)[0]


def test_shared_kv_layers_read_another_layer_and_hold_nothing() -> None:
    layers = cache_layers(next(case.facts for case in answers() if case.facts.architecture == "gemma3n"))
    sharing = [layer for layer in layers[20:] if layer.reads is not None]
    assert sharing
    assert all(layer.k_width == layer.v_width == 0 for layer in sharing)
    assert {layer.reads for layer in sharing} <= {18, 19}
    assert all(layer.reads == i for i, layer in enumerate(layers[:20]))


@given(model=st.sampled_from(sorted(FACTS)), context=st.integers(1, 1 << 17), parallel=st.integers(1, 8))
def test_more_context_never_takes_less_and_slots_share_a_unified_cache(model: str, context: int, parallel: int) -> None:
    memory = MemoryModel(FACTS[model], replace(SETTINGS, context_size=context, parallel=parallel))
    longer = memory.with_settings(replace(memory.asked, context_size=context + 256))
    assert all(a <= b for a, b in zip(memory.layer_context_bytes, longer.layer_context_bytes, strict=True))
    assert longer.weights is memory.weights
    split = memory.with_settings(replace(memory.settings, kv_unified=False))
    states = sum(layer.recurrent_bytes for layer in memory.caches) * parallel
    assert sum(split.layer_context_bytes) >= states
