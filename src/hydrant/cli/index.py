"""`hydrant index`: files, folders and records into a collection."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from hydrant.cli.console import busy, note, print_json
from hydrant.cli.guard import FAILED, guarded
from hydrant.cli.place import CollectionOption, PathOption, Place, TenantOption, UrlOption, place_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from hydrant import Chunker, Collection, IndexReport
    from hydrant.cli.records import Records
    from hydrant.encode.base import Encoder

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
TENANT_FIELD = "tenant"
_RESUME = (
    "interrupted; what was indexed so far is kept, and running the same command again goes on from there"
)
_HELP = f"""Index files, folders or records, and make the collection where it is missing.

Text, Markdown, HTML, reStructuredText, notebooks and source code are read as they are; PDF, Office and EPUB with pip install "hydrant-rag\\[files]".
A new collection gets dense vectors ({DEFAULT_MODEL}) and BM25; an existing one remembers how it was made. Running it again costs next to nothing: unchanged files are skipped, changed ones replaced, and an interrupted run goes on where it stopped.
"""
_EPILOG = """[bold]Example[/]: hydrant index ./manual README.md --prune

[bold]Records[/]: hydrant index --jsonl corpus.jsonl --field lang=keyword, with lines such as {"id": "7", "title": "Keys", "text": "...", "lang": "en"}

[bold]Exit codes[/]: 0 everything is indexed; 1 some documents failed (the others are indexed) or nothing could be done; 2 wrong usage; 130 interrupted.
"""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the command line says about the collection; None leaves it to the collection."""

    name: str
    tenant: str | None
    model: str | None
    dense: bool
    sparse: bool | None
    language: str | None
    fields: dict[str, str]


class _Encoders(TypedDict):
    """The encoders that `Collection.create` and `Collection.open` take by name."""

    dense: Encoder | None
    sparse: Encoder | None


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("index", help=_HELP, epilog=_EPILOG)(index)


@guarded(interrupted=_RESUME)
def index(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Files and folders.", show_default=False, exists=True),
    ] = None,
    *,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of files: records, one JSON object a line; '-' reads standard input.",
        ),
    ] = None,
    path: PathOption = None,
    url: UrlOption = None,
    collection: CollectionOption = "docs",
    tenant: TenantOption = None,
    dense: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model for dense vectors: a name on the hub or a folder.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    no_dense: Annotated[
        bool, typer.Option("--no-dense", help="No dense vectors: BM25 only, no model.")
    ] = False,
    sparse: Annotated[
        bool | None, typer.Option("--sparse/--no-sparse", help="BM25 vectors.", show_default="sparse")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The language of BM25's stemmer; 'none' for mixed texts.",
            show_default="english",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=16,
            metavar="N",
            help="The most tokens of a passage. Another value cuts all files again.",
            show_default="180",
        ),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Tokens a passage repeats of the one before.", show_default="24"
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TYPE", help="Make a metadata field filterable, such as lang=keyword. Repeatable."
        ),
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the passages of files below the folders that are gone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Index, and say what was done."""
    if bool(paths) == (jsonl is not None):
        msg = "give files and folders, or --jsonl FILE"
        raise typer.BadParameter(msg, ctx=ctx)
    if dense is not None and no_dense:
        msg = "give either --dense MODEL or --no-dense"
        raise typer.BadParameter(msg, ctx=ctx)
    wish = _Wish(collection, tenant, dense, not no_dense, sparse, language, _fields(ctx, field or []))
    place = place_of(ctx, path, url)
    chunker = _chunker(max_tokens, overlap)
    with _reading(jsonl) as records, place.client(make=True) as client:
        docs = _collection(client, wish)
        indexer = docs.indexer(chunker=chunker)
        if records is None:
            report = indexer.add_paths(paths or [], tenant=tenant, prune=prune)
        else:
            report = records.with_failures(indexer.add(records, tenant=tenant))
        finish(client, docs)
        _show(docs, place, report, tenant, as_json=as_json)
    if report.failures:
        raise typer.Exit(FAILED)


def finish(client: QdrantClient, docs: Collection) -> None:
    """Build the embedded engine's indexes now: a build in the background would end with this program."""
    from hydrant import EdgeClient

    if isinstance(client, EdgeClient):
        with busy("building the search index"):
            client.optimize(docs.name)


