"""`hydrant info`: what an index holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hydrant.cli.console import note, print_json, printable, stdout
from hydrant.cli.guard import guarded
from hydrant.cli.place import PathOption, Place, UrlOption, place_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from rich.text import Text

OURS = "hydrant"
# As `hydrant.collection.payload` names it; importing that takes longer than the help may.
BOOKKEEPING = "_hydrant"
_HELP = """Show the collections of an index: passages, vectors, encoders, payload indexes, tenants.

Collections that LangChain, LlamaIndex or others made are shown too.
"""
_EPILOG = """[bold]Example[/]: hydrant info --url http://localhost:6333

[bold]Exit codes[/]: 0 shown; 1 an error, such as no index there; 2 wrong usage.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("info", help=_HELP, epilog=_EPILOG)(info)


@guarded()
def info(
    ctx: typer.Context,
    *,
    path: PathOption = None,
    url: UrlOption = None,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="NAME",
            help="Only this one.",
            show_default="all",
            rich_help_panel="Where",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at the collections, and show them."""
    place = place_of(ctx, path, url)
    with place.client() as client:
        names = [collection] if collection is not None else _names(client)
        found = [_described(client, name) for name in names]
    if as_json:
        print_json({"place": str(place), "collections": found})
        return
    _show(place, found)


def _names(client: QdrantClient) -> list[str]:
    return sorted(each.name for each in client.get_collections().collections)


def _described(client: QdrantClient, name: str) -> dict[str, Any]:
    from hydrant.collection.calls import Clients
    from hydrant.collection.opening import read_profile
    from hydrant.collection.sources import Record
    from hydrant.flow import run

    profile = run(read_profile(Clients.of(client), name))
    record = Record.read(profile)
    encoders = {} if record is None else {each["vector"]: each["encoder"] for each in record.sources.values()}
    return {
        "name": name,
        "made_by": OURS if record is not None else "other",
        "points": client.count(name, exact=True).count,
        "dense": [
            {
                "name": vector,
                "size": dense.size,
                "distance": dense.distance.value,
                "multivector": dense.multi,
                "encoder": encoders.get(vector),
            }
            for vector, dense in profile.dense.items()
        ],
        "sparse": [
            {"name": vector, "idf": sparse.idf, "encoder": encoders.get(vector)}
            for vector, sparse in profile.sparse.items()
        ],
        "indexes": dict(profile.indexes),
        "tenant_field": None if record is None else record.tenant,
    }


def _show(place: Place, collections: list[dict[str, Any]]) -> None:
    if not collections:
        note(f"{place} has no collection; make one with 'hydrant index FOLDER'")
        return
    from rich import box
    from rich.table import Table

    console = stdout()
    for each in collections:
        table = Table(
            title=printable(f"{each['name']} in {place}"),
            title_justify="left",
            box=box.SIMPLE,
            show_header=False,
        )
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for row in _rows(each):
            table.add_row(*row)
        console.print(table)


def _rows(collection: Mapping[str, Any]) -> list[tuple[str, str | Text]]:
    rows: list[tuple[str, str | Text]] = [("passages", f"{collection['points']:,}")]
    rows.extend((_label("dense", each["name"]), _dense(each)) for each in collection["dense"])
    rows.extend((_label("sparse", each["name"]), _sparse(each)) for each in collection["sparse"])
    rows.append(("filterable", _filterable(collection)))
    if collection["tenant_field"] is not None:
        rows.append(("tenants", f"kept apart by {collection['tenant_field']}"))
    if collection["made_by"] != OURS:
        rows.append(("made by", "another program; searching it needs the model: --dense MODEL"))
    return rows


def _label(kind: str, name: str) -> str:
    return kind if name in {kind, ""} else printable(f"{kind} {name}")


def _filterable(collection: Mapping[str, Any]) -> str:
    """The indexed fields as a filter names them, without what is kept for the indexer alone."""
    nested = "metadata." if collection["made_by"] == OURS else ""
    fields = {
        key.removeprefix(nested): kind
        for key, kind in collection["indexes"].items()
        if not key.startswith(f"{BOOKKEEPING}.")
    }
    return printable(", ".join(f"{key} ({kind})" for key, kind in sorted(fields.items()))) or "nothing"


def _dense(vector: Mapping[str, Any]) -> str:
    many = ", many a passage" if vector["multivector"] else ""
    encoder = vector["encoder"] or {}
    by = f", by {encoder.get('model', encoder.get('encoder'))}" if encoder else ""
    return printable(f"{vector['size']} dimensions, {vector['distance']}{many}{by}")


def _sparse(vector: Mapping[str, Any]) -> str:
    encoder = vector["encoder"] or {}
    if not encoder:
        return "weighted by IDF" if vector["idf"] else "not weighted by IDF"
    length = encoder.get("average_length")
    learned = "not learned yet" if length is None else f"{length:.1f} tokens"
    return printable(f"{encoder.get('encoder')}, {encoder.get('language')}, average length {learned}")
