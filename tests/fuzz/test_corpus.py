"""Every input that fuzzing ever kept, and every seed, once more: only SplitterErrors come out."""

import pytest

from tests.fuzz.seeds import CORPUS, seeds
from tests.fuzz.targets import TARGETS, survives


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_survived(target: str) -> None:
    kept = sorted((CORPUS / target).glob("*"))
    for path in kept:
        try:
            survives(target, path.read_bytes())
        except Exception as error:
            raise AssertionError(f"{path} breaks {target}") from error
    for data in seeds(target):
        survives(target, data)


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 2**20
