"""Judgments and runs: what is relevant to a question, and what was found for it, in the formats of BEIR, HF and TREC."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hydrant.errors import StorageError, TaskError
from hydrant.evaluate.lines import Line, lines, records

Qrels: TypeAlias = dict[str, dict[str, int]]
# Documents with their scores, best first.
Ranking: TypeAlias = tuple[tuple[str, float], ...]

# The highest grade: trec_eval counts by grades in memory, and ends the process on millions.
HIGHEST = 1000

_QUERY_KEYS = ("query-id", "query_id", "qid")
_DOCUMENT_KEYS = ("corpus-id", "corpus_id", "doc_id", "docid")
_SCORE_KEYS = ("score", "relevance", "label")
_BEIR_COLUMNS, _TREC_COLUMNS, _RUN_COLUMNS = 3, 4, 6


@dataclass(frozen=True, slots=True)
class Judgments:
    """What a file of judgments says.

    Attributes:
        qrels: The grade of each judged document, by question and document.
        repeated: How many lines say again what another line said.
        header: The line that was taken for the columns' names, and what stands where a question's id would.
    """

    qrels: Qrels
    repeated: int = 0
    header: tuple[Line, str] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Rankings that are there already, of any system, to be compared with pipelines.

    Attributes:
        rankings: Documents and scores, by question.
    """

    rankings: Mapping[str, Ranking] = field(default_factory=dict)

    @classmethod
    def read(cls, file: str | Path) -> Run:
        """A run in TREC format: question, Q0, document, rank, score, name. Scores count, as for trec_eval, not ranks.

        Raises:
            TaskError: A line is something else, or names a document twice; with file and line.
        """
        found: dict[str, dict[str, float]] = {}
        for line in lines(Path(file)):
            parts = line.text.split()
            if len(parts) != _RUN_COLUMNS:
                msg = f"a run has {_RUN_COLUMNS} columns (question, Q0, document, rank, score, name), got {len(parts)}"
                raise line.error(msg)
            query, document, score = parts[0], parts[2], _finite(parts[4], line)
            if document in found.setdefault(query, {}):
                msg = f"document {document!r} is in the ranking of question {query!r} already"
                raise line.error(msg)
            found[query][document] = score
        return cls({query: trec_order(scores.items()) for query, scores in found.items()})

    def write(self, file: str | Path, name: str = "hydrant") -> None:
        """Write the run in TREC format.

        Args:
            file: Where; what is there is replaced.
            name: What the run is called in its last column.

        Raises:
            TaskError: A name has blanks in it, which part the columns of the format.
            StorageError: The file cannot be written.
        """
        documents = (document for ranking in self.rankings.values() for document, _ in ranking)
        for each in (name, *self.rankings, *documents):
            if each.split() != [each]:
                msg = f"TREC's format has no room for names with blanks, got {each!r}"
                raise TaskError(msg)
        rows = (
            f"{query} Q0 {document} {rank} {score!r} {name}\n"
            for query, ranking in self.rankings.items()
            for rank, (document, score) in enumerate(ranking, 1)
        )
        try:
            with Path(file).open("w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(rows)
        except OSError as error:
            msg = f"the run cannot be written to {file}: {error.strerror}"
            raise StorageError(msg) from error


def trec_order(scored: Iterable[tuple[str, float]]) -> Ranking:
    """Documents as trec_eval ranks them: by score, and those of equal score by their ids, the last in the alphabet first.

    trec_eval keeps scores as 32-bit floats, so scores that differ by less than those can tell are equal.
    """
    ordered = sorted(scored, key=lambda pair: _bytes(pair[0]), reverse=True)
    return tuple(sorted(ordered, key=lambda pair: -np.float32(pair[1])))


def settled(ranking: Sequence[tuple[str, float]]) -> list[str]:
    """The documents of a pipeline's ranking, ties settled as trec_eval does.

    The order is the pipeline's own, whose scores need not fall (diversity): only neighbours of equal score are reordered,
    by their ids, the last in the alphabet first. So no pipeline gains by the order in which its ties happened to come.
    """
    found: list[str] = []
    start = 0
    for end in range(1, len(ranking) + 1):
        if end == len(ranking) or np.float32(ranking[end][1]) != np.float32(ranking[start][1]):
            tied = [document for document, _ in ranking[start:end]]
            found += sorted(tied, key=_bytes, reverse=True)
            start = end
    return found


def _bytes(name: str) -> bytes:
    # JSON can name half of a character, which is no UTF-8.
    return name.encode("utf-8", "surrogatepass")


def read_judgments(file: Path) -> Judgments:
    """Judgments from a file: BEIR's three columns, TREC's four, or JSONL with one judgment a line.

    Raises:
        TaskError: A line is something else, or contradicts another; with file and line.
    """
    rows = _jsonl(file) if file.suffix == ".jsonl" else _columns(file)
    qrels: Qrels = {}
    repeated = 0
    for line, query, document, grade in rows:
        judged = qrels.setdefault(query, {})
        if document not in judged:
            judged[document] = grade
        elif judged[document] == grade:
            repeated += 1
        else:
            msg = (
                f"says {grade} of document {document!r} for question {query!r}; a line before says "
                f"{judged[document]}"
            )
            raise line.error(msg)
    return Judgments(qrels, repeated, None if file.suffix == ".jsonl" else _header(file))


def read_candidates(file: Path) -> dict[str, tuple[str, ...]]:
    """The documents to rank for each question, in order: a TREC run, or the columns of judgments, best score first."""
    first = next(lines(file), None)
    if first is not None and len(first.text.split()) == _RUN_COLUMNS:
        rankings = Run.read(file).rankings
    else:
        scored: dict[str, list[tuple[str, float]]] = {}
        for _, query, document, grade in _columns(file, whole=False):
            scored.setdefault(query, []).append((document, grade))
        rankings = {query: trec_order(pairs) for query, pairs in scored.items()}
    return {query: tuple(document for document, _ in ranking) for query, ranking in rankings.items()}


def _columns(file: Path, *, whole: bool = True) -> Iterator[tuple[Line, str, str, int]]:
    for position, line in enumerate(lines(file)):
        parts = _parts(line)
        if len(parts) != _BEIR_COLUMNS:
            msg = f"a judgment has 3 columns (question, document, grade) or TREC's 4, got {len(parts)}"
            raise line.error(msg)
        query, document, score = parts
        if position == 0 and _is_header(score):
            continue
        if not (query and document):
            msg = f"a judgment needs the ids of a question and a document, got {query!r} and {document!r}"
            raise line.error(msg)
        yield line, query, document, _grade(score, line) if whole else _finite(score, line)  # type: ignore[misc]


def _parts(line: Line) -> list[str]:
    """A judgment's cells; of TREC's four columns, the three that say something."""
    parts = [part.strip() for part in line.text.split("\t")] if "\t" in line.text else line.text.split()
    return [parts[0], *parts[2:]] if len(parts) == _TREC_COLUMNS else parts


def _header(file: Path) -> tuple[Line, str] | None:
    first = next(lines(file), None)
    if first is None:
        return None
    parts = _parts(first)
    return (first, parts[0]) if _is_header(parts[-1]) else None


def _jsonl(file: Path) -> Iterator[tuple[Line, str, str, int]]:
    for record in records(file):
        query, document = record.optional(*_QUERY_KEYS), record.optional(*_DOCUMENT_KEYS)
        if query is None or document is None:
            msg = f"a judgment needs 'query-id' and 'corpus-id', it has {sorted(record.fields)}"
            raise record.error(msg)
        score = record.optional(*_SCORE_KEYS)
        yield record.line, str(query), str(document), 1 if score is None else _grade(score, record.line)


def is_grade(value: object) -> bool:
    """Whether a value can be a document's grade."""
    # numpy has whole numbers of its own.
    return isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) <= HIGHEST


def _is_header(score: str) -> bool:
    try:
        float(score)
    except ValueError:
        return True
    return False


def _grade(score: object, line: Line) -> int:
    value = _finite(score, line)
    if value != int(value) or not is_grade(int(value)):
        msg = f"a grade must be a whole number from -{HIGHEST:,} to {HIGHEST:,}, got {score!r}"
        raise line.error(msg)
    return int(value)


def _finite(score: object, line: Line) -> float:
    try:
        value = float(score)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(score, bool) or not math.isfinite(value):
        msg = f"a score must be a finite number, got {score!r}"
        raise line.error(msg)
    return value
