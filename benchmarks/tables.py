"""What a measurement prints: tables, and the same as JSON where asked for."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_WIDTH = 118


@dataclass
class Report:
    """Tables as they become ready; each is printed at once, and all of them kept for the JSON file.

    Attributes:
        title: What is measured.
        file: Where the JSON goes at the end; None for nowhere.
    """

    title: str
    file: Path | None = None
    _console: Console = field(default_factory=lambda: Console(width=_WIDTH))
    _tables: list[dict[str, Any]] = field(default_factory=list)

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], note: str = ""
    ) -> None:
        """Print a table; numbers go right, floats with four digits after the point unless they are strings."""
        rows = [list(row) for row in rows]
        shown = Table(title=title, title_justify="left", caption=note or None, caption_justify="left")
        for at, column in enumerate(columns):
            numeric = all(isinstance(row[at], int | float) or _is_number(row[at]) for row in rows)
            shown.add_column(column, justify="right" if numeric and rows else "left")
        for row in rows:
            shown.add_row(*(_shown(value) for value in row))
        self._console.print(shown)
        self._console.print()
        self._tables.append({"title": title, "columns": list(columns), "rows": rows, "note": note})

    def note(self, text: str) -> None:
        """Print a line that belongs to no table."""
        self._console.print(text, markup=False, highlight=False)
        self._tables.append({"note": text})

    def skip(self, what: str, reason: object) -> None:
        """Say what was not measured, and why."""
        self.note(f"skipped {what}: {reason}")

    @property
    def results(self) -> list[dict[str, Any]]:
        """Everything that was printed so far."""
        return list(self._tables)

    def close(self) -> None:
        """Write the JSON file, where one was asked for."""
        if self.file is not None:
            content = {"title": self.title, "machine": machine(), "results": self._tables}
            self.file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every measurement has."""
    first_line = (description or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=first_line)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables as JSON too")
    parser.add_argument("--data", metavar="FOLDER", help="where the judged sets are (default ../shared/data)")
    parser.add_argument(
        "--quick", action="store_true", help="a tiny size that shows that it works, not how well"
    )
    return parser


def machine() -> str:
    """The machine in a few words."""
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value[0] in "+-0123456789<"
