"""Choosing among many settings on one set of questions, so that another set can say what the choice is worth."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydrant.errors import ConfigurationError, TaskError
from hydrant.evaluate.experiment import Experiment, System
from hydrant.evaluate.plan import hash_of
from hydrant.evaluate.tasks import Task

Method = Literal["grid", "halving"]

# A mean over fewer questions says next to nothing.
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting that was tried.

    Attributes:
        name: What the pipeline is called.
        value: The mean of the metric over the questions it was tried on.
        questions: How many those were; all of them for those that came to the last round.
    """

    name: str
    value: float
    questions: int


@dataclass(frozen=True, slots=True)
class Tuning:
    """What came of trying.

    Attributes:
        metric: What was to be high.
        task: The questions it was tried on.
        trials: The settings, best first; those that were given up early behind the others.
        asked: How many questions were asked in all, each for one pipeline.
        possible: How many there would have been in a grid.
    """

    metric: str
    task: str
    trials: tuple[Trial, ...]
    asked: int
    possible: int

    @property
    def best(self) -> Trial:
        """The setting that was best. Its value is too good to be true: it was chosen for it."""
        return self.trials[0]


@dataclass(frozen=True, slots=True)
class Tuner:
    """Tries pipelines on a task.

    Attributes:
        metric: What is to be high.
        method: "grid" asks every pipeline every question. "halving" asks all of them a few, and the best of them more
            (successive halving: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
            Optimization", AISTATS 2016).
        factor: What share of the pipelines a round of halving keeps: one in so many.
        at_once: How many questions are under way at a time.
        folder: Where outcomes are kept; None for a temporary one.
        seed: Which questions come first in halving.
        progress: Whether to show a bar, where standard error is a terminal.
    """

    metric: str = "nDCG@10"
    method: Method = "grid"
    factor: int = 3
    at_once: int = 4
    folder: Path | None = None
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        if self.method not in ("grid", "halving"):
            msg = f"method must be 'grid' or 'halving', got {self.method!r}"
            raise ConfigurationError(msg)
        if isinstance(self.factor, bool) or not isinstance(self.factor, int) or self.factor < 2:  # noqa: PLR2004
            msg = f"factor must be a whole number of at least 2, got {self.factor!r}"
            raise ConfigurationError(msg)

    def tune(self, systems: Sequence[System], dev: Task) -> Tuning:
        """Try all pipelines.

        Args:
            systems: The pipelines. Of several that are equally good, the one that comes first is best.
            dev: The questions to try them on. Report what was chosen on others.

        Raises:
            ConfigurationError: There is nothing to choose from.
        """
        if len(systems) < 2:  # noqa: PLR2004  a choice needs two
            msg = f"tuning needs at least two pipelines to choose from, got {len(systems)}"
            raise ConfigurationError(msg)
        if self.folder is not None:
            return self._tuned(systems, dev, self.folder)
        with tempfile.TemporaryDirectory(prefix="hydrant-tune-") as folder:
            return self._tuned(systems, dev, Path(folder))

    def _tuned(self, systems: Sequence[System], dev: Task, folder: Path) -> Tuning:
        order = list(dev.queries)
        random.Random(self.seed).shuffle(order)  # noqa: S311  no secret
        left = list(systems)
        given_up: list[Trial] = []
        asked = before = 0
        for size in self._sizes(len(systems), len(order)):
            asked += (size - before) * len(left)
            before = size
            part = dev.only(order[:size], dev.name)
            trials = self._tried(left, part, folder)
            kept = max(1, math.ceil(len(left) / self.factor))
            if size < len(order):
                given_up = [*trials[kept:], *given_up]
                names = {trial.name for trial in trials[:kept]}
                left = [system for system in left if system.name in names]
        return Tuning(self.metric, dev.name, (*trials, *given_up), asked, len(systems) * len(order))

    def _sizes(self, systems: int, questions: int) -> list[int]:
        """How many questions each round asks; the last one all of them."""
        if self.method == "grid":
            return [questions]
        rounds = max(1, math.ceil(math.log(systems, self.factor)))
        sizes = [max(_FEWEST, questions // self.factor ** (rounds - number)) for number in range(rounds)]
        return [*sorted({size for size in sizes if size < questions}), questions]

    def _tried(self, systems: Sequence[System], part: Task, folder: Path) -> list[Trial]:
        report = Experiment(
            systems,
            part,
            metrics=(self.metric,),
            at_once=self.at_once,
            folder=folder,
            # Nobody reads intervals of trials; one draw and few comparisons cost next to nothing.
            baseline=systems[0].name,
            resamples=1,
            progress=self.progress,
        ).run()
        result = report.tasks[0]
        metric = result.metrics[0]
        values = {each.name: each.mean(metric) for each in result.measured}
        trials = [Trial(system.name, values[system.name], len(part.queries)) for system in systems]
        return sorted(trials, key=lambda trial: -trial.value)


def check_apart(dev: Task, test: Task) -> None:
    """Refuse to choose on questions that the choice is reported on.

    Raises:
        TaskError: Both have a question of one id.
    """
    both = [query for query in test.queries if query in dev.queries]
    if both:
        msg = (
            f"{len(both):,} questions of {test.name!r} are in {dev.name!r} too, such as {both[0]!r}: what is chosen on "
            "questions looks good on the same questions; take them out of one of the two"
        )
        raise TaskError(msg)


def split(task: Task, dev_share: float = 0.5) -> tuple[Task, Task]:
    """A task in two: questions to choose on and questions to report on, the same ones on every machine.

    Questions of one pair stay together.

    Args:
        task: The task.
        dev_share: The share of the questions to choose on.

    Raises:
        ConfigurationError: The share is not between 0 and 1.
        TaskError: A side would be empty.
    """
    if isinstance(dev_share, bool) or not isinstance(dev_share, int | float) or not 0 < dev_share < 1:
        msg = f"dev_share must lie between 0 and 1, got {dev_share!r}"
        raise ConfigurationError(msg)
    together = {each.query: each.pair for each in task.preferences}
    keys = sorted({together.get(query, query) for query in task.queries}, key=hash_of)
    count = round(dev_share * len(keys))
    if not 0 < count < len(keys):
        msg = f"task {task.name!r} has too few questions ({len(task.queries)}) to choose on some and report on others"
        raise TaskError(msg)
    chosen = set(keys[:count])
    dev = [query for query in task.queries if together.get(query, query) in chosen]
    test = [query for query in task.queries if together.get(query, query) not in chosen]
    return task.only(dev, f"{task.name}, dev part"), task.only(test, f"{task.name}, test part")
