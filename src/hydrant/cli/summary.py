"""What an indexing run did, for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydrant.cli.console import note, printable, stderr, stdout

if TYPE_CHECKING:
    from hydrant.ingest.report import Failure, IndexReport

MOST_SHOWN = 20


def show_report(report: IndexReport, title: str, total: int) -> None:
    """Print the counts as a table, and what failed or was noted with its reason.

    Args:
        report: What was done.
        title: Where.
        total: Passages that are there now.
    """
    from rich import box
    from rich.table import Table

    table = Table(title=printable(title), title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in _rows(report, total):
        table.add_row(name, value)
    stdout().print(table)
    if report.truncated:
        note(
            f"{report.truncated:,} passages are longer than the dense model reads; it has not seen their end "
            "(BM25 has). A smaller --max-tokens avoids that."
        )
    _list("note", report.notes, "yellow")
    _list("failed", report.failures, "red")


def shown_path(source: str) -> str:
    """A path relative to the working directory where it lies below it; anything else as it is."""
    path = Path(source)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_absolute() and path.is_relative_to(here) else source


def _rows(report: IndexReport, total: int) -> list[tuple[str, str]]:
    counts = {
        "files": report.files,
        "files unchanged": report.files_unchanged,
        "passages added": report.added,
        "passages updated": report.updated,
        "passages unchanged": report.unchanged,
        "duplicates": report.duplicates,
        "passages deleted": report.deleted,
        "failed": len(report.failures),
    }
    rows = [(name, f"{count:,}") for name, count in counts.items() if count or name == "passages added"]
    rate = (
        f" ({report.written / report.seconds:,.0f} passages/s)" if report.written and report.seconds else ""
    )
    return [*rows, ("passages now", f"{total:,}"), ("time", f"{report.seconds:,.1f} s{rate}")]


def _list(what: str, failures: Sequence[Failure], style: str) -> None:
    from rich.text import Text

    console = stderr()
    for failure in failures[:MOST_SHOWN]:
        source = printable(shown_path(failure.source))
        # The reason often begins with the path again.
        reason = printable(failure.reason).removeprefix(failure.source).lstrip(": ")
        console.print(Text.assemble((f"{what} ", style), (source, "bold"), f": {reason}"), soft_wrap=True)
    if len(failures) > MOST_SHOWN:
        console.print(Text(f"… and {len(failures) - MOST_SHOWN:,} more {what}", style=style))
