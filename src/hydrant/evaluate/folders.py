"""Tasks from disk: BEIR folders, with a `task.yaml` for what is not usual, and files of judged questions.

# task.yaml; every key may be left out
name: xquad, any language to English
kind: retrieval              # or rerank, with `candidates`, or pairs, with `pairs`
qrels: qrels/x-to-en.tsv     # instead of qrels/SPLIT.tsv
candidates: bm25.trec        # a TREC run or judgment columns: what each question ranks
pairs: pairs.jsonl           # {"query-id": ..., "preferred": ..., "other": ..., "pair": ...}
pool: {lang: en}             # every question is searched among documents with these fields
within: source               # and among those whose field is the question's own, from its metadata
group: lang                  # the report tells questions apart by this field of theirs
match: id                    # or document: see `Task.match`
relevant_from: 1
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydrant.config.located import Located, read_yaml
from hydrant.config.registry import suggestion
from hydrant.errors import ConfigurationError, TaskError
from hydrant.evaluate.judgments import Judgments, Qrels, read_candidates, read_judgments
from hydrant.evaluate.lines import Record, records, unique
from hydrant.evaluate.pairs import read_preferences
from hydrant.evaluate.questions import read_questions
from hydrant.evaluate.tasks import CorpusFile, Preference, Task, in_pool
from hydrant.types import Query

SETTINGS = "task.yaml"
_SUFFIXES = (".tsv", ".txt", ".jsonl", ".qrels", ".trec")
_KEYS = (
    "name",
    "kind",
    "qrels",
    "candidates",
    "pairs",
    "pool",
    "within",
    "group",
    "match",
    "relevant_from",
)
_DEFAULT_SPLIT = "test"


@dataclass(frozen=True)
class _Settings:
    """What `task.yaml` says."""

    said: Mapping[str, Any] = field(default_factory=dict)
    content: Located | None = None

    @classmethod
    def read(cls, folder: Path) -> _Settings:
        file = folder / SETTINGS
        if not file.is_file():
            return cls()
        try:
            content = read_yaml(file)
            given = content.mapping(SETTINGS)
        except ConfigurationError as error:
            raise TaskError(str(error)) from error
        for key in given:
            if key not in _KEYS:
                msg = f"{file}, line {content.lines[key]}: a task has no {key!r}; {suggestion(key, _KEYS)}"
                raise TaskError(msg)
        return cls(content.plain(), content)

    def get(self, key: str, kind: type[Any], default: Any = None) -> Any:
        value = self.said.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, kind):
            assert self.content is not None  # noqa: S101  something was said, so there is a file
            where = f"{self.content.file}, line {self.content.lines[key]}"
            msg = f"{where}: {key!r} must be a {kind.__name__}, got {value!r}"
            raise TaskError(msg)
        return value


def load(path: Path, split: str | None) -> Task:
    """A task from a folder or a file; see `Task.load`."""
    if path.is_dir():
        return _folder(path, None, split)
    if not path.is_file():
        msg = f"there is no task at {path}; give a folder in BEIR layout or a JSONL file of judged questions"
        raise TaskError(msg)
    beside = path.parent.parent
    if (beside / "queries.jsonl").is_file():
        return _folder(beside, path, split)
    if path.suffix != ".jsonl":
        msg = f"{path} is no task: judged questions are a .jsonl file, judgments lie in a folder beside a queries.jsonl"
        raise TaskError(msg)
    if split is not None:
        msg = f"{path} is one file and has no splits, got split={split!r}"
        raise TaskError(msg)
    return read_questions(path)


def splits(folder: Path) -> list[str]:
    """The names of the judgments in a folder."""
    files = (folder / "qrels").glob("*")
    return sorted(file.stem for file in files if file.suffix in _SUFFIXES)


# ---- a folder ----------------------------------------------------------------------------------------------------


def _folder(folder: Path, qrels: Path | None, split: str | None) -> Task:
    settings = _Settings.read(folder)
    kind = settings.get("kind", str, "retrieval")
    queries = {record.id: record for record in unique(records(folder / "queries.jsonl"), "question")}
    file = folder / "corpus.jsonl"
    corpus = CorpusFile(file) if file.is_file() else ()
    reader = _Reader(folder, settings, queries)
    if kind == "pairs":
        name = settings.get("name", str, folder.name)
        preferences = reader.preferences(None if not corpus else {str(passage.id) for passage in corpus})
        return _made(name, kind, reader, {}, corpus=corpus, preferences=preferences)
    source = _judgments_file(folder, settings, qrels, split)
    judgments = read_judgments(source)
    if not judgments.qrels:
        filled = [each for each in splits(folder) if each != source.stem]
        others = f"; other splits of this folder: {filled}" if filled else ""
        msg = f"{source} holds no judgments{others}"
        raise TaskError(msg)
    name = settings.get("name", str) if qrels is None and split is None else None
    found = None if not corpus else {str(passage.id) for passage in corpus}
    reader.count(judgments, found)
    if name is None:
        name = f"{folder.name}/{source.stem}"
    return _made(name, kind, reader, judgments.qrels, corpus=corpus)


def _judgments_file(folder: Path, settings: _Settings, given: Path | None, split: str | None) -> Path:
    if given is not None:
        if split is not None:
            msg = f"give the file {given} or a split, not both; got split={split!r}"
            raise TaskError(msg)
        return given
    named = settings.get("qrels", str)
    if named is not None and split is None:
        return folder / str(named)
    wanted = _DEFAULT_SPLIT if split is None else split
    for suffix in _SUFFIXES:
        file = folder / "qrels" / f"{wanted}{suffix}"
        if file.is_file():
            return file
    msg = f"{folder} has no judgments 'qrels/{wanted}.tsv'; it has the splits {splits(folder)}"
    raise TaskError(msg)


class _Reader:
    """Reads what belongs to the questions, and counts what does not fit."""

    def __init__(self, folder: Path, settings: _Settings, queries: Mapping[str, Record]) -> None:
        self.folder = folder
        self.settings = settings
        self.queries = queries
        self.remarks: list[str] = []

    def count(self, judgments: Judgments, corpus: set[str] | None) -> None:
        """Put on record what the judgments name that is not there."""
        qrels = judgments.qrels
        if judgments.header is not None and judgments.header[1] in self.queries:
            line, query = judgments.header
            msg = f"a judgment of question {query!r} needs a whole number for a grade, got {line.text!r}"
            raise line.error(msg)
        if judgments.repeated:
            self.remarks.append(f"{judgments.repeated:,} judgments are there twice; each counts once")
        strangers = [query for query in qrels if query not in self.queries]
        if strangers:
            lost = sum(len(qrels[query]) for query in strangers)
            self.remarks.append(
                f"{lost:,} judgments of {len(strangers):,} questions that queries.jsonl does not have are left out, "
                f"such as {strangers[0]!r}"
            )
        if corpus is None:
            return
        unknown = sorted(
            {doc for judged in qrels.values() for doc, grade in judged.items() if grade > 0} - corpus
        )
        if unknown:
            self.remarks.append(
                f"{len(unknown):,} documents are judged relevant that corpus.jsonl does not have, such as "
                f"{unknown[0]!r}; they count as not found"
            )

    def preferences(self, corpus: set[str] | None) -> tuple[Preference, ...]:
        """The preferences of a pair task; see `read_preferences`."""
        file = self.folder / self.settings.get("pairs", str, "pairs.jsonl")
        preferences, left_out = read_preferences(file, self.queries, corpus)
        self.remarks += left_out
        return preferences

    def pools(self, judged: list[str]) -> dict[str, dict[str, Any]]:
        """The fields that each question's documents must have."""
        pool: dict[str, Any] = self.settings.get("pool", dict, {})
        within = self.settings.get("within", str)
        if not pool and within is None:
            return {}
        return {query: {**pool, **self._own(self.queries[query], within)} for query in judged}

    def groups(self, judged: list[str]) -> dict[str, str]:
        """What the report tells the questions apart by."""
        name = self.settings.get("group", str)
        if name is None:
            return {}
        fields = {query: self.queries[query].mapping("metadata").get(name) for query in judged}
        return {query: "none" if value is None else str(value) for query, value in fields.items()}

    @staticmethod
    def _own(record: Record, within: str | None) -> dict[str, Any]:
        if within is None:
            return {}
        value = record.fields.get(within, record.mapping("metadata").get(within))
        if value is None:
            msg = f"needs {within!r} in its metadata, because every question is searched within its own"
            raise record.error(msg)
        return {within: value}


