"""Fifty thousand points that look like real ones to the engine, without a model's hours of encoding.

Vectors lie in clusters, as those of texts do: HNSW behaves differently on uniform noise. Words follow Zipf's law over a
vocabulary of pronounceable inventions, so that BM25 has its few long posting lists and its many short ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.indexes import cache_folder
from hydrant import Bm25Encoder, Collection, DenseEncoder, EdgeClient, Passage

COLLECTION = "synthetic"
DIMENSIONS = 384
_POINTS_A_CLUSTER = 100
_SPREAD = 0.6
_VOCABULARY = 30_000
_WORDS_A_PASSAGE = 80
_LANGUAGES = ("de", "en", "es", "fr")

Vectors = npt.NDArray[np.float32]


class StoredVectors:
    """Stands in for a model: looks vectors up by the number that a text begins with, which costs next to nothing.

    Attributes:
        name: What the collection's record calls it.
        dimensions: The length of a vector.
    """

    name = "stored-vectors"
    dimensions = DIMENSIONS

    def __init__(self, documents: Vectors, queries: Vectors) -> None:
        self._documents = documents
        self._queries = queries

    def encode_document(self, texts: Sequence[str]) -> Vectors:
        """The rows of the passages."""
        return self._documents[[_number(text) for text in texts]]

    def encode_query(self, texts: Sequence[str]) -> Vectors:
        """The rows of the questions."""
        return self._queries[[_number(text) for text in texts]]


@dataclass(frozen=True)
class Synthetic:
    """The corpus and its questions.

    Attributes:
        passages: The passages, each text beginning with its number.
        questions: The questions, likewise.
        model: Their vectors.
    """

    passages: Sequence[Passage]
    questions: Sequence[str]
    model: StoredVectors


def synthetic(points: int, questions: int, seed: int = 7) -> Synthetic:
    """Make a corpus; the same numbers give the same one."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, points // _POINTS_A_CLUSTER), DIMENSIONS), dtype=np.float32)
    documents = _around(centres, points, random)
    asked = _around(centres, questions, random)
    words = _words(_VOCABULARY)
    texts = _texts(words, points, _WORDS_A_PASSAGE, random)
    passages = [
        Passage(
            f"{number} {text}",
            id=number,
            title=f"Passage {number}",
            source=f"manual/{number % 997}.md",
            metadata={"lang": _LANGUAGES[number % 4], "year": 2000 + number % 25},
        )
        for number, text in enumerate(texts)
    ]
    queries = [f"{number} {text}" for number, text in enumerate(_texts(words, questions, 6, random))]
    return Synthetic(passages, queries, StoredVectors(documents, asked))


@contextmanager
def indexed(corpus: Synthetic) -> Iterator[tuple[EdgeClient, Collection]]:
    """The corpus in an Edge collection with HNSW, kept between runs."""
    folder = cache_folder() / f"synthetic-{len(corpus.passages)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    dense: Any = DenseEncoder(corpus.model, batch_size=256)
    with EdgeClient(folder) as client:
        if client.collection_exists(COLLECTION):
            collection = Collection.open(client, COLLECTION, dense=dense)
        else:
            collection = Collection.create(
                client,
                COLLECTION,
                dense=dense,
                sparse=Bm25Encoder(),
                fields={"lang": "keyword", "year": "integer"},
            )
        if collection.count() != len(corpus.passages):
            collection.indexer().add(corpus.passages)
        client.optimize(COLLECTION)
        yield client, collection


def _number(text: str) -> int:
    # A passage is encoded with its title above it: the number is the first word of the last line.
    return int(text.rpartition("\n")[2].partition(" ")[0])


def _around(centres: Vectors, number: int, random: np.random.Generator) -> Vectors:
    own = centres[random.integers(len(centres), size=number)]
    noise = random.standard_normal((number, DIMENSIONS), dtype=np.float32)
    vectors = own + _SPREAD * noise
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _texts(words: Sequence[str], number: int, length: int, random: np.random.Generator) -> list[str]:
    ranks = np.arange(1, len(words) + 1)
    shares = (1 / ranks) / (1 / ranks).sum()
    lengths = np.maximum(1, random.lognormal(np.log(length), 0.4, number)).astype(int)
    drawn = random.choice(len(words), size=int(lengths.sum()), p=shares)
    ends = np.cumsum(lengths)
    return [
        " ".join(words[at] for at in drawn[start:end])
        for start, end in zip(ends - lengths, ends, strict=True)
    ]


def _words(number: int) -> list[str]:
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    made = ("".join(parts) for parts in itertools.product(syllables, repeat=3))
    return list(itertools.islice(made, number))
