"""A report on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydrant.evaluate import sheets
from hydrant.evaluate.report import Report
from hydrant.evaluate.texts import clean

# What rich draws beside a column's cells and at both ends of a line, and how narrow a column of texts may become.
_PADDING, _EDGES, _FOLDED = 3, 1, 12
_STYLES = {"better": "green", "worse": "red", "may be chance": "dim"}


def show(report: Report, console: Console | None = None) -> None:
    """Print every table; see `Report.show`."""
    out = Console(highlight=False, markup=False) if console is None else console
    for task in report.tasks:
        for sheet in sheets.sheets(task):
            _print(out, sheet)
        for note in sheets.notes(task):
            out.print(Text(clean(note), style="bold yellow" if note.startswith("warning") else "yellow"))
    overview = sheets.overview(report)
    if overview is not None:
        _print(out, overview)
    out.print(Text(sheets.method(report), style="dim"))


def _print(out: Console, sheet: sheets.Sheet) -> None:
    # A table's own title would be wrapped to the table's width.
    out.print(Text(clean(sheet.title), style="bold"))
    for columns in _parts(sheet, out.width):
        out.print(_table(sheet, columns))


def _parts(sheet: sheets.Sheet, width: int) -> list[list[int]]:
    """The columns of the table, or of several below each other where one would be too wide: no number is ever cut."""
    names = list(range(sheet.names))
    taken = _EDGES + sum(_width(sheet, column) for column in names)
    parts: list[list[int]] = [names]
    left = width - taken
    for column in range(sheet.names, len(sheet.columns)):
        needed = _width(sheet, column)
        if needed > left and len(parts[-1]) > len(names):
            parts.append(names)
            left = width - taken
        parts[-1] = [*parts[-1], column]
        left -= needed
    return parts


def _width(sheet: sheets.Sheet, column: int) -> int:
    """How many characters of a line a column takes at least; texts are folded."""
    cells = [sheet.columns[column], *(row[column] for row in sheet.rows)]
    longest = max(cell_len(clean(cell)) for cell in cells)
    return _PADDING + (longest if column in sheet.numeric else min(longest, _FOLDED))


def _table(sheet: sheets.Sheet, columns: Sequence[int]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for position in columns:
        column, numeric = sheet.columns[position], position in sheet.numeric
        # Numbers are never cut; names give way on a narrow terminal.
        table.add_column(
            Text(clean(column)),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
        )
    for row in sheet.rows:
        cells = [row[position] for position in columns]
        table.add_row(*(Text(clean(cell), style=_STYLES.get(cell, "")) for cell in cells))
    return table
