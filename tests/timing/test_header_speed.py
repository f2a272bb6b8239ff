"""Our header reader against gguf.GGUFReader on the 262k-token vocabulary, in one run; same values.

Not part of the default run (the oracle needs 20-30 s): pytest -m bench -s tests/timing/test_header_speed.py
"""

import time
from pathlib import Path

import gguf
import pytest

from splitter.model.facts import SkippedArray
from splitter.model.header import read_header
from splitter.model.source import open_local
from tests.engine.oracle import engine_dir

REPEATS = 5


def best_of(path: Path) -> float:
    """Seconds of the fastest of a few reads of the whole header."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        read_header(open_local(str(path)))
        times.append(time.perf_counter() - start)
    print(f"\nours: {', '.join(f'{t * 1000:.1f}' for t in times)} ms", flush=True)
    return min(times)


@pytest.mark.bench
@pytest.mark.engine
def test_header_of_the_gemma_4_vocabulary() -> None:
    path = engine_dir().path / "llama.cpp" / "models" / "ggml-vocab-gemma-4.gguf"
    ours_s = best_of(path)
    start = time.perf_counter()
    theirs = gguf.GGUFReader(path)
    theirs_s = time.perf_counter() - start
    print(f"gguf.GGUFReader: {theirs_s:.2f} s; ratio {theirs_s / ours_s:.0f}")

    fields = {name: field for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    header = read_header(open_local(str(path)))
    assert list(header.metadata) == list(fields)
    for name, value in header.metadata.items():
        if isinstance(value, SkippedArray):
            assert value.length == len(fields[name].data)
        elif isinstance(value, tuple):
            assert list(value) == fields[name].contents()
        else:
            assert value == fields[name].contents()
