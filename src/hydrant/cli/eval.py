"""`hydrant eval`: which of several pipelines is better, by how much, and whether that is luck."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hydrant.cli import pipelines
from hydrant.cli.console import note, print_json, stdout
from hydrant.cli.guard import FAILED, guarded
from hydrant.cli.pipelines import AtOnceOption, MetricOption, ResultsOption, SplitOption
from hydrant.cli.place import PathOption, UrlOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydrant.evaluate.experiment import System
    from hydrant.evaluate.report import Report

_HELP = """Compare pipelines on judged questions: quality with intervals, differences with significance, latency and cost.

A task is a folder in BEIR layout, a file of judgments in one (folder/qrels/dev.tsv), or a JSONL file of questions, each line {"text": "how do I rotate the keys?", "relevant": ["manual/keys.md"]}.
"""
_EPILOG = """[bold]Example[/]: hydrant eval questions.jsonl -p dense.yaml -p hybrid.yaml --save report.html

[bold]A pipeline's file[/]: {collection: docs, stages: \\[{Retriever: {limit: 10}}]}, in YAML; docs/evaluate.md shows more.

[bold]Exit codes[/]: 0 measured, also where a pipeline failed on some questions; 1 an error, or a pipeline that failed on all of them; 2 wrong usage.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("eval", help=_HELP, epilog=_EPILOG)(evaluate)


@guarded()
def evaluate(
    ctx: typer.Context,
    tasks: Annotated[
        list[Path], typer.Argument(metavar="TASK...", help="Judged questions.", show_default=False)
    ],
    *,
    pipeline: Annotated[
        list[Path] | None,
        typer.Option("--pipeline", "-p", metavar="FILE", help="A pipeline in YAML. Repeatable."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", metavar="FILE", help="Rankings of another system, in TREC format. Repeatable."),
    ] = None,
    split: SplitOption = None,
    metric: MetricOption = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Compare the others with this one alone; without it, every two."),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Ask every pipeline for this many hits, instead of as many as it gives."
        ),
    ] = None,
    at_once: AtOnceOption = 4,
    results: ResultsOption = None,
    save: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Write the report too: FILE.html, FILE.md or FILE.json. Repeatable."
        ),
    ] = None,
    path: PathOption = None,
    url: UrlOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with every question's values.")
    ] = False,
) -> None:
    """Measure, and show what came out."""
    from hydrant.evaluate.experiment import Experiment
    from hydrant.evaluate.metrics import DEFAULT_METRICS
    from hydrant.evaluate.plain import check_file

    if not (pipeline or run):
        msg = "give at least one --pipeline FILE, or --run FILE"
        raise typer.BadParameter(msg, ctx=ctx)
    for file in save or ():
        check_file(file)
    configs = pipelines.read(pipeline or ())
    judged = pipelines.loaded(tasks, split)
    with pipelines.workshop(ctx, path, url) as made:
        experiment = Experiment(
            [*pipelines.systems(made, configs), *_runs(run or ())],
            judged,
            metrics=metric or DEFAULT_METRICS,
            depth=depth,
            at_once=at_once,
            folder=results,
            baseline=baseline,
        )
        report = experiment.run()
    # Shown first: what took long to measure is not lost with a disk that is full.
    if as_json:
        print_json(report.json())
    else:
        report.show(stdout())
    for file in save or ():
        report.save(file)
        note(f"report in {file}")
    _fail_with_whoever_never_answered(report)


def _fail_with_whoever_never_answered(report: Report) -> None:
    """Some failures are a result; a pipeline that cannot answer at all is an error, also to a script that asks for the exit code."""
    silent = [
        f"{each.name} failed on every question of {task.name}: {next(iter(each.failed.values()))}"
        for task in report.tasks
        for each in task.measured
        if len(each.failed) == task.questions
    ]
    for said in silent:
        note(said)
    if silent:
        raise typer.Exit(FAILED)


def _runs(files: Sequence[Path]) -> list[System]:
    from hydrant.evaluate.experiment import System
    from hydrant.evaluate.judgments import Run

    return [System(file.stem, Run.read(file)) for file in files]
