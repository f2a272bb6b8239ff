import struct
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splitter.errors import ModelError, SplitterError
from splitter.model.header import read_header
from splitter.model.read_facts import facts_from_headers
from splitter.model.summary import summarize
from tests.model.gguf_files import ARCHITECTURE, BytesSource, array, pair, raw_file, row, string

HUGE = 2**63
NORM = row("a", [8])
HOSTILE: dict[str, tuple[bytes, str]] = {
    "cut magic": (b"GGU", "unknown kind"),
    "magic alone": (b"GGUF", "ends inside its header"),
    "cut counts": (b"GGUF\x03\0\0\0\x01", "ends inside its header"),
    "version 0": (raw_file(version=0), "version 0"),
    "version 1": (raw_file(version=1), "version 1"),
    "version 4": (raw_file(version=4), "newer than splitter knows"),
    "tensor count": (raw_file(counts=(HUGE, 0)), f"claims {HUGE} tensors"),
    "tensor count that fits nothing": (raw_file(counts=(1000, 0))[:24], "ends inside its header"),
    "key count": (raw_file(counts=(0, HUGE)), f"claims {HUGE} metadata keys"),
    "key length": (raw_file([struct.pack("<Q", 2**40)]), f"a string of {2**40} bytes"),
    "value length": (raw_file([pair("a", 8, struct.pack("<Q", 2**64 - 1))]), "claims a string of"),
    "value longer than the file": (raw_file([pair("a", 8, struct.pack("<Q", 999))]), "ends inside its header"),
    "empty key": (raw_file([pair("", 0, b"\1")]), "metadata key at byte 24 is empty"),
    "key not UTF-8": (raw_file([pair(b"\xff\xfe", 0, b"\1")]), "metadata key at byte 24 is not UTF-8"),
    "key with escape codes": (raw_file([pair("a\x1b[2J", 0, b"\1")]), "control characters"),
    "key with NUL": (raw_file([pair("a\0b", 0, b"\1")]), "control characters"),
    "key with bidi override": (raw_file([pair("a\u202eb", 0, b"\1")]), "control characters"),
    "key twice": (raw_file([pair("a", 0, b"\1")] * 2), "'a' comes twice"),
    "value type": (raw_file([pair("a", 13, b"\1")]), "unknown value type 13"),
    "element type": (raw_file([pair("a", 9, array(99, 1, b"\1"))]), "unknown value type 99"),
    "string array count": (raw_file([pair("a", 9, array(8, HUGE))]), "ends inside its header"),
    "string array count overflow": (raw_file([pair("a", 9, array(8, 2**64 - 1))]), "ends inside its header"),
    "string in array too long": (
        raw_file([pair("a", 9, array(8, 2, struct.pack("<QQ", 2**64 - 1, 0)))]),
        "ends inside its header",
    ),
    "string array cut": (
        raw_file([pair("a", 9, array(8, 3, string("x") + string("y")))], alignment=1),
        "ends inside its header",
    ),
    "number array count": (raw_file([pair("a", 9, array(0, HUGE))]), "ends inside its header"),
    "number array count overflow": (raw_file([pair("a", 9, array(12, 2**61 + 1))]), "ends inside its header"),
    "nested too deep": (raw_file([pair("a", 9, array(9, 1) * 50)]), "nests arrays too deep"),
    "nested too many": (raw_file([pair("a", 9, array(9, HUGE))]), "nests arrays too deep or too many"),
    "alignment 0": (raw_file([pair("general.alignment", 4, struct.pack("<I", 0))]), "power of two"),
    "alignment 48": (raw_file([pair("general.alignment", 4, struct.pack("<I", 48))]), "power of two"),
    "alignment of another type": (raw_file([pair("general.alignment", 10, struct.pack("<Q", 32))]), "power of two"),
    "alignment as text": (raw_file([pair("general.alignment", 8, string("32"))]), "power of two"),
    "alignment beyond the file": (
        raw_file([pair("general.alignment", 4, struct.pack("<I", 2**31))], [NORM], data_bytes=32),
        "cut short",
    ),
    "tensor name empty": (raw_file([], [row("", [8])], data_bytes=32), "tensor name at byte 24 is empty"),
    "tensor name not UTF-8": (raw_file([], [row(b"\x80", [8])], data_bytes=32), "is not UTF-8"),
    "tensor name control": (raw_file([], [row("a\x07", [8])], data_bytes=32), "control characters"),
    "tensor name long": (raw_file([], [row("a" * 128, [8])], data_bytes=32), "a string of 128 bytes"),
    "tensor twice": (raw_file([], [NORM, row("a", [8], 0, 32)], data_bytes=64), "'a' comes twice"),
    "dimensions": (raw_file([], [row("a", [1] * 5)], data_bytes=32), "claims 5 dimensions"),
    "dimension count": (raw_file([], [string("a") + struct.pack("<I", 2**32 - 1)]), "dimensions"),
    "dimension 0": (raw_file([], [row("a", [8, 0])], data_bytes=32), "impossible shape (8, 0)"),
    "shape overflow": (raw_file([], [row("a", [2**32, 2**32])], data_bytes=32), "impossible shape"),
    "negative dimension": (raw_file([], [row("a", [2**64 - 1])], data_bytes=32), "impossible shape"),
    "row not whole blocks": (raw_file([], [row("a", [100], 12)], data_bytes=256), "no multiple of Q4_K's 256"),
    "removed type": (raw_file([], [row("a", [32], 31)], data_bytes=256), "Q4_0_4_4, which llama.cpp no longer reads"),
    "future type": (raw_file([], [row("a", [256], 900)], data_bytes=256), "type number 900"),
    "offset overlaps": (
        raw_file([], [NORM, row("b", [8])], data_bytes=64),
        "starts at byte 0 of the data instead of 32",
    ),
    "offset gap": (raw_file([], [NORM, row("b", [8], 0, 64)], data_bytes=128), "overlap or leave a gap"),
    "offset cycle": (raw_file([], [row("a", [8], 0, 32), row("b", [8])], data_bytes=64), "starts at byte 32"),
    "offset outside": (raw_file([], [row("a", [8], 0, 2**63)], data_bytes=64), "overlap or leave a gap"),
    "data missing": (raw_file([], [row("a", [1024])], data_bytes=96), "4000 bytes (4 KiB of 4 KiB) are missing"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header_ends_in_one_sentence(name: str) -> None:
    data, words = HOSTILE[name]
    with pytest.raises(ModelError) as caught:
        read_header(BytesSource(data))
    assert words in caught.value.message
    assert caught.value.message.isprintable()
    assert caught.value.message.startswith("test.gguf")
    assert caught.value.message.endswith(".")
    assert caught.value.hint


FOREIGN: dict[str, tuple[bytes, str]] = {
    "safetensors": (struct.pack("<Q", 60) + b'{"__metadata__":{}}' + bytes(80), "a safetensors file"),
    "ggml": (b"lmgg" + bytes(60), "GGML file of 2023"),
    "ggjt": (b"tjgg\x03\0\0\0" + bytes(60), "ggjt"),
    "lora": (b"algg" + bytes(60), "LoRA"),
    "zip": (b"PK\x03\x04" + bytes(60), "PyTorch checkpoint"),
    "pickle": (b"\x80\x02}q\0." + bytes(60), "pickle"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    "html": (b"<!DOCTYPE html><html><head>", "a web page"),
    "html 2": (b"\n  <HTML>", "a web page"),
    "empty": (b"", "empty"),
    "zeros": (bytes(4096), "full of zeros"),
    "text": (b"hello world, this is no model", "unknown kind"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_are_named_as_what_they_are(name: str) -> None:
    data, words = FOREIGN[name]
    with pytest.raises(ModelError, match=r"^test\.gguf is .*, not a GGUF model\.$") as caught:
        read_header(BytesSource(data))
    assert words in caught.value.message
    assert caught.value.hint


class Hole:
    """A sparse file: `head`, then zeros up to 1 TiB; counts what is read."""

    label = "hole.gguf"
    size_bytes = 2**40

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.read_bytes = 0

    def read(self, offset: int, size: int) -> bytes:
        self.read_bytes += size
        return self.head[offset : offset + size].ljust(size, b"\0")


HOLES = {
    "empty strings": (raw_file([pair("a", 9, array(8, 2**36))]), "claims more than 256 MiB"),
    "as many as fit": (raw_file([pair("a", 9, array(8, 2**25 - 100))], counts=(0, 5000)), "5000 metadata keys"),
    "strings up to the limit": (raw_file([pair("a", 9, array(8, 2**25 - 100))], counts=(0, 4000)), "is empty"),
    "numbers": (raw_file([pair("a", 9, array(0, 2**39))]), "claims more than 256 MiB"),
    "tensors": (raw_file(counts=(2**18, 0)), "tensor name at byte 24 is empty"),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_of_a_terabyte_costs_bounded_time_and_reading(name: str) -> None:
    data, words = HOLES[name]
    hole = Hole(data[:-8] if name == "tensors" else data)
    start = time.process_time()  # not the wall's: other programs run too, and coverage costs several times more
    with pytest.raises(ModelError, match=words):
        read_header(hole)
    assert time.process_time() - start < 60
    assert hole.read_bytes <= 280 * 2**20


def test_memory_stays_bounded() -> None:
    words = pair("a", 9, array(8, 2**20, bytes(8 * 2**20)))
    data = raw_file([words])
    tracemalloc.start()
    read_header(BytesSource(data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20


GOOD = raw_file(
    [
        ARCHITECTURE,
        pair("llama.block_count", 4, struct.pack("<I", 2)),
        pair("llama.attention.head_count", 9, array(5, 2, struct.pack("<ii", 4, 8))),
        pair("tokenizer.ggml.tokens", 9, array(8, 3, string("a") + string("bc") + string(""))),
        pair("general.name", 8, string("Name")),
        pair("x.flag", 7, b"\1"),
    ],
    [row("blk.0.w", [256, 2], 12), row("blk.1.w", [32, 2], 8, 288), row("output_norm.weight", [8], 0, 288 + 96)],
    data_bytes=288 + 96 + 32,
)


def test_the_fuzzed_file_is_good() -> None:
    facts = facts_from_headers([read_header(BytesSource(GOOD))], "good.gguf")
    assert (facts.layers, facts.vocabulary, len(facts.tensors)) == (2, 3, 3)


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(GOOD) - 1),
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([b"\xff" * 8, bytes(8), struct.pack("<Q", 2**62), struct.pack("<I", 9), b"\x1b[2J"]),
            ),
        ),
        max_size=4,
    ),
    end=st.one_of(st.none(), st.integers(0, len(GOOD))),
)
def test_only_our_errors_escape_a_mutated_file(edits: list[tuple[int, bytes]], end: int | None) -> None:
    data = bytearray(GOOD)
    for at, new in edits:
        data[at : at + len(new)] = new
    try:
        facts = facts_from_headers([read_header(BytesSource(bytes(data[:end])))], "fuzzed.gguf")
        summarize(facts)
    except SplitterError as error:
        assert error.message.isprintable()  # noqa: PT017
    else:
        assert facts.layers <= 512
        assert facts.name.isprintable()


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=200))
def test_only_our_errors_escape_random_bytes_behind_the_magic(tail: bytes) -> None:
    try:
        read_header(BytesSource(b"GGUF\x03\0\0\0" + tail))
    except SplitterError as error:
        assert error.message.isprintable()  # noqa: PT017


def test_a_file_that_shrinks_while_read_is_refused() -> None:
    with pytest.raises(ModelError, match="ends inside its header"):
        read_header(BytesSource(raw_file([pair("a", 8, struct.pack("<Q", 1000))]), claimed_bytes=5000))
