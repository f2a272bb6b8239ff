"""A tune's state in the database: in order, whole or not at all, damaged ends it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitter.bench.records.record import EngineInfo, ModelInfo, Record
from splitter.bench.records.records import Records
from splitter.bench.tune.store import Saved, begin_tune, forget_tune, keep_trial, saved_tune
from splitter.bench.tune.trial import Outcome, Trial

RECORD = Record("tune", EngineInfo("llama-server", "11434"), ModelInfo("/m.gguf"), "2026-11-24T10:00:00+00:00")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with Records(tmp_path / "bench.sqlite") as opened:
        begin_tune(opened, "one", "tune one", "{}", "2026-11-24T10:00:00+00:00")
        yield opened


def trial(name: str, *scores: float) -> Trial:
    return Trial(name, f"the {name}", Outcome(scores=scores, generation=scores, prompt=scores))


def kept(records: Records, *names: str) -> Saved:
    for position, name in enumerate(names):
        keep_trial(records, "one", position, trial(name, 1.5, 2.5), RECORD, spent_s=10.0 * (position + 1))
    found = saved_tune(records, "one")
    assert found is not None
    return found


def test_trials_come_back_in_order_with_their_records(records: Records) -> None:
    found = kept(records, "a", "b", "c")
    assert [each.key for each in found.trials] == ["a", "b", "c"]
    assert found.trials[1].outcome == trial("b", 1.5, 2.5).outcome
    assert (found.group, found.start, found.spent_s) == ("tune one", "{}", 30.0)
    assert {record.label for record in records.list()} == {""}
    assert len({each.record_id for each in found.trials} & {record.id for record in records.list()}) == 3


def test_a_failed_trial_comes_back_as_it_was(records: Records) -> None:
    dead = Trial("a", "the a", Outcome(failed="it died", device="CUDA1", launched=False))
    keep_trial(records, "one", 0, dead, RECORD, spent_s=1.0)
    found = saved_tune(records, "one")
    assert found is not None
    assert found.trials[0].outcome == dead.outcome


def test_a_step_that_goes_another_way_forgets_what_followed(records: Records) -> None:
    kept(records, "a", "b", "c")
    keep_trial(records, "one", 1, trial("other", 3.0), RECORD, spent_s=40.0)
    found = saved_tune(records, "one")
    assert found is not None
    assert [each.key for each in found.trials] == ["a", "other"]
    assert len(records.list()) == 4


def test_damaged_trials_end_the_history(records: Records, tmp_path: Path) -> None:
    kept(records, "a", "b", "c")
    with sqlite3.connect(tmp_path / "bench.sqlite") as other:
        other.execute("UPDATE tune_trials SET document = '{\"key\": 5' WHERE position = 1")
    found = saved_tune(records, "one")
    assert found is not None
    assert [each.key for each in found.trials] == ["a"]


def test_a_trial_is_kept_with_its_record_or_not_at_all(records: Records, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "bench.sqlite") as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON tune_trials BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(Exception, match="full"):
        keep_trial(records, "one", 0, trial("a", 1.0), RECORD, spent_s=1.0)
    assert records.list() == ()
    assert saved_tune(records, "one") == Saved("tune one", "{}", (), 0.0)


def test_tunes_do_not_mix_and_a_forgotten_one_leaves_its_records(records: Records) -> None:
    begin_tune(records, "two", "tune two", "{}", "2026-11-24T11:00:00+00:00")
    kept(records, "a")
    keep_trial(records, "two", 0, trial("z", 9.0), RECORD, spent_s=1.0)
    forget_tune(records, "one")
    assert saved_tune(records, "one") is None
    other = saved_tune(records, "two")
    assert other is not None
    assert [each.key for each in other.trials] == ["z"]
    assert len(records.list()) == 2
