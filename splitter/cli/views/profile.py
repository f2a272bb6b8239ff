"""A profile's values, each with its source."""

from splitter.cli.views.sheet import Column, Row, Sheet
from splitter.printable import printable_lines
from splitter.profile.profile import Profile


def profile_sheet(loaded: Profile) -> Sheet:
    """One row per value."""
    columns = (Column("key"), Column("value", wraps=True), Column("source"))
    found = sorted(loaded.values.items())
    rows = (Row((key, printable_lines(str(value.value)), printable_lines(value.source))) for key, value in found)
    return Sheet(columns, tuple(rows))
