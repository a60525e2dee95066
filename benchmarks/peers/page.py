"""The tables as a page of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import machine

_HEAD = """# Results against other tools

Written by

```console
$ {command}
```

on {machine}. {doc}

"Setting" says how each tool was set up: at the best its documentation has for the task. Rows of one table ran in turns on one
machine, so compare rows, not absolute figures. The best value of a column is in bold, whosever it is.
"""
# Columns of which the highest and of which the lowest value is the best one.
_HIGHEST = frozenset({"nDCG@10", "recall@100", "at 16, q/s", "passages/s"})
_LOWEST = frozenset(
    {
        "p50 ms",
        "p95 ms",
        "p50 / ours",
        "p50 ms at 16",
        "p95 ms at 16",
        "MiB",
        "time / Hydrant's",
        "peak memory, MiB",
    }
)


def write(file: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Write the page.

    Args:
        file: Where it goes.
        results: The tables and notes of a report, in order.
    """
    import benchmarks.peers.__main__ as command

    doc = " ".join((command.__doc__ or "").split("\n\n", 1)[1].split())
    parts = [
        _HEAD.format(
            command=f"make peers  # python -m benchmarks.peers --write docs/{file.name}",
            machine=machine(),
            doc=doc,
        )
    ]
    parts += [_table(result) if "title" in result else f"{result['note']}\n" for result in results]
    file.write_text("\n".join(parts), encoding="utf-8")


def _table(result: Mapping[str, Any]) -> str:
    columns = result["columns"]
    rows = [[_shown(cell) for cell in row] for row in result["rows"]]
    lines = [f"## {result['title']}", "", _line(columns), _line(["---"] * len(columns))]
    lines += [_line(row) for row in _with_best_in_bold(columns, rows)]
    if result["note"]:
        lines += ["", result["note"][0].upper() + result["note"][1:] + "."]
    return "\n".join(lines) + "\n"


def _with_best_in_bold(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[list[str]]:
    best = {
        at: (max if column in _HIGHEST else min)(float(row[at]) for row in rows)
        for at, column in enumerate(columns)
        if column in _HIGHEST | _LOWEST and rows
    }
    return [
        [f"**{cell}**" if at in best and float(cell) == best[at] else cell for at, cell in enumerate(row)]
        for row in rows
    ]


def _shown(cell: Any) -> str:
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
