"""A report on the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hydrant.evaluate import sheets
from hydrant.evaluate.report import Report
from hydrant.evaluate.texts import clean

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
    out.print(_table(sheet))


def _table(sheet: sheets.Sheet) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for position, column in enumerate(sheet.columns):
        numeric = position in sheet.numeric
        # Numbers are never cut; names give way on a narrow terminal.
        table.add_column(
            Text(clean(column)),
            justify="right" if numeric else "left",
            no_wrap=numeric,
            overflow="fold",
        )
    for row in sheet.rows:
        table.add_row(*(Text(clean(cell), style=_STYLES.get(cell, "")) for cell in row))
    return table
