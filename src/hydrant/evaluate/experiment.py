"""Pipelines on tasks: which is better, by how much, whether that is luck, and at what cost."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hydrant.encode.query_cache import without_query_caches
from hydrant.errors import ConfigurationError
from hydrant.evaluate.absent import absent
from hydrant.evaluate.judgments import Run
from hydrant.evaluate.metrics import DEFAULT_METRICS, parse_metrics
from hydrant.evaluate.outcome import Found, Outcome, peak_memory
from hydrant.evaluate.plan import Node, Questions, searches, steps_of, walk
from hydrant.evaluate.report import Report, Settings, TaskResult
from hydrant.evaluate.scoring import Contender, task_result
from hydrant.evaluate.store import Shelf, check_folder, file_of, identity
from hydrant.evaluate.tasks import Task
from hydrant.pipeline import Pipeline, Stage
from hydrant.rerank.base import Reranker
from hydrant.threads import POOL

_LOG = logging.getLogger(__name__)
_MOST_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class System:
    """A pipeline with a name of its own.

    Attributes:
        name: What reports call it.
        pipeline: The pipeline, or a run that is there already.
        fingerprint: Your word for its settings, which a resumed experiment is to recognise it by; needed only where they
            hold what cannot be written down, such as a function. Change it when they change.
    """

    name: str
    pipeline: Stage | Run
    fingerprint: str | None = None


class Experiment:
    """Runs pipelines on tasks and compares them.

    Stages that pipelines have in common at their beginning (equal ones, see `hydrant.Pipeline`) run once for each question.
    Every question is encoded anew, so that latencies are those of new questions; they are measured with `at_once` questions
    under way, so for a latency of its own set that to 1.

    Args:
        pipelines: By name; or a sequence of pipelines and `System`s, where a pipeline is called by its stages. A `Run` may
            stand for a pipeline.
        tasks: A task, or several.
        metrics: See `hydrant.evaluate.metrics.parse_metrics`. The first one ranks. A task of pairs has metrics of its own.
        depth: How many hits every pipeline is asked for; None for as many as it gives by itself, which is what its users
            get.
        at_once: How many questions are under way at a time.
        folder: Where outcomes are kept, so that an interrupted experiment goes on; None for nowhere. An experiment looks
            at a pipeline's settings and at its collection's name, size and encoders: empty the folder when texts change.
        baseline: The pipeline that the others are compared with; None compares every two.
        resamples: How many times the significance test and the intervals draw.
        seed: Makes them repeatable.
        progress: Whether to show a bar, where standard error is a terminal.

    Raises:
        ConfigurationError: Two pipelines or tasks of one name, a metric that there is not, or other settings that cannot be.
    """

    def __init__(
        self,
        pipelines: Mapping[str, Stage | Run] | Sequence[Stage | System],
        tasks: Task | Sequence[Task],
        *,
        metrics: Sequence[str] = DEFAULT_METRICS,
        depth: int | None = None,
        at_once: int = 4,
        folder: str | Path | None = None,
        baseline: str | None = None,
        resamples: int = 10_000,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        self.systems = _systems(pipelines)
        self.tasks = _tasks(tasks)
        names = list(self.systems)
        if baseline is not None and baseline not in names:
            msg = f"baseline must be one of the pipelines {names}, got {baseline!r}"
            raise ConfigurationError(msg)
        for name, value, most in (("at_once", at_once, _MOST_AT_ONCE), ("resamples", resamples, 10**7)):
            _check_whole(name, value, most)
        if depth is not None:
            _check_whole("depth", depth, 10_000)
        parse_metrics(metrics)
        self.settings = Settings(tuple(metrics), depth, at_once, baseline, resamples, seed)
        self.folder = None if folder is None else Path(folder)
        self.progress = progress
        check_folder(self.folder)

    def run(self) -> Report:
        """Ask every question of every task, and compare what was found.

        A pipeline that fails on a question counts 0 there, and the report shows it.

        Raises:
            StorageError: Results cannot be kept in the folder.
        """
        self._warm_up()
        with without_query_caches():
            results = [self._measured(task) for task in self.tasks]
        return Report(tuple(results), self.settings, peak_memory())

    def _warm_up(self) -> None:
        for system in self.systems.values():
            if isinstance(system.pipeline, Stage):
                system.pipeline.warm_up()

    def _measured(self, task: Task) -> TaskResult:
        shelves = {name: self._shelf(system, task) for name, system in self.systems.items()}
        self._ask(task, shelves)
        contenders = [
            Contender(name, shelves[name].outcomes, self._rerankers(self.systems[name], task))
            for name in self.systems
        ]
        pipelines = [each.pipeline for each in self.systems.values() if isinstance(each.pipeline, Stage)]
        remarks = absent(task, pipelines, [shelf.outcomes for shelf in shelves.values()])
        return task_result(replace(task, remarks=(*task.remarks, *remarks)), contenders, self.settings)

    def _shelf(self, system: System, task: Task) -> Shelf:
        if isinstance(system.pipeline, Run):
            shelf = Shelf(None, task, None)
            for query in task.queries:
                shelf.put(query, _outcome_of_run(system.pipeline, query))
            return shelf
        if self.folder is None:
            return Shelf(None, task, None)
        try:
            known = identity(system.pipeline, self.settings.depth, system.fingerprint)
        except ConfigurationError as error:
            _LOG.warning(
                "results of %r are not kept: %s; give System(..., fingerprint=...)", system.name, error
            )
            known = None
        return Shelf(file_of(self.folder, task.name, system.name), task, known)

    def _ask(self, task: Task, shelves: Mapping[str, Shelf]) -> None:
        """Ask what has no outcome yet, many questions side by side."""
        plans = _Plans(task, self.systems, self.settings.depth)
        missing = {name: set(shelf.missing) for name, shelf in shelves.items()}
        work = [
            (query, frozenset(name for name in shelves if query in missing[name])) for query in task.queries
        ]
        work = [(query, names) for query, names in work if names]

        def ask(item: tuple[str, frozenset[str]]) -> None:
            query, names = item
            for name, outcome in plans.walk(query, names).items():
                shelves[name].put(query, replace(outcome, at_once=self.settings.at_once))
            advance()

        with _bar(task.name, len(work), show=self.progress) as advance:
            POOL.map(ask, work, at_once=self.settings.at_once)

    @staticmethod
    def _rerankers(system: System, task: Task) -> dict[int, str]:
        """The rerankers of a pipeline by their positions."""
        if isinstance(system.pipeline, Run):
            return {}
        steps = steps_of(system.pipeline, task, None)
        return {at: step.stage.name for at, step in enumerate(steps) if isinstance(step.stage, Reranker)}


class _Plans:
    """The stages to run, for every set of pipelines that still lacks a question."""

    def __init__(self, task: Task, systems: Mapping[str, System], depth: int | None) -> None:
        pipelines = {
            name: system.pipeline for name, system in systems.items() if isinstance(system.pipeline, Stage)
        }
        self._steps = {name: steps_of(pipeline, task, depth) for name, pipeline in pipelines.items()}
        # Only where candidates are given does it matter whether a pipeline searches for them or begins with them.
        self._searching = {name: task.kind == "pairs" and searches(each) for name, each in pipelines.items()}
        self._questions = {flag: Questions(task, searches=flag) for flag in set(self._searching.values())}
        self._roots: dict[frozenset[str], dict[bool, Node]] = {}

    def walk(self, query: str, names: frozenset[str]) -> dict[str, Outcome]:
        """What each of the pipelines makes of a question."""
        outcomes: dict[str, Outcome] = {}
        for flag, root in self._planned(names).items():
            outcomes |= walk(root, self._questions[flag].asked(query))
        return outcomes

    def _planned(self, names: frozenset[str]) -> dict[bool, Node]:
        if names not in self._roots:
            roots: dict[bool, Node] = {}
            for name in self._steps:
                if name in names:
                    roots.setdefault(self._searching[name], Node()).add(name, self._steps[name])
            self._roots[names] = roots
        return self._roots[names]


def _systems(given: object) -> dict[str, System]:
    if isinstance(given, Mapping):
        listed = [System(name, pipeline) for name, pipeline in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        listed = [each if isinstance(each, System) else System(_name_of(each), each) for each in given]
    else:
        msg = f"pipelines must be a mapping of names to pipelines, or a sequence of them, got {given!r}"
        raise ConfigurationError(msg)
    if not listed:
        msg = "an experiment needs at least one pipeline, got none"
        raise ConfigurationError(msg)
    systems: dict[str, System] = {}
    for system in listed:
        if not isinstance(system.pipeline, Stage | Run):
            msg = f"pipeline {system.name!r} must be a pipeline, a stage or a Run, got {system.pipeline!r}"
            raise ConfigurationError(msg)
        if not isinstance(system.name, str) or not system.name.strip():
            msg = f"a pipeline's name must be a text that is not blank, got {system.name!r}"
            raise ConfigurationError(msg)
        if system.name in systems:
            msg = f"two pipelines are called {system.name!r}; give them names of their own: in a file 'name', of a run its file's, in Python Experiment({{'first': ..., 'second': ...}}, ...)"
            raise ConfigurationError(msg)
        systems[system.name] = system
    return systems


def _name_of(pipeline: object) -> str:
    stages = pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,)
    return " > ".join(str(getattr(stage, "name", stage)) for stage in stages)


def _tasks(given: object) -> tuple[Task, ...]:
    tasks = (given,) if isinstance(given, Task) else tuple(given) if isinstance(given, Sequence) else ()
    if not tasks or not all(isinstance(task, Task) for task in tasks):
        msg = f"tasks must be a Task or a sequence of at least one, such as Task.load('nfcorpus'); got {given!r}"
        raise ConfigurationError(msg)
    names = [task.name for task in tasks if isinstance(task, Task)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"two tasks are called {twice[0]!r}; rename its file, say 'name' in its task.yaml, or in Python dataclasses.replace(task, name=...)"
        raise ConfigurationError(msg)
    return tuple(task for task in tasks if isinstance(task, Task))


def _outcome_of_run(run: Run, query: str) -> Outcome:
    ranking = run.rankings.get(query, ())
    found = tuple(Found(document, score, itself=document == query) for document, score in ranking)
    return Outcome(found, error=None if query in run.rankings else "the run has no ranking for it")


def _check_whole(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        msg = f"{name} must be a whole number from 1 to {most:,}, got {value!r}"
        raise ConfigurationError(msg)


class _Advance:
    """Counts what is done, on a terminal for everybody to see."""

    def __call__(self) -> None:
        """One more question is done."""


@contextmanager
def _bar(title: str, total: int, *, show: bool) -> Iterator[_Advance]:
    from rich.console import Console

    console = Console(stderr=True)
    if not (show and total and console.is_terminal):
        yield _Advance()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("questions · left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(title, total=total)

        class _Shown(_Advance):
            def __call__(self) -> None:
                bars.advance(task)

        yield _Shown()