def _reading(jsonl: Path | None) -> AbstractContextManager[Records | None]:
    from hydrant.cli.records import Records

    return nullcontext(None) if jsonl is None else Records.opened(jsonl)


def _fields(ctx: typer.Context, given: list[str]) -> dict[str, str]:
    kinds = ("keyword", "integer", "float", "bool", "datetime", "text", "uuid", "geo")
    fields = {}
    for each in given:
        name, _, kind = each.partition("=")
        if not name or kind not in kinds:
            msg = f"--field takes NAME=TYPE with a type out of {', '.join(kinds)}; got {each!r}"
            raise typer.BadParameter(msg, ctx=ctx)
        fields[name] = kind
    return fields


def _chunker(max_tokens: int | None, overlap: int | None) -> Chunker:
    from hydrant import Chunker

    usual = Chunker()
    size = usual.max_tokens if max_tokens is None else max_tokens
    repeated = min(usual.overlap, size // 2) if overlap is None else overlap
    return Chunker(max_tokens=size, overlap=repeated)


def _collection(client: QdrantClient, wish: _Wish) -> Collection:
    """The collection, made where it is missing."""
    from hydrant import Collection

    if not client.collection_exists(wish.name):
        tenant = None if wish.tenant is None else TENANT_FIELD
        encoders = _new_encoders(wish)
        with busy("loading the model" if wish.dense else "making the collection"):
            return Collection.create(client, wish.name, **encoders, fields=wish.fields, tenant=tenant)
    docs = Collection.open(client, wish.name, **_given_encoders(wish))
    _refuse_without(docs, wish)
    for name, kind in wish.fields.items():
        if docs.payload.key(name) not in docs.profile.indexes:
            docs.index_field(name, kind)
    return docs


def _new_encoders(wish: _Wish) -> _Encoders:
    model = DEFAULT_MODEL if wish.model is None else wish.model
    return _encoders(model if wish.dense else None, wish.language, sparse=wish.sparse is not False)


def _given_encoders(wish: _Wish) -> _Encoders:
    """The encoders that were asked for by name; opening checks them against the collection's own."""
    return _encoders(wish.model, wish.language, sparse=bool(wish.sparse) or wish.language is not None)


def _encoders(model: str | None, language: str | None, *, sparse: bool) -> _Encoders:
    from hydrant import Bm25Encoder, DenseEncoder

    return _Encoders(
        dense=None if model is None else DenseEncoder(model),
        sparse=Bm25Encoder("english" if language is None else language) if sparse else None,
    )


def _refuse_without(docs: Collection, wish: _Wish) -> None:
    """An existing collection cannot do without a source that it has."""
    from hydrant.errors import EncoderMismatch

    unwanted = {"dense": not wish.dense, "sparse": wish.sparse is False}
    clash = [f"--no-{name}" for name, no in unwanted.items() if no and name in docs.sources]
    if clash:
        msg = (
            f"collection {docs.name!r} has the sources {sorted(docs.sources)}; leave {' and '.join(clash)} out, or "
            "choose another --collection"
        )
        raise EncoderMismatch(msg)


def _show(docs: Collection, place: Place, report: IndexReport, tenant: str | None, *, as_json: bool) -> None:
    from hydrant.cli.summary import show_report

    total = docs.count(tenant=tenant)
    if as_json:
        print_json({"collection": docs.name, "place": str(place), "passages": total, **asdict(report)})
    else:
        show_report(report, f"{docs.name} in {place}", total)
    if not (report.files or total or report.failures):
        note(
            "nothing was found that could be indexed; hydrant index --help says which kinds of file are read"
        )
