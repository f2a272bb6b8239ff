"""Every screen with a table, at 60 to 160 columns: as its snapshot says, and nothing of it is cut.

After a change that is meant: `python -m tests.cli.screens`, and look at the difference.
"""

import os
import re
import subprocess
import sys
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from splitter.cli.views.sheet import Column, Row, Sheet
from splitter.units import format_count, format_rate
from tests.cli.screens import FOLDER, SCREENS, WIDTHS, drawn


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCREENS)
def test_screens_are_as_they_were(name: str, width: int) -> None:
    assert drawn(name, width) == (FOLDER / f"{name}-{width}.txt").read_text(encoding="utf-8")


TO_COPY = "llama-server -m"  # a command stays on one line, however long
TITLES = {
    "alternative",
    "device",
    "file",
    "name",
}  # of first columns: a list's row begins with the cell itself


def pieces(text: str) -> list[str]:
    """The words and figures of a screen, wherever its lines end."""
    return sorted(set(re.sub(r"[\s:]+", " ", text).split()))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
@pytest.mark.parametrize("name", SCREENS)
def test_nothing_is_cut(name: str, width: int) -> None:
    text = drawn(name, width)
    assert max(cell_len(line) for line in text.splitlines() if not line.startswith(TO_COPY)) <= width
    assert "…" not in text
    whole = "".join(text.split())
    assert {piece for piece in pieces(drawn(name, 400)) if piece not in whole} <= TITLES


CELLS = st.text(st.sampled_from("abc 0123456789.,/-\N{CJK UNIFIED IDEOGRAPH-6A21}"), max_size=40).map(str.strip)


@given(st.data(), st.integers(12, 120))
def test_no_sheet_loses_a_cell(data: st.DataObject, width: int) -> None:
    kinds = data.draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6))
    columns = tuple(Column(f"column {i}", right, wraps) for i, (right, wraps) in enumerate(kinds))
    rows = data.draw(st.lists(st.tuples(*[CELLS] * len(columns)), min_size=1, max_size=3))
    console = Console(width=width, file=StringIO())
    console.print(Sheet(columns, tuple(map(Row, rows))))
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert max(map(cell_len, text.splitlines()), default=0) <= width
    whole = "".join(text.split())
    assert all(word in whole for row in rows for cell in row for word in cell.split())


@pytest.mark.parametrize("width", ["60", "80", "100"])
def test_no_help_cuts_a_flag(width: str) -> None:
    verbs = (["plan"], ["launch"], ["tune"], ["bench"], ["profile", "new"], ["check"], *([[]] if width != "60" else []))
    code = f"from splitter.cli.main import run\nfor verb in {verbs}: run([*verb, '--help'])"
    env = {**os.environ, "COLUMNS": width, "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    said = done.stdout.decode()
    assert "--n-gpu-layers" in said
    assert [line for line in said.splitlines() if re.search(r"…|\w\.\.\.$", line)] == []


def test_a_sheet_is_a_table_where_it_fits() -> None:
    assert drawn("models", 160).split()[:3] == ["model", "where", "size"]
    assert "  where: folder  size: 1 MiB" in drawn("models", 80)


@pytest.mark.parametrize(
    ("speed", "predicted", "measured"),
    [
        (None, "?", "?"),
        (328557.5, "328,558", "328,558"),
        (999.96, "1000.0", "1000.0"),
        (61.24, "61.2", "61.2"),
        (3.14159, "3.1", "3.14"),
        (0.345, "0.34", "0.34"),
        (0.0, "0.00", "0.00"),
    ],
)
def test_speeds(speed: float | None, predicted: str, measured: str) -> None:
    assert (format_rate(speed), format_rate(speed, measured=True)) == (predicted, measured)


def test_counts() -> None:
    counts = (300, 12_345, 1_360_000, 7_241_732_096)
    assert [format_count(count) for count in counts] == ["300", "12 K", "1.4 M", "7.24 B"]