def _made(
    name: str,
    kind: Any,
    reader: _Reader,
    qrels: Qrels,
    *,
    corpus: CorpusFile | tuple[()],
    preferences: tuple[Preference, ...] = (),
) -> Task:
    settings, queries = reader.settings, reader.queries
    right = {each.query for each in preferences} or set(qrels)
    judged = [query for query in queries if query in right]
    pools = reader.pools(judged)
    candidates: dict[str, tuple[str, ...]] = {}
    if kind == "rerank":
        candidates = _candidates(reader, judged, pools, corpus)
        without = [query for query in judged if query not in candidates]
        if without:
            reader.remarks.append(
                f"{len(without):,} judged questions have no candidates, such as {without[0]!r}; they count as not found"
            )
            candidates |= dict.fromkeys(without, ())
    if not judged:
        msg = (
            f"task {name!r} has no judged questions: none of the judgments names a question of queries.jsonl"
        )
        raise TaskError(msg)
    return Task(
        name=name,
        queries={
            query: Query(
                queries[query].text("text", "query", "question"),
                filter=pools.get(query) or None,
                tenant=queries[query].tenant(),
            )
            for query in judged
        },
        qrels={query: qrels[query] for query in judged if query in qrels},
        kind=kind,
        corpus=corpus,
        candidates=candidates,
        preferences=preferences,
        pools=pools,
        groups=reader.groups(judged),
        match=settings.get("match", str, "id"),
        relevant_from=settings.get("relevant_from", int, 1),
        unjudged=tuple(query for query in queries if query not in right),
        remarks=tuple(reader.remarks),
    )


def _candidates(
    reader: _Reader, judged: list[str], pools: Mapping[str, Mapping[str, Any]], corpus: CorpusFile | tuple[()]
) -> dict[str, tuple[str, ...]]:
    named = reader.settings.get("candidates", str)
    if named is not None:
        return read_candidates(reader.folder / named)
    if not pools:
        msg = (
            f"{reader.folder / SETTINGS}: a rerank task needs 'candidates', a TREC run, or 'within', a field"
        )
        raise TaskError(msg)
    passages = list(corpus)
    return {
        query: tuple(str(passage.id) for passage in passages if in_pool(passage, pools[query]))
        for query in judged
    }
