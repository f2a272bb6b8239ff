"""Keys, history and joined engines in a database: SQLite of this user, or PostgreSQL by its URL (SQLAlchemy Core)."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from splitter.errors import SplitterError
from splitter.folders import data_folder
from splitter.gateway.keys import KeyRecord

DAY_S = 86400.0
META = sa.MetaData()
KEYS = sa.Table(
    "gateway_keys",
    META,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("revoked_at", sa.Float),
    sa.Column("rate", sa.String(40)),
    sa.Column("at_once", sa.Integer),
    sa.Column("models", sa.Text),
    sa.Column("priority", sa.String(10)),
    sa.Column("admin", sa.Boolean, nullable=False),
)
HISTORY = sa.Table(
    "gateway_history",
    META,
    sa.Column("id", sa.String(40), primary_key=True),
    sa.Column("at", sa.Float, nullable=False, index=True),
    sa.Column("gateway", sa.String(80)),
    sa.Column("key", sa.String(100), index=True),
    sa.Column("route", sa.String(40)),
    sa.Column("model", sa.String(200)),
    sa.Column("backend", sa.String(200)),
    sa.Column("priority", sa.String(10)),
    sa.Column("status", sa.String(20)),
    sa.Column("code", sa.Integer),
    sa.Column("error", sa.Text),
    *(sa.Column(name, sa.Integer) for name in ("prompt_tokens", "cached_tokens", "output_tokens", "attempts")),
    *(
        sa.Column(name, sa.Float)
        for name in (
            *("queue_s", "expected_queue_s", "first_byte_s", "total_s", "expected_s"),
            *("prompt_tokens_per_s", "generation_tokens_per_s"),
        )
    ),
    sa.Column("prompt", sa.Text),
    sa.Column("answer", sa.Text),
)
MEMBERS = sa.Table(
    "gateway_members",
    META,
    sa.Column("url", sa.String(300), primary_key=True),
    sa.Column("seen_at", sa.Float, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)
COLUMNS = tuple(column.name for column in HISTORY.columns)
KEY_COLUMNS = tuple(column.name for column in KEYS.columns)


class StoreError(SplitterError):
    """The database cannot be used."""

    code = "store"


class Store:
    """One database. Every method may block: the gateway calls them from a thread."""

    def __init__(self, url: str | None) -> None:
        self.shared = url is not None and not url.startswith("sqlite")
        try:
            self._engine = sa.create_engine(url or _own_file(), pool_pre_ping=self.shared, **_waiting(url))
        except (SQLAlchemyError, ImportError) as error:
            hint = "write it like postgresql+psycopg://user@host/name"
            raise StoreError(f"the database's URL cannot be used: {type(error).__name__}", hint) from None
        self._made = False

    @contextmanager
    def _using(self) -> Iterator[sa.Connection]:
        try:
            if not self._made:
                META.create_all(self._engine)
                self._made = True
            with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or type(error).__name__).split("\n")[0]
            raise StoreError(f"the database cannot be used: {reason}", "check that it runs, and its URL") from None

    def close(self) -> None:
        self._engine.dispose()

    def add_key(self, record: KeyRecord) -> None:
        """A new key. StoreError when its name is taken."""
        row = {name: getattr(record, name) for name in KEY_COLUMNS}
        row["models"] = None if record.models is None else json.dumps(record.models)
        try:
            with self._using() as connection:
                connection.execute(KEYS.insert().values(row))
        except IntegrityError:
            message = f"there is a key called {record.name!r} already"
            raise StoreError(message, "choose another name: a revoked key keeps its own in the history") from None

    def all_keys(self) -> tuple[KeyRecord, ...]:
        """All keys, oldest first."""
        with self._using() as connection:
            rows = connection.execute(KEYS.select().order_by(KEYS.c.created_at)).mappings().all()
        return tuple(KeyRecord(**{**row, "models": _listed(row["models"])}) for row in rows)

    def revoke(self, name: str) -> bool:
        """Whether there was such a key in force."""
        change = KEYS.update().where(KEYS.c.name == name, KEYS.c.revoked_at.is_(None)).values(revoked_at=time.time())
        with self._using() as connection:
            return connection.execute(change).rowcount > 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Adds finished requests to the history; a row that an interrupted try has written already stays as it is."""
        insert = (postgresql if self.shared else sqlite).insert(HISTORY).on_conflict_do_nothing()
        with self._using() as connection:
            connection.execute(insert, [{name: row.get(name) for name in COLUMNS} for row in rows])

    def history(
        self, limit: int, key: str | None = None, before: float | None = None, job: str | None = None
    ) -> list[dict[str, Any]]:
        """The latest requests, newest first."""
        query = HISTORY.select().order_by(HISTORY.c.at.desc()).limit(limit)
        for column, value in ((HISTORY.c.key, key), (HISTORY.c.id, job)):
            query = query if value is None else query.where(column == value)
        query = query if before is None else query.where(HISTORY.c.at < before)
        with self._using() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def forget(self, days: float) -> int:
        """Removes what is older than `days`; how many rows that were."""
        old = HISTORY.delete().where(HISTORY.c.at < time.time() - days * DAY_S)
        with self._using() as connection:
            return connection.execute(old).rowcount

    def keep_member(self, url: str, data: Mapping[str, Any]) -> None:
        """A heartbeat: the engine at `url`, as it told of itself."""
        row = {"url": url, "seen_at": time.time(), "data": json.dumps(data)}
        with self._using() as connection:
            done = connection.execute(MEMBERS.update().where(MEMBERS.c.url == url).values(row))
            if not done.rowcount:
                connection.execute(MEMBERS.insert().values(row))

    def drop_member(self, url: str) -> None:
        """It left."""
        with self._using() as connection:
            connection.execute(MEMBERS.delete().where(MEMBERS.c.url == url))

    def members(self, seen_s: float) -> dict[str, dict[str, Any]]:
        """Those that were heard of in the last `seen_s` seconds, by URL; older ones are removed."""
        since = time.time() - seen_s
        with self._using() as connection:
            connection.execute(MEMBERS.delete().where(MEMBERS.c.seen_at < since))
            rows = connection.execute(MEMBERS.select()).mappings().all()
        return {row["url"]: json.loads(row["data"]) for row in rows}


def _listed(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))


def _own_file() -> str:
    """The SQLite file of this user, readable by nobody else. StoreError where it cannot be made."""
    path = data_folder() / "gateway.db"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", "make the folder writable") from None
    return f"sqlite:///{Path(path)}"


def _waiting(url: str | None) -> dict[str, Any]:
    """How long a database is waited for: a gateway goes on without it."""
    if url is None or url.startswith("sqlite"):
        return {"connect_args": {"timeout": 5}}
    return {"connect_args": {"connect_timeout": 3}, "pool_size": 3, "max_overflow": 2, "pool_timeout": 5}
