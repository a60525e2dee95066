"""`hydrant search`: a question to a collection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hydrant.cli.console import busy, note, print_json
from hydrant.cli.guard import guarded
from hydrant.cli.place import CollectionOption, PathOption, TenantOption, UrlOption, place_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from hydrant import Collection, Retriever, SearchResult

_HELP = """Search a collection by every source it has, dense vectors and BM25 fused into one ranking.

Prints a table; --json prints one object with everything there is to know: query, hits (id, score, stages, source, title, text, metadata), degraded, trace.
"""
_EPILOG = """[bold]Example[/]: hydrant search "how do I rotate the keys?" --limit 3 --explain

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
    path: PathOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "docs",
    tenant: TenantOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="How many hits.")] = 5,
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
        bool, typer.Option("--explain", help="Show each source's own rank and score.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search, and show what was found."""
    asked = " ".join(question).strip()
    if not asked:
        msg = "the question is blank; say what to look for"
        raise typer.BadParameter(msg, ctx=ctx)
    wanted = None if condition is None else _filter(ctx, condition)
    place = place_of(ctx, path, url)
    with place.client() as client:
        docs = _opened(client, collection, dense)
        # Checked before the model is loaded, which takes longer.
        docs.condition(wanted, tenant)
        retriever = docs.retriever(limit=limit, sources=tuple(source or ()), explain=explain)
        with busy("loading the model"):
            retriever.warm_up()
        result = retriever.run(asked, filter=wanted, tenant=tenant, offset=offset, deadline=deadline)
    _show(retriever, result, as_json=as_json)


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


def _show(retriever: Retriever, result: SearchResult, *, as_json: bool) -> None:
    if as_json:
        print_json(_answer(result))
        return
    from hydrant.cli.hits import show_hits

    for degradation in result.degraded:
        note(f"without {degradation}")
    if result.hits:
        show_hits(result, retriever)
    elif result.query.offset:
        note(f"nothing found from hit {result.query.offset + 1} on")
    else:
        note("nothing found")


def _answer(result: SearchResult) -> dict[str, Any]:
    hits = [
        {
            "id": hit.id,
            "point_id": hit.point_id,
            "score": hit.score,
            "stages": {
                name: {"score": stage.score, "rank": stage.rank} for name, stage in hit.stages.items()
            },
            "source": hit.source,
            "title": hit.title,
            "text": hit.text,
            "metadata": dict(hit.metadata),
        }
        for hit in result.hits
    ]
    return {
        "query": result.query.text,
        "hits": hits,
        "degraded": [{"stage": each.stage, "reason": each.reason} for each in result.degraded],
        "trace": [
            {"name": span.name, "depth": span.depth, "start": span.start, "seconds": span.seconds}
            for span in result.trace
        ],
    }
