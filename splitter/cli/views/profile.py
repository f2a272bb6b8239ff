"""A profile's values, each with its source."""

from typing import Any

from splitter.cli.views.sheet import Column, Row, Sheet
from splitter.printable import printable_lines
from splitter.profile.profile import Profile


def profile_sheet(loaded: Profile) -> Sheet:
    """One row per value."""
    columns = (Column("key"), Column("value", wraps=True), Column("source"))
    found = sorted(loaded.values.items())
    rows = (Row((key, printable_lines(shown(value.value)), printable_lines(value.source))) for key, value in found)
    return Sheet(columns, tuple(rows))


def shown(value: Any) -> str:
    """A value as a profile has it: lists with commas, no Python."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ",".join(shown(item) for item in value) or "(none)"
    return str(value)
