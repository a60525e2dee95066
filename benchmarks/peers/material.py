"""What every contender is given: the same passages, with the same vectors of the same model, and the same questions.

Documents are encoded once, beforehand: what is compared here is finding, and encoding them is measured in
`benchmarks.ingest`. Questions are encoded by each contender itself, in its own way, with that model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import indexes
from benchmarks.data import JudgedSet
from hydrant import DenseEncoder
from hydrant.encode.models import find_model

_BATCH = 500
_HYPOTHESES = Path(__file__).resolve().parents[2] / "tests" / "data" / "nfcorpus_hypotheses.jsonl"


@dataclass(frozen=True)
class Material:
    """What there is to find, and what with.

    Attributes:
        model: The folder of the bi-encoder.
        ids: The passages' ids.
        texts: Their texts, title included, as an encoder sees them.
        vectors: Their vectors, [passages, dimensions].
        average: The mean number of terms that BM25 counts in a passage.
        cross_encoder: The folder of a cross-encoder of the bi-encoder's architecture, with a fresh head: right for speed, and for
            whether all rank alike, but no judge of relevance.
        hypotheses: Written hypotheses by question, for those that have some.
        folder: An empty folder for a contender's own files.
    """

    model: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    average: float
    cross_encoder: str
    hypotheses: Mapping[str, Sequence[str]]
    folder: Path


def prepare(judged: JudgedSet, folder: Path) -> None:
    """Write a set's material into a folder."""
    passages = [passage for passage in judged.passages if passage.text.strip()]
    with indexes.indexed(judged, dense=DenseEncoder(indexes.MODEL)) as docs:
        stored = _stored(docs)
        average = docs.sources["sparse"].encoder.record()["average_length"]
    _save_cross_encoder(folder / "cross-encoder")
    np.save(folder / "vectors.npy", np.array([stored[passage.id] for passage in passages], dtype=np.float32))
    content = {
        "model": find_model(indexes.MODEL, {}).location,
        "ids": [str(passage.id) for passage in passages],
        "texts": [passage.content for passage in passages],
        "average": average,
        "cross_encoder": str(folder / "cross-encoder"),
        "hypotheses": hypotheses(),
    }
    (folder / "material.json").write_text(json.dumps(content), encoding="utf-8")


def read(folder: Path, own: Path) -> Material:
    """The material that `prepare` wrote, for a contender with a folder of its own."""
    content = json.loads((folder / "material.json").read_text(encoding="utf-8"))
    return Material(
        content["model"],
        tuple(content["ids"]),
        tuple(content["texts"]),
        np.load(folder / "vectors.npy"),
        content["average"],
        content["cross_encoder"],
        content["hypotheses"],
        own,
    )


def hypotheses() -> dict[str, list[str]]:
    """The written hypotheses of the tests' data, by question."""
    lines = _HYPOTHESES.read_text(encoding="utf-8").splitlines()
    return {line["query"]: line["hypotheses"] for line in map(json.loads, lines)}


def _save_cross_encoder(folder: Path) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    torch.manual_seed(0)
    CrossEncoder(find_model(indexes.MODEL, {}).location, num_labels=1, max_length=512).save(str(folder))


def _stored(docs: Any) -> dict[Any, list[float]]:
    vectors: dict[Any, list[float]] = {}
    following = None
    while True:
        records, following = docs.clients.sync.scroll(
            docs.name, limit=_BATCH, offset=following, with_vectors=["dense"], with_payload=True
        )
        passages = docs.passages(records, None)
        for passage, record in zip(passages, records, strict=True):
            vectors[passage.id] = record.vector["dense"]
        if following is None:
            return vectors
