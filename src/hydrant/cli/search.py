"""`hydrant search`: a question to a collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hydrant.cli import pipelines
from hydrant.cli.answers import answer, whole_answer
from hydrant.cli.console import busy, note, print_json
from hydrant.cli.guard import guarded
from hydrant.cli.place import CollectionOption, PathOption, TenantOption, UrlOption, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qdrant_client import QdrantClient

    from hydrant import Collection, Pipeline, Query, Retriever, SearchResult, Stage

_HELP = """Search a collection by every source it has, dense vectors and BM25 fused into one ranking.

Prints a table; --json prints one object with everything there is to know: query, hits (id, score, stages, source, title, text, metadata), degraded, trace.

With --config the pipeline of a YAML file searches instead, as it does in a program: with expansion, reranking and packing. Then the packed context is shown too, and --json has expansions, usage and context.
"""
_LIMIT = 5
_EPILOG = """[bold]Example[/]: hydrant search "how do I rotate the keys?" --limit 3 --explain

[bold]A pipeline[/]: hydrant search --config pipeline.yaml "how do I rotate the keys?"; docs/evaluate.md shows what such a file says.

[bold]Filters[/]: --filter '{"lang": "en", "year": {"gte": 2020}, "tags": \\["red", "blue"]}', on fields that were indexed with --field.

[bold]Exit codes[/]: 0 searched, also where nothing was found; 1 an error; 2 wrong usage.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("search", help=_HELP, epilog=_EPILOG)(search)


@guarded()
def search(
    ctx: typer.Context,
    question: Annotated[
        list[str], typer.Argument(metavar="QUESTION", help="What to look for.", show_default=False)
    ],
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Search with the pipeline of this YAML file."),
    ] = None,
    path: PathOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "docs",
    tenant: TenantOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=1, metavar="N", help="How many hits.", show_default="5, or the pipeline's"
        ),
    ] = None,
    offset: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many hits to skip, for the next page.")
    ] = 0,
    condition: Annotated[
        str | None,
        typer.Option("--filter", metavar="JSON", help="Only passages whose fields match; see below."),
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this source: dense or sparse. Repeatable.")
    ] = None,
    dense: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The dense model, for a collection that Hydrant did not make."),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            min=0.001, metavar="SECONDS", help="Answer within this time; loading the model not counted."
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show each source's own rank and score; of a pipeline, each stage's."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search, and show what was found."""
    asked = " ".join(question).strip()
    if not asked:
        msg = "the question is blank; say what to look for"
        raise typer.BadParameter(msg, ctx=ctx)
    wanted = None if condition is None else _filter(ctx, condition)
    from hydrant.types import Query

    query = Query(asked, wanted, tenant, limit, offset)
    if config is not None:
        _refuse_beside_config(ctx)
        (said,) = pipelines.read([config])
        with pipelines.workshop(ctx, path, url) as made:
            pipeline = made.pipeline(said)
            retriever = _retriever_of(config, pipeline)
            result = _found(pipeline, retriever, query, deadline)
        columns = _stages_of(result) if explain else []
    else:
        with place_of(ctx, path, url).client() as client:
            docs = _opened(client, collection, dense)
            wanted_hits = _LIMIT if limit is None else limit
            retriever = docs.retriever(limit=wanted_hits, sources=tuple(source or ()), explain=explain)
            result = _found(retriever, retriever, query, deadline)
        columns = list(retriever.sources) if explain else []
    if as_json:
        print_json(answer(result) if config is None else whole_answer(result))
    else:
        _show(result, retriever, columns)


def _found(stage: Stage, retriever: Retriever, query: Query, deadline: float | None) -> SearchResult:
    # Checked before the models are loaded, which takes longer.
    retriever.collection.condition(query.filter, query.tenant)
    with busy("loading the models"):
        stage.warm_up()
    return stage.run(query, deadline=deadline)


def _stages_of(result: SearchResult) -> list[str]:
    """The names of the stages that ranked the hits, in the order they did."""
    return list(dict.fromkeys(name for hit in result.hits for name in hit.stages))


def _opened(client: QdrantClient, name: str, model: str | None) -> Collection:
    from hydrant import Collection, DenseEncoder
    from hydrant.collection.calls import Clients
    from hydrant.collection.opening import read_profile
    from hydrant.errors import ConfigurationError
    from hydrant.flow import run

    try:
        return Collection.open(client, name, dense=None if model is None else DenseEncoder(model))
    except ConfigurationError as error:
        if model is not None or run(read_profile(Clients.of(client), name)).record:
            raise
        msg = f"{error} (on the command line: --dense MODEL)"
        raise ConfigurationError(msg) from error


def _filter(ctx: typer.Context, text: str) -> dict[str, Any]:
    try:
        wanted = json.loads(text)
    except ValueError as error:
        msg = f'--filter takes JSON such as \'{{"lang": "en"}}\'; got {text!r}: {error}'
        raise typer.BadParameter(msg, ctx=ctx) from error
    if not isinstance(wanted, dict):
        msg = f'--filter takes a JSON object such as \'{{"lang": "en"}}\'; got {text!r}'
        raise typer.BadParameter(msg, ctx=ctx)
    return wanted


def _retriever_of(config: Path, pipeline: Pipeline) -> Retriever:
    """The last stage of a pipeline that searches."""
    from hydrant import Retriever
    from hydrant.errors import ConfigurationError

    found = [stage for stage in pipeline.stages if isinstance(stage, Retriever)]
    if not found:
        msg = f"the pipeline of {config} searches nothing; it needs a stage '- Retriever: {{}}'"
        raise ConfigurationError(msg)
    return found[-1]


def _refuse_beside_config(ctx: typer.Context) -> None:
    given = [
        f"--{name}"
        for name in ("collection", "source", "dense")
        if (came := ctx.get_parameter_source(name)) is not None and came.name == "COMMANDLINE"
    ]
    if given:
        msg = f"--config says what is searched and how; leave {' and '.join(given)} away, or change the file"
        raise typer.BadParameter(msg, ctx=ctx)


def _show(result: SearchResult, retriever: Retriever, columns: Sequence[str]) -> None:
    from hydrant.cli.hits import show_context, show_hits

    for degradation in result.degraded:
        note(f"without {degradation}")
    if result.hits:
        show_hits(result, retriever, columns)
    elif result.query.offset:
        note(f"nothing found from hit {result.query.offset + 1} on")
    else:
        note("nothing found")
    if result.context is not None:
        show_context(result.context)
