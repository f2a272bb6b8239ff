import struct
from pathlib import Path

import gguf
import pytest

from splitter.errors import ModelError
from splitter.model.facts import ModelFacts
from splitter.model.header import read_header
from splitter.model.load import load_model
from splitter.model.read_facts import facts_from_headers, kind_of
from tests.engine.oracle import engine_dir
from tests.model.gguf_files import ARCHITECTURE, TINY, BytesSource, array, pair, raw_file, row, string, write_model

LAYERS = pair("llama.block_count", 4, struct.pack("<I", 2))


def facts_of(*pairs: bytes, rows: tuple[bytes, ...] = (), path: str = "dir/file-Q4_0.gguf") -> ModelFacts:
    data = raw_file(pairs, rows, data_bytes=4096 if rows else 0)
    return facts_from_headers([read_header(BytesSource(data))], path)


def test_name_is_safe_for_terminals_and_raw_stays() -> None:
    raw = "Evil\x1b[31m\nName\u202e" + "x" * 500
    facts = facts_of(ARCHITECTURE, pair("general.name", 8, string(raw)))
    assert facts.name.startswith("Evil [31m Name x")
    assert facts.name.isprintable()
    assert len(facts.name) == 96
    assert facts.metadata["general.name"] == raw


@pytest.mark.parametrize("name", ["", "\x1b\x07", None])
def test_file_name_stands_in_for_an_empty_name(name: str | None) -> None:
    pairs = [ARCHITECTURE] + ([] if name is None else [pair("general.name", 8, string(name))])
    assert facts_of(*pairs).name == "file-Q4_0"
    assert facts_of(*pairs, path="a/m-00001-of-00002.gguf").name == "m"


@pytest.mark.parametrize(
    ("file_type", "expected"), [(15, "Q4_K_M"), (15 | 1024, "Q4_K_M"), (0, "F32"), (38, "MXFP4_MOE"), (999, "F16")]
)
def test_quantization(file_type: int, expected: str) -> None:
    rows = (row("blk.0.a", [512], 1), row("blk.0.b", [8], 0, 1024))
    facts = facts_of(ARCHITECTURE, LAYERS, pair("general.file_type", 4, struct.pack("<I", file_type)), rows=rows)
    assert facts.quantization == expected


def test_quantization_without_a_file_type() -> None:
    assert facts_of(ARCHITECTURE).quantization is None
    assert facts_of(ARCHITECTURE, rows=(row("token_embd.weight", [256], 12),)).quantization == "Q4_K"


def test_vocabulary() -> None:
    tokens = pair("tokenizer.ggml.tokens", 9, array(8, 2, string("a") + string("b")))
    declared = pair("llama.vocab_size", 4, struct.pack("<I", 7))
    rows = (row("token_embd.weight", [8, 5]), row("output.weight", [8, 6], 0, 160))
    assert facts_of(ARCHITECTURE, declared, tokens, rows=rows).vocabulary == 2
    assert facts_of(ARCHITECTURE, declared, rows=rows).vocabulary == 7
    assert facts_of(ARCHITECTURE, rows=rows).vocabulary == 6
    assert facts_of(ARCHITECTURE, rows=rows[:1]).vocabulary == 5
    assert facts_of(ARCHITECTURE).vocabulary == 0


def test_unknown_context_is_none() -> None:
    assert facts_of(ARCHITECTURE).context_train is None
    assert facts_of(ARCHITECTURE, pair("llama.context_length", 4, struct.pack("<I", 0))).context_train is None
    assert facts_of(ARCHITECTURE, pair("llama.context_length", 6, struct.pack("<f", 8.0))).context_train is None


BAD: dict[str, tuple[tuple[bytes, ...], str]] = {
    "no architecture": ((), "does not name its architecture"),
    "architecture a number": ((pair("general.architecture", 4, b"\1\0\0\0"),), "damaged general.architecture"),
    "architecture escapes": ((pair("general.architecture", 8, string("a\x1b[2J")),), "damaged general.architecture"),
    "too many layers": (
        (ARCHITECTURE, pair("llama.block_count", 4, b"\xff" * 4)),
        "impossible llama.block_count",
    ),
    "negative layers": ((ARCHITECTURE, pair("llama.block_count", 5, b"\xff" * 4)), "impossible llama.block_count"),
    "layers as text": ((ARCHITECTURE, pair("llama.block_count", 8, string("2"))), "impossible llama.block_count"),
}


@pytest.mark.parametrize("name", BAD)
def test_contradicting_metadata(name: str) -> None:
    pairs, words = BAD[name]
    with pytest.raises(ModelError, match=words):
        facts_of(*pairs)


def test_layers_without_a_count() -> None:
    with pytest.raises(ModelError, match=r"holds layers but no llama\.block_count"):
        facts_of(ARCHITECTURE, rows=(row("blk.0.attn_q.weight", [8]),))


def typed(kind: str) -> bytes:
    return pair("general.type", 8, string(kind))


def test_files_that_are_no_model(tmp_path: Path) -> None:
    vision = {"v.blk.0.attn_q.weight": (64, 64), "mm.0.weight": (64, 64)}
    mmproj = load_model(str(write_model(tmp_path / "mmproj.gguf", arch="clip", tensors=vision)))
    assert kind_of(mmproj) == "mmproj"
    assert mmproj.parameters == 2 * 64 * 64
    lora = facts_of(ARCHITECTURE, typed("adapter"), rows=(row("blk.0.attn_q.weight.lora_a", [8]),))
    assert (kind_of(lora), lora.layers) == ("adapter", 0)
    imatrix = facts_of(typed("imatrix"), rows=(row("blk.0.attn_q.weight.in_sum2", [8]),))
    assert (kind_of(imatrix), imatrix.architecture, imatrix.layers) == ("imatrix", "imatrix", 0)
    assert kind_of(facts_of(ARCHITECTURE, LAYERS)) == "vocabulary"
    assert kind_of(load_model(str(write_model(tmp_path / "m.gguf", tensors=TINY)))) == "model"


@pytest.mark.engine
def test_real_vocabulary_files_load() -> None:
    path = engine_dir().path / "llama.cpp" / "models" / "ggml-vocab-bert-bge.gguf"
    facts = load_model(str(path))
    tokens = gguf.GGUFReader(path).fields["tokenizer.ggml.tokens"]
    assert facts.vocabulary == len(tokens.data)
    assert (kind_of(facts), facts.architecture, facts.parameters) == ("vocabulary", "bert", 0)
