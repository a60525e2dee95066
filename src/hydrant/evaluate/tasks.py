"""What is measured: questions, and what is right for each of them.

The kinds of task differ in what a question is searched in, and in what is right:

    retrieval        the whole collection, or the part of it that a question's own filter leaves: its source, a pool of
                     languages, a tenant
    rerank           a list of candidates that is given with the question
    pairs            two documents, of which one fits and the other does not, such as a statement and its negation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hydrant.errors import TaskError
from hydrant.evaluate.judgments import HIGHEST, Qrels, is_grade
from hydrant.evaluate.lines import records, unique
from hydrant.types import Passage, PassageId, Query

Kind = Literal["retrieval", "rerank", "pairs"]
Match = Literal["id", "document"]


@dataclass(frozen=True, slots=True)
class Preference:
    """One question of a pair task: it has two documents, and one of them is to come first.

    Attributes:
        query: The question's id.
        preferred: The document that is to come first.
        other: The one that is not.
        pair: What it belongs to: a pair is right when all of its questions are. Twins such as a question and its negation
            share one.
    """

    query: str
    preferred: str
    other: str
    pair: str


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """The passages of a `corpus.jsonl`, read anew each time they are asked for."""

    file: Path

    def __iter__(self) -> Iterator[Passage]:
        for record in unique(records(self.file), "document"):
            title = record.fields.get("title")
            if not isinstance(title, str | None):
                msg = f"'title' must be a text, got {title!r}"
                raise record.error(msg)
            source = record.fields.get("source")
            yield Passage(
                record.text("text", blank=True),
                id=record.id,
                title=title or None,
                source=None if source is None else str(source),
                metadata=record.mapping("metadata"),
            )


@dataclass(frozen=True, slots=True)
class Task:
    """Judged questions.

    Attributes:
        name: What it is called in reports.
        queries: The judged questions by id, each with the filter and tenant it is searched with.
        qrels: The grade of each judged document, by question; a document that is not named is not relevant.
        kind: See the module.
        corpus: The passages, where they are at hand; a rerank task reads its candidates from them, and a pair task its
            documents.
        candidates: For a rerank task, the documents of each question in the order they are given.
        preferences: For a pair task, what is to come first.
        pools: The fields that a question's documents must have, by question. They are its filter too.
        groups: What the questions are told apart by in a report, such as their language.
        match: How a hit becomes a judged document: by its "id"; or as a "document", by its id or the end of the path it
            comes from, where the chunks of one file count once, as the best of them.
        relevant_from: The grade from which a document is relevant for metrics that know only relevant and not.
        unjudged: Questions that were left out because nothing is judged for them.
        remarks: What was counted while reading, for the report.
    """

    name: str
    queries: Mapping[str, Query]
    qrels: Qrels
    kind: Kind = "retrieval"
    corpus: Iterable[Passage] = ()
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preferences: tuple[Preference, ...] = ()
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    match: Match = "id"
    relevant_from: int = 1
    unjudged: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in ("retrieval", "rerank", "pairs"):
            msg = f"kind of a task must be 'retrieval', 'rerank' or 'pairs', got {self.kind!r}"
            raise TaskError(msg)
        if self.match not in ("id", "document"):
            msg = f"match of a task must be 'id' or 'document', got {self.match!r}"
            raise TaskError(msg)
        if (
            isinstance(self.relevant_from, bool)
            or not isinstance(self.relevant_from, int)
            or self.relevant_from < 1
        ):
            msg = f"relevant_from of a task must be a whole number of at least 1, got {self.relevant_from!r}"
            raise TaskError(msg)
        wrong = [grade for judged in self.qrels.values() for grade in judged.values() if not is_grade(grade)]
        if wrong:
            msg = f"a grade of task {self.name!r} must be a whole number from -{HIGHEST:,} to {HIGHEST:,}, got {wrong[0]!r}"
            raise TaskError(msg)
        if not self.queries:
            msg = f"task {self.name!r} has no judged questions"
            raise TaskError(msg)
        missing = sorted(set(self.queries) - self._right())
        if missing:
            msg = f"task {self.name!r}: nothing is judged for {_some(missing)}; leave such questions out"
            raise TaskError(msg)
        if self.kind == "rerank" and set(self.queries) - set(self.candidates):
            missing = sorted(set(self.queries) - set(self.candidates))
            msg = f"task {self.name!r} is a rerank task without candidates for {_some(missing)}"
            raise TaskError(msg)

    @classmethod
    def load(cls, path: str | Path, *, split: str | None = None) -> Task:
        """A task from disk.

        Args:
            path: A folder in BEIR layout (`corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv`, and `task.yaml` for what is not
                usual); one file of judgments in such a folder; or a JSONL file of judged questions, each line
                `{"text": "how do I rotate the keys?", "relevant": ["manual/keys.md"]}`.
            split: Which judgments of a folder: "test" where nothing is said.

        Raises:
            TaskError: Something is missing, malformed or contradictory; with file and line.
        """
        from hydrant.evaluate.folders import load

        return load(Path(path), split)

    @property
    def graded(self) -> bool:
        """Whether documents are relevant in more than one degree."""
        return len({grade for judged in self.qrels.values() for grade in judged.values() if grade > 0}) > 1

    def passages(self, ids: Iterable[str]) -> dict[str, Passage]:
        """Passages of the corpus by their ids.

        Raises:
            TaskError: The corpus lacks one.
        """
        wanted = set(ids)
        found = {str(passage.id): passage for passage in self.corpus if str(passage.id) in wanted}
        if len(found) < len(wanted):
            msg = f"task {self.name!r}: the corpus lacks {_some(sorted(wanted - set(found)))}, which are to be ranked"
            raise TaskError(msg)
        return found

    def only(self, queries: Iterable[str], name: str) -> Task:
        """The same task with fewer questions.

        Args:
            queries: The ids of those that stay.
            name: What it is called then.
        """
        kept = set(queries)
        return replace(
            self,
            name=name,
            queries={query: self.queries[query] for query in self.queries if query in kept},
            qrels={query: judged for query, judged in self.qrels.items() if query in kept},
            preferences=tuple(each for each in self.preferences if each.query in kept),
        )

    def pool_of(self, query: str) -> Mapping[str, Any]:
        """The fields that a question's documents must have; empty where any will do."""
        return self.pools.get(query, {})

    def _right(self) -> set[str]:
        if self.kind == "pairs":
            return {each.query for each in self.preferences}
        return {query for query, judged in self.qrels.items() if judged}


def in_pool(passage: Passage, pool: Mapping[str, Any]) -> bool:
    """Whether a passage has the fields of a pool; those it does not tell of are taken to fit."""
    fields = {"source": passage.source, **passage.metadata}
    return all(_fits(fields[name], wanted) for name, wanted in pool.items() if fields.get(name) is not None)


def _fits(value: Any, wanted: Any) -> bool:
    options = wanted if isinstance(wanted, list) else [wanted]
    values = value if isinstance(value, list) else [value]
    return any(each in options for each in values)


def point_filter(ids: Sequence[PassageId], tenant: PassageId | None) -> Any:
    """The condition that leaves only these passages, as a `models.Filter`."""
    from qdrant_client import models

    from hydrant.collection.ids import point_id

    return models.Filter(must=[models.HasIdCondition(has_id=[point_id(each, tenant) for each in ids])])


def _some(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
