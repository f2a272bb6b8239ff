"""The measurements that are kept: one SQLite file, safe for several processes, whole after any crash.

Write-ahead log, one transaction per change, `PRAGMA user_version` as the schema's version. A later part of splitter
gets its tables by appending to MIGRATIONS, and reads and writes them with `rows` and `transaction`.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from splitter.bench.records.place import records_path
from splitter.errors import RecordsError

if TYPE_CHECKING:
    from splitter.bench.records.record import Record  # most plans open the file and find no record of their model

Rows = list[tuple[Any, ...]]
BUSY_TIMEOUT_S = 20.0
WAL_RETRY_S = 0.05

# Element n leads from schema version n to n + 1; each runs in one transaction. Never change one that was released.
MIGRATIONS: list[tuple[str, ...]] = [
    (
        """CREATE TABLE records (
            id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, label TEXT NOT NULL, group_name TEXT NOT NULL,
            created_at TEXT NOT NULL, document TEXT NOT NULL)""",
        "CREATE INDEX records_by_group ON records (group_name)",
    ),
    (
        """CREATE TABLE calibrations (
            card TEXT NOT NULL, engine TEXT NOT NULL, version TEXT NOT NULL, driver TEXT NOT NULL,
            constants TEXT NOT NULL, created_at TEXT NOT NULL, PRIMARY KEY (card, engine, version))""",
        """CREATE TABLE tunes (
            key TEXT PRIMARY KEY, group_name TEXT NOT NULL, start TEXT NOT NULL, created_at TEXT NOT NULL,
            spent_s REAL NOT NULL)""",
        """CREATE TABLE tune_trials (
            tune_key TEXT NOT NULL, position INTEGER NOT NULL, document TEXT NOT NULL,
            PRIMARY KEY (tune_key, position))""",
    ),
]


class Records:
    """The open file of measurements; use it in a `with`, from one thread.

    Every method raises RecordsError, with one sentence and the next step, when the file is damaged, made by a newer
    splitter, locked for too long, or cannot be written. On a read-only disk what is there can still be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or records_path()
        self.writable = True
        with self._clear_errors():
            self._connection = self._open()
        try:
            with self._clear_errors():
                self._migrate()
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the file back."""
        self._connection.close()

    def add(self, record: "Record") -> int:
        """Keeps `record`; its id. The `id` it has is not looked at."""
        with self.transaction() as connection:
            return insert(connection, record)

    def get(self, record_id: int) -> "Record":
        """The record of that id; RecordsError when there is none."""
        found = self.rows("SELECT id, document FROM records WHERE id = ?", (record_id,))
        if not found:
            raise RecordsError(f"there is no measurement {record_id}", "`splitter bench list` shows them")
        return self._record(found[0])

    def list(self, kind: str | None = None, group: str | None = None, limit: int | None = None) -> "tuple[Record, ...]":
        """Records, the newest first."""
        wanted = {"kind": kind, "group_name": group}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "1"
        query = f"SELECT id, document FROM records WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - names above
        return tuple(self._record(row) for row in self.rows(query, (*given.values(), -1 if limit is None else limit)))

    def of_model(self, path: str, limit: int) -> "tuple[Record, ...]":
        """The newest records of the model at `path`; those of other models are not even read.

        A name that is not UTF-8 (Linux allows any bytes) is not found again: SQLite and JSON cannot hold it.
        """
        if path != path.encode(errors="replace").decode():
            return ()
        of_it = "json_extract(document, '$.model.path') = ?"
        query = f"SELECT id, document FROM records WHERE {of_it} ORDER BY id DESC LIMIT ?"  # noqa: S608 - a constant
        return tuple(self._record(row) for row in self.rows(query, (path, limit)))

    def delete(self, record_id: int) -> bool:
        """Forgets one record; False when there was none of that id."""
        with self.transaction() as connection:
            return connection.execute("DELETE FROM records WHERE id = ?", (record_id,)).rowcount > 0

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that the block writes, or nothing of it."""
        if not self.writable:
            raise RecordsError(f"{self.path} cannot be written: the disk is read-only", _elsewhere())
        with self._clear_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, values: Sequence[Any] = ()) -> Rows:
        """The rows of one SELECT."""
        with self._clear_errors():
            return self._connection.execute(query, values).fetchall()

    def _open(self) -> sqlite3.Connection:
        """For writing where the disk allows it, else for reading what is there."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = self._connect("rwc")
        except (OSError, sqlite3.OperationalError):
            return self._open_to_read()
        try:
            use_wal(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            if not is_read_only(error):
                raise
            return self._open_to_read()
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_to_read(self) -> sqlite3.Connection:
        """Without a log beside it the file cannot change: SQLite then needs to write nothing."""
        self.writable = False
        return self._connect("ro" if self.path.with_name(f"{self.path.name}-wal").exists() else "ro&immutable=1")

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _migrate(self) -> None:
        """Up to the schema this splitter knows; another process may do the same at the same time."""
        if self._version() < len(MIGRATIONS) and self.writable:
            with self.transaction() as connection:
                for version in range(self._version(), len(MIGRATIONS)):
                    for statement in MIGRATIONS[version]:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {version + 1}")
        found = self._version()
        if found != len(MIGRATIONS):
            newer = found > len(MIGRATIONS)
            message = f"{self.path} was made by {'a newer' if newer else 'an older'} splitter (schema {found})"
            hint = "update splitter, or move the file away" if newer else "copy it to a folder you may write to"
            raise RecordsError(message, hint)

    def _record(self, row: tuple[Any, ...]) -> "Record":
        from splitter.bench.records.record import MalformedError, from_json

        try:
            return replace(from_json(row[1]), id=row[0])
        except MalformedError as error:
            message = f"measurement {row[0]} in {self.path} is damaged: {error}"
            raise RecordsError(message, f"`splitter bench delete {row[0]}` forgets it") from None

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Turns what SQLite and the disk say into RecordsError."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise RecordsError(*words_for(self.path, error)) from None


def insert(connection: sqlite3.Connection, record: "Record") -> int:
    """Adds `record` within a transaction; its id."""
    from splitter.bench.records.record import to_dict

    document = json.dumps(to_dict(replace(record, id=None)), ensure_ascii=True)
    row = (record.kind, record.label, record.group, record.created_at, document)
    done = connection.execute(
        "INSERT INTO records (kind, label, group_name, created_at, document) VALUES (?, ?, ?, ?, ?)", row
    )
    return int(done.lastrowid or 0)


def use_wal(connection: sqlite3.Connection) -> None:
    """Readers and a writer do not wait for each other. SQLite does not wait by itself while it changes to this mode."""
    until_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until_s:
                raise
        else:
            return
        time.sleep(WAL_RETRY_S)


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether SQLite was not allowed to write."""
    text = str(error)
    return "readonly" in text or "unable to open" in text


def words_for(path: Path, error: sqlite3.Error | OSError) -> tuple[str, str]:
    """The sentence and the next step for what went wrong with `path`."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if "not a database" in text or "malformed" in text or "no such table" in text or "no such column" in text:
        return f"{path} is damaged: {text}", "move it away (splitter makes a new one), or restore a copy of it"
    if "is full" in text:
        return f"{path} cannot be written: the disk is full", f"free some space, or {_elsewhere()}"
    if "locked" in text:
        return f"{path} is used by another program", "wait until that has ended, then try again"
    if "readonly" in text:
        return f"{path} cannot be written: it is read-only", _elsewhere()
    if "unable to open" in text and not path.exists():
        return f"there are no measurements yet, and {path} cannot be made", _elsewhere()
    return f"{path} cannot be used: {text}", f"check the disk, or {_elsewhere()}"


def _elsewhere() -> str:
    name = "LOCALAPPDATA" if os.name == "nt" else "XDG_DATA_HOME"
    return f"set {name} to a folder you may write to"
