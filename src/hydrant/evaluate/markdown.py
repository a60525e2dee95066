"""A report as Markdown."""

from __future__ import annotations

from hydrant.evaluate import sheets
from hydrant.evaluate.report import Report
from hydrant.evaluate.texts import clean


def markdown(report: Report) -> str:
    """Every table; see `Report.markdown`."""
    parts: list[str] = []
    for task in report.tasks:
        for sheet in sheets.sheets(task):
            parts += [f"### {_escaped(sheet.title)}", _table(sheet)]
        notes = sheets.notes(task)
        if notes:
            parts.append("\n".join(f"- {_escaped(note)}" for note in notes))
    overview = sheets.overview(report)
    if overview is not None:
        parts += [f"### {overview.title}", _table(overview)]
    parts.append(f"*{_escaped(sheets.method(report))}*")
    return "\n\n".join(parts) + "\n"


def _table(sheet: sheets.Sheet) -> str:
    rules = ["---:" if position in sheet.numeric else "---" for position in range(len(sheet.columns))]
    rows = [sheet.columns, rules, *sheet.rows]
    return "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in rows)


def _escaped(text: str) -> str:
    # Markdown passes tags on to the page.
    return clean(text).replace("|", "\\|").replace("<", "&lt;")
