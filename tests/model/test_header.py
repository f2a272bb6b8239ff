import time
from pathlib import Path
from typing import Any

import gguf
import pytest

from splitter.model.facts import SkippedArray
from splitter.model.header import read_header
from splitter.model.metadata import KEPT_ELEMENTS
from splitter.model.source import open_local
from tests.engine.oracle import engine_dir
from tests.model.gguf_files import ARCHITECTURE, BytesSource, array, as_version_2, pair, raw_file, string, write_model

LITTLE, BIG = gguf.GGUFEndian.LITTLE, gguf.GGUFEndian.BIG


def every_kind(writer: gguf.GGUFWriter) -> None:
    writer.add_uint8("t.u8", 200)
    writer.add_int8("t.i8", -100)
    writer.add_uint16("t.u16", 60000)
    writer.add_int16("t.i16", -30000)
    writer.add_uint32("t.u32", 4_000_000_000)
    writer.add_int32("t.i32", -2_000_000_000)
    writer.add_uint64("t.u64", 2**63 + 5)
    writer.add_int64("t.i64", -(2**62))
    writer.add_float32("t.f32", 1.5)
    writer.add_float64("t.f64", 0.1)
    writer.add_bool("t.yes", True)
    writer.add_bool("t.no", False)
    writer.add_string("t.text", "größer – 大\nzweite Zeile")
    writer.add_array("t.ints", [1, 2, 3])
    writer.add_array("t.floats", [0.5, -0.25])
    writer.add_array("t.bools", [True, False, True])
    writer.add_array("t.most", list(range(KEPT_ELEMENTS)))
    writer.add_array("t.long", list(range(KEPT_ELEMENTS + 1)))
    writer.add_array("t.words", ["", "a", "ß" * 300])
    writer.add_array("t.bytes", bytes(range(10)))
    writer.add_array("t.nested", [[1, 2], [3, 4]])


def expected_value(field: Any) -> object:
    """What our reader makes of the oracle's field: scalars and short arrays of numbers as they are."""
    names = {kind: kind.name.lower() for kind in gguf.GGUFValueType}
    if field.types[0] != gguf.GGUFValueType.ARRAY:
        return field.contents()
    element = field.types[1]
    if element == gguf.GGUFValueType.STRING or len(field.data) > KEPT_ELEMENTS:
        return SkippedArray(names[element], len(field.data))
    return tuple(field.contents())


def assert_same(path: Path) -> None:
    """Our header and GGUFReader's agree on every key, value, tensor, size and place."""
    ours = read_header(open_local(str(path)))
    theirs = gguf.GGUFReader(path)
    fields = {name: field for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert list(ours.metadata) == list(fields)
    for name, field in fields.items():
        if gguf.GGUFValueType.ARRAY not in field.types[1:]:
            assert ours.metadata[name] == expected_value(field), name
    mine = [(t.name, t.shape, t.ggml_type, t.size_bytes, ours.data_offset + t.offset) for t in ours.tensors]
    assert mine == [
        (t.name, tuple(int(n) for n in t.shape), int(t.tensor_type), int(t.n_bytes), int(t.data_offset))
        for t in theirs.tensors
    ]
    assert ours.alignment == theirs.alignment
    assert ours.file_bytes == path.stat().st_size


@pytest.mark.parametrize("endian", [LITTLE, BIG])
def test_agrees_with_the_gguf_package(tmp_path: Path, endian: gguf.GGUFEndian) -> None:
    path = write_model(tmp_path / "m.gguf", extra=every_kind, endian=endian)
    assert_same(path)
    header = read_header(open_local(str(path)))
    assert header.byte_order == ("little" if endian == LITTLE else "big")
    assert header.version == 3
    assert header.metadata["t.yes"] is True
    assert header.metadata["t.bools"] == (True, False, True)
    assert header.metadata["t.long"] == SkippedArray("int32", KEPT_ELEMENTS + 1)
    assert header.metadata["t.nested"] == SkippedArray("array", 2)


def test_version_2(tmp_path: Path) -> None:
    path = as_version_2(write_model(tmp_path / "m.gguf", extra=every_kind))
    assert read_header(open_local(str(path))).version == 2
    assert_same(path)


def test_own_alignment(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", extra=lambda writer: writer.add_custom_alignment(1024))
    assert_same(path)
    assert read_header(open_local(str(path))).alignment == 1024


def test_strings_across_windows() -> None:
    """Token lists longer than the window, with a value and a tensor table behind them."""
    words = [b"x" * (i % 700) for i in range(20_000)]
    tokens = pair("tokenizer.ggml.tokens", 9, array(8, len(words), b"".join(string(word) for word in words)))
    huge = pair("t.huge", 9, array(8, 2, string(b"y" * 3_000_000) + string(b"z" * 3_000_000)))
    header = read_header(BytesSource(raw_file([ARCHITECTURE, tokens, huge, pair("t.last", 0, b"\x07")])))
    assert header.metadata["tokenizer.ggml.tokens"] == SkippedArray("string", 20_000)
    assert header.metadata["t.huge"] == SkippedArray("string", 2)
    assert header.metadata["t.last"] == 7


def test_values_that_are_not_utf8_are_kept_readable() -> None:
    header = read_header(BytesSource(raw_file([pair("general.name", 8, string(b"caf\xe9"))])))
    assert header.metadata["general.name"] == "caf\ufffd"


def test_empty_arrays_and_a_file_without_tensors() -> None:
    header = read_header(BytesSource(raw_file([pair("a", 9, array(4, 0)), pair("b", 9, array(8, 0))])))
    assert header.metadata == {"a": (), "b": SkippedArray("string", 0)}
    assert header.tensors == ()


@pytest.mark.engine
@pytest.mark.parametrize("name", ["bert-bge", "llama-spm", "gpt-2"])
def test_agrees_on_real_vocabularies(name: str) -> None:
    assert_same(engine_dir().path / "llama.cpp" / "models" / f"ggml-vocab-{name}.gguf")


@pytest.mark.engine
def test_every_real_vocabulary_reads_at_once() -> None:
    start = time.perf_counter()
    for path in (engine_dir().path / "llama.cpp" / "models").glob("*.gguf"):
        tokens = read_header(open_local(str(path))).metadata["tokenizer.ggml.tokens"]
        assert isinstance(tokens, SkippedArray)
        assert tokens.length > 20_000
    assert time.perf_counter() - start < 30
