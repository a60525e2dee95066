"""Judged questions in one file: what is asked, and which documents answer it.

{"text": "how do I rotate the keys?", "relevant": ["manual/keys.md"]}
{"text": "when do certificates expire", "relevant": {"tls.md": 2, "faq.md": 1}, "filter": {"lang": "en"}, "tenant": "acme"}
"""

from __future__ import annotations

from pathlib import Path

from hydrant.errors import TaskError
from hydrant.evaluate.judgments import HIGHEST, Qrels, is_grade
from hydrant.evaluate.lines import Record, records
from hydrant.evaluate.tasks import Task
from hydrant.types import Query


def read_questions(path: Path) -> Task:
    """A task from a file of judged questions.

    Raises:
        TaskError: A line is something else, or nothing is judged; with file and line.
    """
    queries: dict[str, Query] = {}
    qrels: Qrels = {}
    unjudged = []
    lines: dict[str, int] = {}
    for record in records(path):
        given = record.optional("_id", "id")
        query = str(record.line.number) if given is None else record.id
        if query in lines:
            msg = f"question {query!r} is there already, on line {lines[query]}"
            raise record.error(msg)
        lines[query] = record.line.number
        judged = _relevant(record)
        if not judged:
            unjudged.append(query)
            continue
        queries[query] = Query(
            record.text("text", "question", "query"),
            filter=record.mapping("filter") or None,
            tenant=record.tenant(),
        )
        qrels[query] = judged
    if not queries:
        msg = f'{path} holds no judged questions; a line is {{"text": "...", "relevant": ["file.md"]}}'
        raise TaskError(msg)
    return Task(path.stem, queries, qrels, match="document", unjudged=tuple(unjudged))


def _relevant(record: Record) -> dict[str, int]:
    given = record.optional("relevant", "answers", "positives")
    if given is None:
        return {}
    listed = [given] if isinstance(given, str | int) else given
    if isinstance(listed, list) and all(map(_is_name, listed)):
        return dict.fromkeys(map(str, listed), 1)
    if isinstance(listed, dict) and all(_is_name(name) and is_grade(grade) for name, grade in listed.items()):
        return dict(listed)
    msg = (
        "'relevant' must be a list of documents, or an object of documents and whole grades such as {\"keys.md\": 2}, "
        f"at most {HIGHEST:,}; got {given!r}"
    )
    raise record.error(msg)


def _is_name(document: object) -> bool:
    return isinstance(document, str | int) and not isinstance(document, bool) and bool(str(document).strip())
