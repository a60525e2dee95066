"""`hydrant tune`: the best of many settings, chosen on some questions and reported on others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hydrant.cli import pipelines
from hydrant.cli.console import note, print_json, stdout
from hydrant.cli.guard import guarded
from hydrant.cli.pipelines import AtOnceOption, ResultsOption
from hydrant.cli.place import PathOption, UrlOption

if TYPE_CHECKING:
    from hydrant.config.pipelines import PipelineConfig, Workshop
    from hydrant.config.space import Space, Variant
    from hydrant.evaluate.experiment import System
    from hydrant.evaluate.report import Report
    from hydrant.evaluate.tasks import Task
    from hydrant.evaluate.tune import Tuning

_HELP = """Choose a pipeline's settings: every one that the file leaves open is tried on a development set, and the best is compared with the file's first options on a test set that it has never seen.
"""
_EPILOG = """[bold]The file[/]: a pipeline's, with {choose: \\[...]} where a setting is to be tried: fusion: {Rrf: {k: {choose: \\[20, 60, 100]}}}

[bold]Example[/]: hydrant tune space.yaml nfcorpus --dev dev --test test --method halving --save best.yaml

[bold]Exit codes[/]: 0 tuned; 1 an error; 2 wrong usage.
"""
_MOST_SHOWN = 12
_FEW = 50


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("tune", help=_HELP, epilog=_EPILOG)(tune)


@guarded()
def tune(
    ctx: typer.Context,
    space: Annotated[
        Path, typer.Argument(metavar="FILE", help="The pipeline with choices.", show_default=False)
    ],
    task: Annotated[Path, typer.Argument(metavar="TASK", help="Judged questions.", show_default=False)],
    *,
    dev: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="The folder's judgments to choose on; with --test.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="The folder's judgments to report on; with --dev.")
    ] = None,
    dev_share: Annotated[
        float,
        typer.Option(
            min=0.05,
            max=0.95,
            metavar="SHARE",
            help="Without splits: the share of the questions to choose on.",
        ),
    ] = 0.5,
    method: Annotated[
        str,
        typer.Option(
            metavar="grid|halving",
            help="Try everything on every question, or give up early what looks worse.",
        ),
    ] = "grid",
    metric: Annotated[
        str, typer.Option("--metric", "-m", metavar="NAME", help="What is to be high.")
    ] = "nDCG@10",
    at_once: AtOnceOption = 4,
    results: ResultsOption = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the best pipeline there, in YAML.")
    ] = None,
    path: PathOption = None,
    url: UrlOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Try, choose, and report on questions that had no say in it."""
    from hydrant.config.space import Space
    from hydrant.evaluate.experiment import Experiment, System
    from hydrant.evaluate.plain import check_parent
    from hydrant.evaluate.tune import Tuner

    if method not in {"grid", "halving"}:
        msg = f"--method is grid or halving, got {method!r}"
        raise typer.BadParameter(msg, ctx=ctx)
    if save is not None:
        check_parent(save)
    chosen: Literal["grid", "halving"] = "grid" if method == "grid" else "halving"
    open_space = Space.read(space)
    to_choose, to_report = _tasks(ctx, task, dev, test, dev_share)
    variants = {variant.config.name: variant for variant in open_space.variants()}
    with pipelines.workshop(ctx, path, url) as made:
        systems = [_system(made, variant.config) for variant in variants.values()]
        tuner = Tuner(metric, chosen, at_once=at_once, folder=results)
        tuning = tuner.tune(systems, to_choose)
        by_name = {system.name: system for system in systems}
        best, first = by_name[tuning.best.name], systems[0]
        compared = {"first options": first, "best": best} if best is not first else {"first options": first}
        report = Experiment(
            [System(name, each.pipeline, each.fingerprint) for name, each in compared.items()],
            to_report,
            metrics=(metric, *(each for each in ("nDCG@10", "R@10") if each != metric)),
            at_once=at_once,
            baseline="first options",
            folder=results,
        ).run()
    winner = variants[tuning.best.name]
    if as_json:
        print_json(_answer(tuning, report, variants))
    else:
        _show(tuning, report, first.name)
    if save is not None:
        _save(save, winner, open_space)


def _system(made: Workshop, config: PipelineConfig) -> System:
    from hydrant.errors import ConfigurationError

    try:
        (system,) = pipelines.systems(made, [config])
    except ConfigurationError as error:
        # Options that are good one by one may not go together.
        msg = f"{error} (with {config.name})"
        raise ConfigurationError(msg) from error
    return system


def _tasks(
    ctx: typer.Context, task: Path, dev: str | None, test: str | None, dev_share: float
) -> tuple[Task, Task]:
    from hydrant.evaluate.tasks import Task
    from hydrant.evaluate.tune import check_apart, split

    if (dev is None) != (test is None):
        msg = "give --dev and --test together, or neither to have the questions of one split divided"
        raise typer.BadParameter(msg, ctx=ctx)
    if dev is None:
        return split(Task.load(task), dev_share)
    if dev == test:
        msg = (
            f"--dev and --test are both {dev!r}: what is chosen on questions looks good on the same questions"
        )
        raise typer.BadParameter(msg, ctx=ctx)
    to_choose, to_report = Task.load(task, split=dev), Task.load(task, split=test)
    check_apart(to_choose, to_report)
    return to_choose, to_report


def _save(file: Path, winner: Variant, space: Space) -> None:
    from hydrant.errors import StorageError

    if file.parent.resolve() != space.folder.resolve():
        note(f"paths in {file} are relative to it: check 'path' of its collection, it was {space.folder}'s")
    config = winner.config
    text = type(config)(file.stem, config.content, config.folder).to_yaml()
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror}"
        raise StorageError(msg) from error
    note(f"best pipeline in {file}")


def _answer(tuning: Tuning, report: Report, variants: dict[str, Variant]) -> dict[str, Any]:
    return {
        "metric": tuning.metric,
        "chosen_on": tuning.task,
        "asked": tuning.asked,
        "possible": tuning.possible,
        "trials": [
            {
                "settings": variants[trial.name].settings,
                "value": trial.value,
                "questions": trial.questions,
            }
            for trial in tuning.trials
        ],
        "best": variants[tuning.best.name].settings,
        "report": report.json(),
    }


def _show(tuning: Tuning, report: Report, first: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = stdout()
    console.print(
        f"Tried on {tuning.task}: {tuning.asked:,} of the {tuning.possible:,} searches that a grid takes"
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("settings", overflow="fold")
    table.add_column(tuning.metric, justify="right", no_wrap=True)
    table.add_column("questions", justify="right", no_wrap=True)
    for trial in tuning.trials[:_MOST_SHOWN]:
        table.add_row(Text(trial.name), f"{trial.value:.4f}", f"{trial.questions:,}")
    console.print(table)
    if len(tuning.trials) > _MOST_SHOWN:
        note(f"… and {len(tuning.trials) - _MOST_SHOWN:,} more that were worse or given up")
    if tuning.best.questions < _FEW:
        note(f"{tuning.best.questions} questions are few to choose by; the best may be so by luck")
    console.print(Text(f"best: {tuning.best.name}"))
    console.print(Text(f"first options: {first}"))
    console.print(
        Text(f"The best was chosen for its {tuning.metric} above; what it is worth is below.", style="dim")
    )
    report.show(console)
