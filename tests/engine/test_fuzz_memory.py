"""A short seeded part of the differential fuzzer, and its shrinker."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.engine.fuzz_memory import Case, Difference, Fuzz, run

CASES = 12


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory: pytest.TempPathFactory) -> Fuzz:
    return Fuzz(tmp_path_factory.mktemp("fuzz"), "test")


@pytest.mark.engine
def test_the_engine_and_the_model_agree(fuzz: Fuzz, tmp_path: Path) -> None:
    log = tmp_path / "log"
    tally, findings = run(fuzz, range(CASES), 6, log)
    tally.show()
    assert findings == []
    assert tally.cases >= CASES // 2
    assert len(log.read_text(encoding="utf-8").splitlines()) == CASES


@pytest.mark.engine
def test_the_same_number_is_the_same_case(fuzz: Fuzz) -> None:
    first = [case for case, _ in zip(fuzz.cases(0), range(8), strict=False)]
    assert [case for case, _ in zip(fuzz.cases(4), range(4), strict=False)] == first[4:]


class Planted(Fuzz):
    """Goes wrong exactly where a quantised cache meets two devices."""

    def __init__(self) -> None:
        self.bases = {"base": ("llama", {"block_count": 6}, 32000)}

    def differences(self, case: Case, server: bool) -> list[Difference]:
        wrong = "q8_0" in case.args and case.devices > 1
        return [Difference("fit-params", 0, "compute", -100.0 if wrong else 0.0, 500.0, True)]


def test_a_finding_is_shrunk_to_what_it_needs() -> None:
    args = "-ngl 3 -c 32768 -ts 1,2,1 -ctk q8_0 -ctv q8_0 -np 4 -kvu -ub 2048 --swa-full"
    case = Case("base", "llama", {"block_count": 11, "context_length": 9}, 262144, "1", 3, tuple(args.split()))
    small = Planted().shrunk(case, server=False)
    assert small.devices == 2
    assert small.vocabulary == 32000
    assert small.keys == {"block_count": 6, "context_length": 9}
    assert set(small.args) in (
        {"-ngl", "999", "-c", "4096", "-ctk", "q8_0"},
        {"-ngl", "999", "-c", "4096", "-ctv", "q8_0"},
    )
    assert small == replace(small, seed="1")
