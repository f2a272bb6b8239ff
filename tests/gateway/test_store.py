"""The history in a real SQLite file."""

from pathlib import Path

from splitter.gateway.store import Store


def test_what_an_interrupted_write_has_kept_is_not_written_twice(tmp_path: Path) -> None:
    """A gateway that stops while it writes does not know how far the thread came, and writes the rows again."""
    store = Store(f"sqlite:///{tmp_path}/history.db")
    rows = [{"id": f"request-{n}", "at": 1000.0 + n, "status": "completed"} for n in range(3)]
    store.write(rows[:2])
    store.write(rows)
    assert [row["id"] for row in store.history(10)] == ["request-2", "request-1", "request-0"]
    store.close()
