"""The keys of a gateway as a table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from splitter.cli.views.sheet import Row, Sheet, words
from splitter.printable import printable


def keys_sheet(records: Sequence[Any]) -> Sheet:
    """Names and limits; a key itself is not known here."""
    rows = tuple(
        Row(
            (
                printable(record.name),
                record.rate or "-",
                str(record.at_once or "-"),
                printable(", ".join(record.models)) if record.models is not None else "all",
                record.priority or "any",
                "yes" if record.admin else "",
                datetime.fromtimestamp(record.created_at).strftime("%Y-%m-%d"),
                "revoked" if record.revoked_at else "in force",
            ),
            "dim" if record.revoked_at else "",
        )
        for record in records
    )
    return Sheet(words("name", "rate", "at once", "models", "priority", "admin", "made", "state"), rows)
