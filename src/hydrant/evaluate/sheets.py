"""The tables of a report, before anybody decides whether they are terminal, Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hydrant.evaluate.report import Comparison, Measured, Report, TaskResult
from hydrant.evaluate.significance import Interval

_MOST_FAILURES = 10
_MEGA = 1024 * 1024
# How much of what a stage says of its failure stands below a table, in characters.
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table.

    Attributes:
        title: What it shows.
        columns: What its columns are called.
        rows: The cells, as texts.
        numeric: Which columns hold numbers.
        names: How many columns at the left say what a row is of.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int]
    names: int = 1


def sheets(task: TaskResult) -> Iterator[Sheet]:
    """The tables of a task: the ranking, the comparisons, the groups, the failures."""
    yield ranking(task)
    if task.comparisons:
        yield comparisons(task)
    if any(each.groups.get(task.metrics[0]) for each in task.measured):
        yield groups(task)
    if any(each.failed for each in task.measured):
        yield failures(task)


def ranking(task: TaskResult) -> Sheet:
    """The pipelines, best first, with what they cost."""
    first = task.metrics[0]
    columns = ["", "pipeline", first, "95 %"]
    columns += task.metrics[1:]
    costs = _costs(task)
    rows = []
    for place, each in enumerate(task.measured, 1):
        row = [str(place), each.name, number(each.mean(first)), shown_interval(each.intervals[first])]
        row += [number(each.mean(metric)) for metric in task.metrics[1:]]
        row += [cost[1](each) for cost in costs]
        rows.append(tuple(row))
    columns += [cost[0] for cost in costs]
    numeric = frozenset(range(len(columns))) - {1}
    kind = {"retrieval": "", "rerank": ", given candidates", "pairs": ", pairs"}[task.kind]
    title = f"{task.name}: {task.questions:,} questions{', graded' if task.graded else ''}{kind}"
    return Sheet(title, tuple(columns), tuple(rows), numeric, names=2)


def comparisons(task: TaskResult) -> Sheet:
    """Who is better than whom by the first metric."""
    rows = tuple(
        (
            each.one,
            each.other,
            f"{each.difference:+.4f}",
            shown_interval(each.interval, signed=True),
            shown_p(each.p),
            shown_p(each.adjusted),
            verdict(each),
        )
        for each in task.compared()
    )
    title = f"Differences in {task.metrics[0]} (paired randomisation test, Holm's correction)"
    columns = ("pipeline", "compared with", "difference", "95 %", "p", "corrected p", "")
    return Sheet(title, columns, rows, frozenset({2, 3, 4, 5}), names=2)


def groups(task: TaskResult) -> Sheet:
    """The first metric in each group of questions."""
    first = task.metrics[0]
    names = list(task.measured[0].groups[first])
    rows = tuple((each.name, *(number(each.groups[first][name]) for name in names)) for each in task.measured)
    return Sheet(f"{first} by group", ("pipeline", *names), rows, frozenset(range(1, len(names) + 1)))


def failures(task: TaskResult) -> Sheet:
    """The questions that pipelines failed on."""
    rows: list[tuple[str, ...]] = []
    for each in task.measured:
        shown = list(each.failed.items())[:_MOST_FAILURES]
        rows += [(each.name, query, reason) for query, reason in shown]
        if len(each.failed) > len(shown):
            rows.append((each.name, f"and {len(each.failed) - len(shown):,} more", ""))
    title = "Questions without an answer, which count 0"
    return Sheet(title, ("pipeline", "question", "why"), tuple(rows), frozenset())


def overview(report: Report) -> Sheet | None:
    """The first metric of every pipeline on every task, and the mean; None where there is one task."""
    if len(report.tasks) < 2:  # noqa: PLR2004  one task is its own overview
        return None
    names = [each.name for each in report.tasks[0].measured]
    means = {name: [task[name].mean(task.metrics[0]) for task in report.tasks] for name in names}
    ordered = sorted(names, key=lambda name: -sum(means[name]))
    rows = tuple(
        (name, *map(number, means[name]), number(sum(means[name]) / len(means[name]))) for name in ordered
    )
    columns = ("pipeline", *(f"{task.name} ({task.metrics[0]})" for task in report.tasks), "mean")
    return Sheet("All tasks", columns, rows, frozenset(range(1, len(columns))))


def notes(task: TaskResult) -> list[str]:
    """What stands below a task's tables: warnings first."""
    lines = [f"warning: {warning}" for warning in task.warnings]
    for each in task.measured:
        lines += [
            f"{each.name} went on without {stage!r} on {count:,} of {task.questions:,} questions, mostly because of "
            f"{_shortened(each.reasons[stage])}"
            for stage, count in sorted(each.degraded.items())
        ]
    return [*lines, *task.remarks]


def method(report: Report) -> str:
    """How it was measured, in a line."""
    settings = report.settings
    depth = "as many hits as each gives" if settings.depth is None else f"{settings.depth} hits each"
    memory = (
        ""
        if report.peak_memory is None
        else f"; the process held {report.peak_memory / _MEGA:,.0f} MB at most"
    )
    return (
        f"{depth}; times with {settings.at_once} question{'s' * (settings.at_once > 1)} at once, models warm{memory}; intervals by bootstrap, "
        f"{settings.resamples:,} draws, seed {settings.seed}"
    )


def number(value: float) -> str:
    """A metric's value."""
    return f"{value:.4f}"


def shown_interval(interval: Interval, *, signed: bool = False) -> str:
    """An interval."""
    sign = "+" if signed else ""
    return f"{interval.low:{sign}.3f} to {interval.high:{sign}.3f}"


def shown_p(p: float) -> str:
    """A p-value."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004  three digits are shown


def verdict(comparison: Comparison) -> str:
    """What a comparison says, in words."""
    if not comparison.significant:
        return "may be chance"
    return "better" if comparison.difference > 0 else "worse"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 1]}…"


def _costs(task: TaskResult) -> list[tuple[str, Callable[[Measured], str]]]:
    """The columns of costs that say something on this task."""
    measured = task.measured
    costs: list[tuple[str, Callable[[Measured], str]]] = []
    if any(each.latency for each in measured):
        costs += [("p50 ms", lambda each: _ms(each, "p50")), ("p95 ms", lambda each: _ms(each, "p95"))]
    if any(each.usage.calls for each in measured):
        costs.append(("LLM calls", lambda each: f"{each.usage.calls / task.questions:.2f}"))
    if any(each.usage.prompt_tokens or each.usage.completion_tokens for each in measured):
        costs.append(("tokens", lambda each: f"{_tokens(each) / task.questions:,.0f}"))
    if any(each.failed for each in measured):
        costs.append(("failed", lambda each: f"{len(each.failed):,}"))
    return costs


def _ms(measured: Measured, which: str) -> str:
    if measured.latency is None:
        return "–"
    milliseconds = 1000 * float(getattr(measured.latency, which))
    return f"{milliseconds:,.1f}" if milliseconds < 100 else f"{milliseconds:,.0f}"  # noqa: PLR2004


def _tokens(measured: Measured) -> int:
    return measured.usage.prompt_tokens + measured.usage.completion_tokens
