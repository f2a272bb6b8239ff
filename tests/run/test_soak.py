"""A short soak through the real verb, and the verdict of the long one (`python -m tests.run.soak`)."""

import os
from pathlib import Path

import pytest

from splitter.run.endpoint import any_free_port
from splitter.units import MIB
from tests.run.launched import launched
from tests.run.soak import Counts, Sample, count, drive, is_flat, quarters, report

posix = pytest.mark.skipif(os.name == "nt", reason="launch is ended with a signal")


@posix
@pytest.mark.engine
@pytest.mark.parametrize("engine", ["llama-server", "embedded"])
def test_every_request_is_answered_and_nothing_is_left_open(engine: str, tmp_path: Path) -> None:
    with launched(engine, tmp_path, "--metrics", str(any_free_port())) as target:
        counts, samples = drive(target, requests=240, parallel=8, seconds=120, every_s=0.2)
    assert (counts.answered, counts.refused, counts.lost) == (240, 0, [])
    assert samples[-1].files <= samples[len(samples) // 2].files + 1
    assert samples[-1].threads <= samples[len(samples) // 2].threads


def test_a_refusal_is_no_loss() -> None:
    counts = Counts()
    for said in (200, 503, 429, 500, "request 3: reset"):
        count(counts, said)
    assert (counts.answered, counts.refused, counts.done) == (1, 2, 5)
    assert counts.lost == ["500", "request 3: reset"]


def sample(memory_mib: float, files: int = 12) -> Sample:
    return Sample(int(memory_mib * MIB), files, 5, 100 * MIB)


def test_the_verdict() -> None:
    assert quarters([900, *[10] * 9, *[20] * 10]) == (10, 20)
    assert is_flat(50 * MIB, 52 * MIB, MIB)
    assert not is_flat(50 * MIB, 53 * MIB, MIB)
    assert report([sample(50)] * 40)
    assert not report([sample(50 + i / 4) for i in range(40)])
    assert not report([sample(50, 12 + i // 4) for i in range(40)])
