import struct
from pathlib import Path

import gguf
import pytest

from splitter.model.header import read_header
from splitter.model.load import load_model
from splitter.model.read_facts import facts_from_headers
from splitter.model.summary import TypeShare, summarize
from tests.engine.oracle import skeleton
from tests.model.gguf_files import ARCHITECTURE, BytesSource, array, pair, raw_file, row, write_model

MATRIX = 256 * 256 // 32 * 34
EMBEDDING = 32 * 256 // 32 * 34


def test_bytes_and_types(tmp_path: Path) -> None:
    def experts(writer: gguf.GGUFWriter) -> None:
        writer.add_embedding_length(256)
        writer.add_feed_forward_length([512, 1024])
        writer.add_expert_count(8)
        writer.add_expert_used_count(2)

    summary = summarize(load_model(str(write_model(tmp_path / "m.gguf", extra=experts))))
    assert summary.kind == "model"
    assert summary.layer_bytes == (MATRIX + 1024, MATRIX + 1024)
    assert [tensor.name for tensor in summary.outside] == ["output.weight", "token_embd.weight", "output_norm.weight"]
    assert summary.outside_bytes == 2 * EMBEDDING + 1024
    assert summary.types == (
        TypeShare("Q8_0", 4, 2 * 256 * 256 + 2 * 32 * 256, 2 * MATRIX + 2 * EMBEDDING),
        TypeShare("F32", 3, 768, 3072),
    )
    assert summary.tensor_bytes == sum(share.size_bytes for share in summary.types)
    assert (summary.heads.head_count, summary.heads.head_count_kv, summary.heads.key_length) == (8, 2, None)
    assert (summary.embedding_length, summary.feed_forward_length) == (256, (512, 1024))
    assert (summary.expert_count, summary.expert_used_count, summary.expert_bytes) == (8, 2, 0)
    assert summary.bits_per_weight == pytest.approx(8.5, abs=0.2)


def test_heads_per_layer_and_layers_beyond_the_count() -> None:
    pairs = [
        ARCHITECTURE,
        pair("llama.block_count", 4, struct.pack("<I", 1)),
        pair("llama.attention.head_count_kv", 9, array(5, 2, struct.pack("<ii", 8, 2))),
        pair("llama.attention.head_count", 9, array(6, 1, struct.pack("<f", 8.0))),
    ]
    rows = [row("blk.0.ffn_up_exps.weight", [8]), row("blk.1.w", [8], 0, 32), row("blk.99999.w", [8], 0, 64)]
    data = raw_file(pairs, rows, data_bytes=96)
    summary = summarize(facts_from_headers([read_header(BytesSource(data))], "x.gguf"))
    assert summary.layer_bytes == (32,)
    assert {tensor.name for tensor in summary.outside} == {"blk.1.w", "blk.99999.w"}
    assert summary.heads.head_count_kv == (8, 2)
    assert summary.heads.head_count is None
    assert summary.expert_bytes == 32


def test_a_vocabulary_has_no_bits_per_weight() -> None:
    summary = summarize(facts_from_headers([read_header(BytesSource(raw_file([ARCHITECTURE])))], "x.gguf"))
    assert (summary.bits_per_weight, summary.types, summary.kind) == (None, (), "vocabulary")


@pytest.mark.engine
def test_experts_of_a_mixture_model() -> None:
    summary = summarize(load_model(str(skeleton("qwen3-30b-a3b-q4_k_m"))))
    assert (summary.expert_count, summary.expert_used_count, len(summary.layer_bytes)) == (128, 8, 48)
    assert 0.9 < summary.expert_bytes / summary.tensor_bytes < 1
