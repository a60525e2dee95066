"""A report as one page of HTML: tables, plots, and every question's values."""

from __future__ import annotations

from collections.abc import Iterator

from hydrant import __version__
from hydrant.evaluate import plots, sheets
from hydrant.evaluate.report import Report, TaskResult
from hydrant.evaluate.texts import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1f24; --soft: #5b6169; --line: #d9dde3; --paper: #fff; --note: #fff7e0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #a5abb3; --line: #3a3f47; --paper: #16181c; --note: #3a3216; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-bottom: .4rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: left; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; } .number { text-align: right; white-space: nowrap; }
svg { width: 100%; max-width: 820px; height: auto; font: 13px system-ui, sans-serif; }
svg .grid { stroke: var(--line); } svg text { fill: var(--ink); } svg .tick, svg .label { fill: var(--soft); }
.note { background: var(--note); padding: .4rem .7rem; border-radius: 4px; margin: .3rem 0; }
.method, summary { color: var(--soft); } details { margin: 1rem 0; }
"""
_MOST_QUESTIONS = 2000
_SHOWN_TEXT = 110


def page(report: Report) -> str:
    """The page; see `Report.html`."""
    body = "".join(part for task in report.tasks for part in _task(task))
    overview = sheets.overview(report)
    if overview is not None:
        body = f"<h2>{escape(overview.title)}</h2>{_table(overview)}{body}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Evaluation</title><style>{_STYLE}</style></head><body><h1>Evaluation</h1>"
        f'<p class="method">{escape(sheets.method(report))}; hydrant {__version__}</p>{body}</body></html>\n'
    )


def _task(task: TaskResult) -> Iterator[str]:
    first = task.metrics[0]
    yield f"<h2>{escape(task.name)}</h2>"
    for note in sheets.notes(task):
        yield f'<p class="note">{escape(note)}</p>'
    for sheet in sheets.sheets(task):
        yield f"<h3>{escape(sheet.title)}</h3>{_table(sheet)}"
    yield f"<h3>{escape(first)}, with 95 % intervals</h3>"
    yield plots.intervals(
        [
            plots.Line(each.name, each.mean(first), each.intervals[first].low, each.intervals[first].high)
            for each in task.measured
        ],
        first,
    )
    yield from _plots(task)
    yield _questions(task)


def _plots(task: TaskResult) -> Iterator[str]:
    first = task.metrics[0]
    compared = task.compared()
    if compared:
        yield "<h3>Differences, with 95 % intervals (grey: may be chance)</h3>"
        yield plots.intervals(
            [
                plots.Line(
                    f"{each.one} – {each.other}",
                    each.difference,
                    each.interval.low,
                    each.interval.high,
                    plots.color_of(each.difference, significant=each.significant),
                )
                for each in compared
            ],
            f"difference in {first}",
            zero=True,
        )
    timed = [
        plots.Dot(each.name, 1000 * each.latency.p50, each.mean(first))
        for each in task.measured
        if each.latency is not None and each.latency.p50 > 0
    ]
    if len(timed) > 1:
        yield "<h3>Quality against latency</h3>"
        yield plots.scatter(timed, "median latency in ms (logarithmic)", first)
    if len(task.measured) > 1:
        best, second = task.measured[:2]
        yield f"<h3>{escape(best.name)} against {escape(second.name)}, question by question</h3>"
        yield plots.differences(
            (best.array(first) - second.array(first)).tolist(), f"difference in {first}, sorted"
        )


def _questions(task: TaskResult) -> str:
    """Every question's value of the first metric, those first on which the pipelines differ most."""
    first = task.metrics[0]
    keys = list(task.measured[0].values[first])
    spread = {key: [each.values[first][key] for each in task.measured] for key in keys}
    ordered = sorted(keys, key=lambda key: min(spread[key]) - max(spread[key]))[:_MOST_QUESTIONS]
    head = "".join(f'<th class="number">{escape(each.name)}</th>' for each in task.measured)
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(_short(task.texts.get(key, '')))}</td>"
        + "".join(f'<td class="number">{value:.3f}</td>' for value in spread[key])
        + "</tr>"
        for key in ordered
    )
    return (
        f"<details><summary>{escape(first)} of every question, those on which the pipelines differ most first</summary>"
        f'<div class="wide"><table><thead><tr><th>id</th><th>question</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></details>"
    )


def _table(sheet: sheets.Sheet) -> str:
    def cells(row: tuple[str, ...], tag: str) -> str:
        numeric = f'{tag} class="number"'
        return "".join(
            f"<{numeric if position in sheet.numeric else tag}>{escape(cell)}</{tag}>"
            for position, cell in enumerate(row)
        )

    rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in sheet.rows)
    return f'<div class="wide"><table><thead><tr>{cells(sheet.columns, "th")}</tr></thead><tbody>{rows}</tbody></table></div>'


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 1]}…"
