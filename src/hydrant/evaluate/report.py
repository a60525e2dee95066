"""What an experiment found, ready to be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.errors import StorageError
from hydrant.evaluate.metrics import Values, mean
from hydrant.evaluate.outcome import Latency
from hydrant.evaluate.significance import Interval, Scores
from hydrant.types import Usage

if TYPE_CHECKING:
    from rich.console import Console

LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Settings:
    """How an experiment measured; see `hydrant.Experiment`."""

    metrics: tuple[str, ...]
    depth: int | None
    at_once: int
    baseline: str | None
    resamples: int
    seed: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One pipeline on one task.

    Attributes:
        name: The pipeline's name.
        values: The value of each metric for each question (or pair).
        intervals: Between what each metric's mean lies, at 95 %.
        latency: How long questions took; None for a run that was there already.
        usage: What language models were asked for all questions.
        failed: The questions it failed on, which count 0, and why.
        degraded: On how many questions it went on without a stage, by the stage.
        reasons: Why it mostly went on without a stage, by the stage.
        groups: The mean of each metric in each group of questions.
    """

    name: str
    values: Values
    intervals: Mapping[str, Interval]
    latency: Latency | None
    usage: Usage
    failed: Mapping[str, str]
    degraded: Mapping[str, int]
    reasons: Mapping[str, str]
    groups: Mapping[str, Mapping[str, float]]

    def mean(self, metric: str) -> float:
        """The mean of a metric over the questions."""
        return mean(self.values[metric].values())

    def array(self, metric: str) -> Scores:
        """The values of a metric, in the order of the questions."""
        return np.array(list(self.values[metric].values()))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two pipelines by one metric.

    Attributes:
        metric: The metric.
        one: A pipeline.
        other: The one it is compared with.
        difference: By how much its mean is higher.
        interval: Between what the difference lies, at 95 %.
        p: The p-value of a paired randomisation test.
        adjusted: The p-value corrected for all comparisons by this metric on this task (Holm).
    """

    metric: str
    one: str
    other: str
    difference: float
    interval: Interval
    p: float
    adjusted: float

    @property
    def significant(self) -> bool:
        """Whether chance hardly explains the difference: the corrected p-value lies below 0.05."""
        return self.adjusted < LEVEL


@dataclass(frozen=True, slots=True)
class TaskResult:
    """All pipelines on one task, the best by the first metric first.

    Attributes:
        name: The task's name.
        kind: Its kind.
        graded: Whether its judgments have grades.
        questions: How many judged questions it has.
        unjudged: The questions that were left out because nothing is judged for them.
        metrics: The metrics, the one that ranks first.
        measured: The pipelines.
        comparisons: By each metric, every two pipelines or everyone with the baseline.
        warnings: What somebody should look at: rerankers that lower the ranking.
        remarks: What was counted and left out.
        texts: The questions' texts, by what the values are kept under.
    """

    name: str
    kind: str
    graded: bool
    questions: int
    unjudged: tuple[str, ...]
    metrics: tuple[str, ...]
    measured: tuple[Measured, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]
    texts: Mapping[str, str]

    def __getitem__(self, name: str) -> Measured:
        return next(each for each in self.measured if each.name == name)

    def compared(self, metric: str | None = None) -> list[Comparison]:
        """The comparisons by one metric, the first one where nothing is said."""
        wanted = self.metrics[0] if metric is None else metric
        return [each for each in self.comparisons if each.metric == wanted]


@dataclass(frozen=True, slots=True)
class Report:
    """What an experiment found.

    Attributes:
        tasks: Every task.
        settings: How it measured.
        peak_memory: The most memory that the whole process has held, in bytes; None where the system does not say.
    """

    tasks: tuple[TaskResult, ...]
    settings: Settings
    peak_memory: int | None

    def __getitem__(self, task: str) -> TaskResult:
        return next(each for each in self.tasks if each.name == task)

    def show(self, console: Console | None = None) -> None:
        """Print tables to the terminal.

        Args:
            console: Where; standard output where nothing is said.
        """
        from hydrant.evaluate.show import show

        show(self, console)

    def markdown(self) -> str:
        """The tables as Markdown."""
        from hydrant.evaluate.markdown import markdown

        return markdown(self)

    def html(self) -> str:
        """One page with tables and plots that needs nothing else: no script, no style sheet, no network."""
        from hydrant.evaluate.html import page

        return page(self)

    def json(self) -> dict[str, Any]:
        """Everything as JSON values, with every question's value."""
        from hydrant.evaluate.plain import plain

        return plain(self)

    def save(self, file: str | Path) -> None:
        """Write the report; the file's ending says how: .md, .html or .json.

        Raises:
            ConfigurationError: Another ending.
            StorageError: The file cannot be written.
        """
        from hydrant.evaluate.plain import written

        path = Path(file)
        text = written(self, path)
        try:
            # Ids that come from file names need not be UTF-8.
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            msg = f"the report cannot be written to {path}: {error.strerror}"
            raise StorageError(msg) from error
