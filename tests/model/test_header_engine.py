"""llama.cpp's own GGUF reader (libggml-base of the pinned build) as a second oracle, for damaged files."""

import ctypes
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from splitter.errors import ModelError
from splitter.model.header import read_header
from tests.engine.oracle import engine_dir
from tests.model.gguf_files import BytesSource
from tests.model.test_header_hostile import GOOD, HOSTILE

pytestmark = pytest.mark.engine

MUTANTS = 4000
# What we refuse although gguf_init_from_file takes it: names that could upset a terminal, tensors without elements
# (no model has them), and data beyond the file's end, which llama.cpp finds later.
STRICTER = ("is not UTF-8", "is empty or holds control characters", "impossible shape", "cut short")


class InitParams(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]


@pytest.fixture(scope="module")
def llama_takes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bool]:
    """Whether gguf_init_from_file reads a header with these bytes."""
    lib = ctypes.CDLL(str(engine_dir().path / "bin" / "libggml-base.so"))
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    lib.ggml_log_set(silent, None)
    lib.gguf_init_from_file.restype = ctypes.c_void_p
    lib.gguf_init_from_file.argtypes = [ctypes.c_char_p, InitParams]
    lib.gguf_free.argtypes = [ctypes.c_void_p]
    path: Path = tmp_path_factory.mktemp("gguf") / "x.gguf"

    def takes(data: bytes, keep: object = silent) -> bool:
        path.write_bytes(data)
        context = lib.gguf_init_from_file(str(path).encode(), InitParams(True, None))
        if context:
            lib.gguf_free(context)
        return bool(context)

    return takes


def refusal(data: bytes) -> str | None:
    try:
        read_header(BytesSource(data))
    except ModelError as error:
        return error.message
    return None


def mutant(rng: random.Random) -> bytes:
    """The good file with up to three places of its header overwritten, sometimes cut."""
    data = bytearray(GOOD)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at, size = rng.randrange(len(data) - 416), rng.choice([1, 1, 4, 8])
        data[at : at + size] = rng.choice([bytes([rng.randrange(256)]) * size, bytes(size), b"\xff" * size])
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.1 else data)


def test_what_we_take_llama_takes_and_what_only_we_refuse_is_meant(llama_takes: Callable[[bytes], bool]) -> None:
    rng = random.Random(20240)
    samples = [mutant(rng) for _ in range(MUTANTS)] + [data for data, _ in HOSTILE.values()] + [GOOD]
    taken_by_both = 0
    for data in samples:
        message, taken = refusal(data), llama_takes(data)
        assert taken or message, f"llama.cpp refuses {data!r}"
        assert not taken or message is None or any(words in message for words in STRICTER), message
        taken_by_both += taken and message is None
    assert taken_by_both > MUTANTS // 20, "the mutants test nothing"
