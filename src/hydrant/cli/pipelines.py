"""Pipelines from files, on the command line: their clients explain what goes wrong as those of every other command."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hydrant.cli.place import DEFAULT_PATH, Place, place_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from hydrant.config.pipelines import PipelineConfig, Workshop
    from hydrant.config.places import Site
    from hydrant.evaluate.experiment import System
    from hydrant.evaluate.tasks import Task

AtOnceOption = Annotated[
    int,
    typer.Option(
        "--at-once", min=1, max=1024, metavar="N", help="How many questions are under way at a time."
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="NAME", show_default="test", help="Which judgments of a folder: qrels/NAME.tsv."
    ),
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        "-m",
        metavar="NAME",
        help="nDCG@10, MAP, MRR@10, recall@100, P@5, Success@1, Judged@10 … The first one ranks. Repeatable.",
    ),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="FOLDER",
        help="Keep what was found there, so that an interrupted run goes on, and another metric costs nothing.",
    ),
]


def workshop(ctx: typer.Context, path: Path | None, url: str | None) -> Workshop:
    """What makes pipelines of descriptions; files that name no place mean `--path` or `--url`."""
    from hydrant.config.pipelines import Workshop
    from hydrant.config.places import Site

    place = place_of(ctx, path, url)
    default = Site(url=place.url) if place.url is not None else Site(place.folder.absolute())
    return Workshop(default, _connect)


def read(files: Sequence[Path]) -> list[PipelineConfig]:
    """The descriptions of files, each with a name of its own."""
    from hydrant.config.pipelines import PipelineConfig, check_names

    configs = [PipelineConfig.read(file) for file in files]
    check_names([config.name for config in configs])
    return configs


def systems(made: Workshop, configs: Sequence[PipelineConfig]) -> list[System]:
    """The pipelines, which a resumed experiment recognises by what their files say."""
    from hydrant.evaluate.experiment import System

    return [System(config.name, made.pipeline(config), config.fingerprint) for config in configs]


def loaded(tasks: Sequence[Path], split: str | None) -> list[Task]:
    """Tasks from disk."""
    from hydrant.evaluate.tasks import Task

    return [Task.load(task, split=split) for task in tasks]


def _connect(site: Site) -> AbstractContextManager[QdrantClient]:
    return Place(DEFAULT_PATH if site.path is None else site.path, site.url).client()
