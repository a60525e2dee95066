"""Hits as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydrant.cli.console import printable, stdout
from hydrant.cli.snippet import matcher, snippet
from hydrant.cli.summary import shown_path

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from hydrant import Hit, Retriever, SearchResult
    from hydrant.encode.bm25 import Bm25Encoder
    from hydrant.types_context import Context

_LINES = 3
_NARROWEST = 30
_NUMBERS = 20


def show_hits(
    result: SearchResult, retriever: Retriever, stages: Sequence[str] = (), *, lines: int = _LINES
) -> None:
    """Print the hits of a search.

    Args:
        result: The search's result.
        retriever: What found them.
        stages: The sources, or stages, that get a column with their own rank and score, where there are several.
        lines: About how many lines of each passage.
    """
    from rich import box
    from rich.table import Table

    console = stdout()
    columns = tuple(stages) if len(stages) > 1 else ()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, leading=1)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True, style="cyan")
    for name in columns:
        table.add_column(printable(name), justify="right", no_wrap=True, style="dim")
    table.add_column("passage", overflow="fold")
    terms = matcher(result.query.text, _encoder(retriever))
    length = lines * _width(console, len(columns))
    for rank, hit in enumerate(result.hits, result.query.offset + 1):
        own = [_standing(hit, name) for name in columns]
        table.add_row(str(rank), number(hit.score), *own, _passage(hit, terms, length))
    console.print(table)


def show_context(context: Context) -> None:
    """Print what was packed for a language model, as it stands there.

    Args:
        context: What the packer made.
    """
    from rich.text import Text

    console = stdout()
    missing = len(context.left_out)
    left_out = f", {missing:,} hit{'s' * (missing != 1)} left out" if missing else ""
    cited = f"{len(context.citations):,} part{'s' * (len(context.citations) != 1)} cited"
    console.print(Text(f"context: {context.tokens:,} tokens, {cited}{left_out}", style="bold"))
    if context.text:
        console.print(Text(printable(context.text)), soft_wrap=True)


def number(score: float) -> str:
    """A score with as many digits as tell scores apart."""
    return f"{score:.4f}" if abs(score) < 1 else f"{score:.2f}"


def _encoder(retriever: Retriever) -> Bm25Encoder:
    """The collection's own idea of what the same word is, or the usual one."""
    from hydrant import Bm25Encoder

    own = (source.encoder for source in retriever.collection.sources.values())
    return next((encoder for encoder in own if isinstance(encoder, Bm25Encoder)), None) or Bm25Encoder()


def _width(console: Console, sources: int) -> int:
    return max(_NARROWEST, console.width - _NUMBERS - 16 * sources)


def _standing(hit: Hit, name: str) -> str:
    stage = hit.stages.get(name)
    return "–" if stage is None else f"#{stage.rank} {number(stage.score)}"


def _passage(hit: Hit, terms: Callable[[str], Mapping[str, int]], length: int) -> Text:
    from rich.text import Text

    parts = [] if not hit.title else [Text(printable(hit.title), style="bold")]
    parts.append(snippet(hit.text, terms, length))
    parts.append(_source(hit))
    return Text("\n").join(parts)


def _source(hit: Hit) -> Text:
    """Where it is from, to click on where the terminal can."""
    from rich.style import Style
    from rich.text import Text

    if not hit.source:
        return Text(f"id {printable(str(hit.id))}", style="dim")
    path = Path(hit.source)
    link = hit.source if hit.source.startswith(("http://", "https://")) else None
    if path.is_absolute():
        link = path.as_uri()
    return Text(printable(shown_path(hit.source)), style=Style(dim=True, link=link))
