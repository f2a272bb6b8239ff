"""A tune's state in the database of measurements: after every trial, in one transaction with the trial's record."""

import json
from dataclasses import dataclass, replace

from splitter.bench.plain import MalformedError, from_plain, to_plain
from splitter.bench.records.record import Record
from splitter.bench.records.records import Records, insert
from splitter.bench.tune.trial import Trial


@dataclass(frozen=True, slots=True)
class Saved:
    """What is known of an interrupted tune: its records' group, its start, its trials in order, seconds spent."""

    group: str
    start: str
    trials: tuple[Trial, ...]
    spent_s: float


def saved_tune(records: Records, key: str) -> Saved | None:
    """The state kept under `key`, None when there is none. Damaged trials end the history."""
    found = records.rows("SELECT group_name, start, spent_s FROM tunes WHERE key = ?", (key,))
    if not found:
        return None
    rows = records.rows("SELECT document FROM tune_trials WHERE tune_key = ? ORDER BY position", (key,))
    trials: list[Trial] = []
    for (document,) in rows:
        try:
            trials.append(from_plain(Trial, json.loads(document)))
        except (ValueError, MalformedError):
            break
    group, start, spent_s = found[0]
    return Saved(group, start, tuple(trials), spent_s)


def begin_tune(records: Records, key: str, group: str, start: str, created_at: str) -> None:
    """Forgets what was kept under `key` and begins anew."""
    with records.transaction() as connection:
        connection.execute("DELETE FROM tune_trials WHERE tune_key = ?", (key,))
        connection.execute("DELETE FROM tunes WHERE key = ?", (key,))
        connection.execute("INSERT INTO tunes VALUES (?, ?, ?, ?, 0)", (key, group, start, created_at))


def keep_trial(records: Records, key: str, position: int, trial: Trial, record: Record, *, spent_s: float) -> Trial:
    """Keeps a trial and its record together, or neither; the trial with its record's id."""
    with records.transaction() as connection:
        kept = replace(trial, record_id=insert(connection, record))
        connection.execute("DELETE FROM tune_trials WHERE tune_key = ? AND position >= ?", (key, position))
        connection.execute("INSERT INTO tune_trials VALUES (?, ?, ?)", (key, position, json.dumps(to_plain(kept))))
        connection.execute("UPDATE tunes SET spent_s = ? WHERE key = ?", (spent_s, key))
    return kept


def forget_tune(records: Records, key: str) -> None:
    """A finished tune starts anew next time; its records stay."""
    with records.transaction() as connection:
        connection.execute("DELETE FROM tune_trials WHERE tune_key = ?", (key,))
        connection.execute("DELETE FROM tunes WHERE key = ?", (key,))
