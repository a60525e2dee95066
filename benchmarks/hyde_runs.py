"""Searches of a judged set with hypotheses that are there already: what HyDE's variants are ranked by."""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import JudgedSet
from benchmarks.indexes import cache_folder
from benchmarks.metrics import NDCG_10, RECALL_100, Scores, per_query
from hydrant import DenseEncoder, Generation, GenerationRequest, Hyde, TextGenerator
from hydrant.encode.base import Encoder
from hydrant.pipeline import Stage

DEPTH = 100
Texts = Mapping[str, Sequence[str]]


class Replay(TextGenerator):
    """Says for every question what is written down for it, the first samples of it where fewer are asked for."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def complete(self, request: GenerationRequest) -> Generation:
        """The texts of the question that the prompt ends with."""
        asked = request.messages[-1].content.partition("Question: ")[2].rpartition("\nPassage:")[0]
        return Generation(tuple(self._texts[asked][: request.samples]))


class KeptEncoder(Encoder):
    """A dense encoder whose vectors are kept between runs, for texts that are encoded again and again.

    Args:
        encoder: What encodes.
    """

    def __init__(self, encoder: DenseEncoder) -> None:
        self._encoder = encoder
        self._rows: dict[str, npt.NDArray[np.float32]] = {}
        key = hashlib.sha256(json.dumps(encoder.record()).encode()).hexdigest()[:16]
        self._file = cache_folder() / f"hypotheses-{key}.npz"

    def encode_query(self, texts: Sequence[str]) -> Any:
        """As the encoder."""
        return self._kept("q", texts, self._encoder.encode_query).tolist()

    def encode_document(self, texts: Sequence[str]) -> Any:
        """As the encoder."""
        return self._kept("d", texts, self._encoder.encode_document)

    def record(self) -> dict[str, Any]:
        """The encoder's own."""
        return self._encoder.record()

    def adopt(self, record: Mapping[str, Any]) -> Encoder:
        """As the encoder."""
        self._encoder.adopt(record)
        return self

    def save(self) -> None:
        """Keep the vectors for the next run."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        rows: Any = self._rows
        np.savez(self._file, **rows)

    def load(self) -> None:
        """Take the vectors of earlier runs."""
        if self._file.is_file():
            with np.load(self._file) as rows:
                self._rows.update(rows)

    def _kept(self, role: str, texts: Sequence[str], encode: Any) -> npt.NDArray[np.float32]:
        names = [role + hashlib.sha256(text.encode()).hexdigest() for text in texts]
        new = {name: text for name, text in zip(names, texts, strict=True) if name not in self._rows}
        if new:
            rows = np.asarray(encode(list(new.values())), dtype=np.float32)
            self._rows.update(zip(new, rows, strict=True))
        return np.stack([self._rows[name] for name in names])


@dataclass(frozen=True)
class Figures:
    """What a search reaches on a set, question by question.

    Attributes:
        ndcg: nDCG@10.
        recall: Recall@100.
        seconds: The median wall time of a search.
    """

    ndcg: Scores
    recall: Scores
    seconds: float


def hyde(texts: Texts, judged: JudgedSet, number: int, **settings: Any) -> Hyde:
    """HyDE with the first `number` of the hypotheses that are there, by question."""
    said = {judged.queries[name]: own for name, own in texts.items() if name in judged.queries}
    return Hyde(Replay(said), hypotheses=number, enough=1, cache=None, on_error="raise", **settings)


def figures(search: Stage, judged: JudgedSet) -> Figures:
    """Run every question; a hit that is the question itself is left out."""
    run, seconds = {}, []
    for name, text in judged.queries.items():
        began = time.perf_counter()
        hits = search.run(text, limit=DEPTH).hits
        seconds.append(time.perf_counter() - began)
        run[name] = [str(hit.id) for hit in hits if hit.text.strip() != text.strip()]
    ndcg, recall = (per_query(measure, judged.qrels, run) for measure in (NDCG_10, RECALL_100))
    return Figures(ndcg, recall, statistics.median(seconds))
