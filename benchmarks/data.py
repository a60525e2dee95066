"""Judged sets in BEIR layout, and the texts that speed is measured on.

The sets are not part of the repository. They are looked for in `../shared/data` beside it, or where `--data` or the
environment variable `HYDRANT_BENCH_DATA` says; a set that is not there is skipped with that reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrant import Passage
from hydrant.evaluate.judgments import Qrels, read_judgments
from hydrant.evaluate.lines import records

DATA_VARIABLE = "HYDRANT_BENCH_DATA"
# About a paragraph, for long texts that have to be cut into passages before they can be judged.
_PASSAGE_CHARACTERS = 800


class DataMissingError(RuntimeError):
    """A judged set is not on this machine."""


@dataclass(frozen=True)
class JudgedSet:
    """A corpus with questions and what is relevant to each.

    Attributes:
        name: The set and the split of its judgments, such as "nfcorpus/test".
        corpus: What the passages are called in the index cache; several splits share one corpus.
        passages: Every passage, under its own id.
        queries: The text of each judged question, by id.
        qrels: Relevance by question and passage; passages that are not named are not relevant.
    """

    name: str
    corpus: str
    passages: tuple[Passage, ...]
    queries: Mapping[str, str]
    qrels: Qrels


def data_folder(given: str | None = None) -> Path:
    """Where the judged sets are expected: the option, else the environment, else beside the repository."""
    chosen = given if given is not None else os.environ.get(DATA_VARIABLE)
    return Path(chosen) if chosen is not None else Path(__file__).resolve().parents[2] / "shared" / "data"


def load(name: str, folder: Path) -> JudgedSet:
    """A judged set by name: one of `NAMES`.

    Raises:
        DataMissingError: Its files are not there.
    """
    return _LOADERS[name](name, folder)


def texts_of(name: str, folder: Path, number: int | None = None) -> list[str]:
    """The passages of a set as an encoder sees them, the first `number` of them.

    Raises:
        DataMissingError: Its files are not there.
    """
    return [passage.content for passage in load(name, folder).passages[:number]]


def manual_texts(number: int | None = None) -> list[str]:
    """Passages of the Python language reference that every CPython carries (`pydoc_data.topics`)."""
    from pydoc_data.topics import topics

    from semantic_text_splitter import MarkdownSplitter

    splitter = MarkdownSplitter(_PASSAGE_CHARACTERS)
    passages = (chunk for topic in sorted(topics) for chunk in splitter.chunks(topics[topic]))
    return [text for text, _ in zip(passages, range(10**9 if number is None else number), strict=False)]


# ---- the sets ----------------------------------------------------------------------------------------------------


def _plain(name: str, folder: Path) -> JudgedSet:
    corpus, split = name.split("/")
    base = folder / corpus
    qrels = _qrels(base / "qrels" / f"{split}.tsv")
    passages = tuple(_passage(record) for record in lines(base / "corpus.jsonl"))
    return JudgedSet(name, corpus, passages, _queries(base, qrels), qrels)


def _one_language(name: str, folder: Path) -> JudgedSet:
    """One language of xquad-r: its questions against its own sentences."""
    language = name.removeprefix("xquad-")
    base = folder / "xquad-r"
    judged = {
        query: relevant
        for query, relevant in _qrels(base / "qrels" / "mono.tsv").items()
        if query.startswith(f"{language}-")
    }
    passages = tuple(
        _passage(record)
        for record in lines(base / "corpus.jsonl")
        if record["_id"].startswith(f"{language}-") and record["text"].strip()
    )
    return JudgedSet(name, name, passages, _queries(base, judged), judged)


def _answer_spans(name: str, folder: Path) -> JudgedSet:
    """chroma-chunking cut into paragraphs: one is relevant where it holds most of a span of the answer."""
    from semantic_text_splitter import TextSplitter

    base = folder / "chroma-chunking"
    splitter = TextSplitter(_PASSAGE_CHARACTERS)
    pieces = {
        record["_id"]: list(splitter.chunk_indices(record["text"])) for record in lines(base / "corpus.jsonl")
    }
    qrels: Qrels = {}
    for line in lines(base / "spans.jsonl"):
        text = line["corpus-id"]
        for start, end in line["spans"]:
            for number, (at, piece) in enumerate(pieces[text]):
                if 2 * (min(end, at + len(piece)) - max(start, at)) >= end - start:
                    qrels.setdefault(line["query-id"], {})[f"{text}-{number}"] = 1
    passages = tuple(
        Passage(piece, id=f"{text}-{number}")
        for text, own in pieces.items()
        for number, (_, piece) in enumerate(own)
    )
    return JudgedSet(name, name, passages, _queries(base, qrels), qrels)


_LOADERS: dict[str, Callable[[str, Path], JudgedSet]] = {
    "nfcorpus/test": _plain,
    "nfcorpus/dev": _plain,
    "nfcorpus/train": _plain,
    "cranfield/test": _plain,
    "cookbook-docs/test": _plain,
    "chroma-passages": _answer_spans,
    "xquad-en": _one_language,
    "xquad-de": _one_language,
    "xquad-es": _one_language,
}
NAMES = tuple(_LOADERS)


def _passage(record: Mapping[str, Any]) -> Passage:
    return Passage(record["text"], id=record["_id"], title=record.get("title") or None)


def _queries(base: Path, judged: Qrels) -> dict[str, str]:
    questions = lines(base / "queries.jsonl")
    return {record["_id"]: record["text"] for record in questions if record["_id"] in judged}


def _qrels(path: Path) -> Qrels:
    return read_judgments(_opened(path)).qrels


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file.

    Raises:
        DataMissingError: It is not there.
    """
    return (dict(record.fields) for record in records(_opened(path)))


def _opened(path: Path) -> Path:
    if not path.is_file():
        msg = f"{path} is not there; say where the judged sets are with --data or {DATA_VARIABLE}"
        raise DataMissingError(msg)
    return path
