"""Pairs of documents, of which one is to come first, from a file of JSON lines.

{"query-id": "q1", "preferred": "d1", "other": "d2", "pair": "p1"}
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from hydrant.errors import TaskError
from hydrant.evaluate.lines import records
from hydrant.evaluate.tasks import Preference


def read_preferences(
    file: Path, queries: Container[str], corpus: set[str] | None
) -> tuple[tuple[Preference, ...], list[str]]:
    """The preferences of a file, and what is to be said of those that are left out.

    Args:
        file: The file.
        queries: The ids of the questions there are.
        corpus: The ids of the documents there are; None where nobody knows.

    Raises:
        TaskError: A line is something else, a question is there twice, or nothing is left; with file and line.
    """
    found = []
    lines: dict[str, int] = {}
    for record in records(file):
        query = record.text("query-id", "query_id")
        if query not in queries:
            msg = f"names the question {query!r}, which queries.jsonl does not have"
            raise record.error(msg)
        if query in lines:
            msg = f"has the question {query!r} twice, first on line {lines[query]}; give each preference a question of its own"
            raise record.error(msg)
        lines[query] = record.line.number
        preferred, other = record.text("preferred"), record.text("other")
        if preferred == other:
            msg = f"prefers the document {preferred!r} to itself"
            raise record.error(msg)
        pair = record.optional("pair")
        found.append(Preference(query, preferred, other, query if pair is None else str(pair)))
    kept, remarks = (found, []) if corpus is None else _of_the_corpus(found, corpus)
    if not kept:
        msg = f"{file} holds no pairs of documents" + (" that corpus.jsonl has" if found else "")
        raise TaskError(msg)
    return tuple(kept), remarks


def _of_the_corpus(found: Sequence[Preference], corpus: set[str]) -> tuple[list[Preference], list[str]]:
    """The pairs whose documents exist: whoever finds one of two would win where the other cannot be found."""
    lost = {each.pair for each in found if not {each.preferred, each.other} <= corpus}
    if not lost:
        return list(found), []
    names = sorted({name for each in found for name in (each.preferred, each.other)} - corpus)
    remark = f"{len(lost):,} pairs name documents that corpus.jsonl does not have, such as {names[0]!r}; they are left out"
    return [each for each in found if each.pair not in lost], [remark]
