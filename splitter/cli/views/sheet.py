"""A table that becomes a list where the terminal is too narrow for it: no column is lost, no figure is cut."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

GAPS = (2, 1)  # blanks between two columns: the wider where it fits
INDENT = 2
READABLE = 24  # cells in which words may wrap; a narrower column of them is worse than a list


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Figures stand right; a column that `wraps` holds words or lists, which may take several lines."""

    name: str
    right: bool = False
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row, as text that is safe to print, and a rich style for all of them."""

    cells: tuple[str, ...]
    style: str = ""


def words(*names: str) -> tuple[Column, ...]:
    """Columns of names, on the left."""
    return tuple(Column(name) for name in names)


def figures(*names: str) -> tuple[Column, ...]:
    """Columns of figures, on the right."""
    return tuple(Column(name, right=True) for name in names)


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows under columns. Prints as a table, or where that is wider than the terminal as a list: the first cell of a
    row is its title, the others follow as `column: cell`. An empty cell is left out of the list.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fitting = self._fitting(options.max_width)
        yield from self._list(console, options.max_width) if fitting is None else (self._table(*fitting),)
        if self.note:
            yield Text(self.note, style="dim")

    def _fitting(self, room: int) -> tuple[int, tuple[int, ...]] | None:
        """The gap and the width of each column; None where no table fits."""
        natural = [max(map(cell_len, cells)) for cells in zip(*self._all_cells(), strict=True)]
        for gap in GAPS:
            spare = room - sum(natural) - gap * (len(natural) - 1)
            if spare >= 0:
                return gap, tuple(natural)
        return self._wrapped(natural, spare)

    def _wrapped(self, natural: Sequence[int], spare: int) -> tuple[int, tuple[int, ...]] | None:
        """The missing cells taken from the one column that may wrap; None where that leaves it too few."""
        for index, column in enumerate(self.columns):
            left, least = natural[index] + spare, 0 if column.right else min(natural[index], READABLE)
            if column.wraps and left >= max(self._longest_word(index), least):
                return GAPS[-1], (*natural[:index], left, *natural[index + 1 :])
        return None

    def _longest_word(self, index: int) -> int:
        return max(cell_len(word) for cells in self._all_cells() for word in cells[index].split() or [""])

    def _all_cells(self) -> list[tuple[str, ...]]:
        return [tuple(column.name for column in self.columns), *(row.cells for row in self.rows)]

    def _table(self, gap: int, widths: Sequence[int]) -> Table:
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
        for column, width in zip(self.columns, widths, strict=True):
            table.add_column(column.name, justify="right" if column.right else "left", width=width, overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row.cells), style=row.style)
        return table

    def _list(self, console: Console, room: int) -> Iterator[RenderableType]:
        for row in self.rows:
            title, *items = map(_named, self.columns, row.cells)
            yield Text(title if self.columns[0].right else row.cells[0], style=f"bold {row.style}", overflow="fold")
            for line in packed(filter(None, items), room - INDENT):
                for part in Text(line, row.style).wrap(console, room - INDENT):
                    yield Text(" " * INDENT) + part


def _named(column: Column, cell: str) -> str:
    return f"{column.name}: {cell}" if cell else ""


def packed(items: Iterable[str], room: int) -> Iterator[str]:
    """The items in lines of at most `room` cells, two blanks between them; a longer item has a line of its own."""
    line = ""
    for item in items:
        if line and cell_len(line) + 2 + cell_len(item) > room:
            yield line
            line = ""
        line = f"{line}  {item}" if line else item
    if line:
        yield line
