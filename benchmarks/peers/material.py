"""What every contender is given: the same passages, with the same vectors of the same model, and the same questions.

Documents are encoded once, beforehand: what is compared here is finding, and encoding them is measured in
`benchmarks.ingest`. Questions are encoded by each contender itself, in its own way, with that model.
"""

from __future__ import annotations

import json
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


@dataclass(frozen=True)
class Material:
    """What there is to find, and what with.

    Attributes:
        model: The folder of the bi-encoder.
        ids: The passages' ids.
        texts: Their texts, title included, as an encoder sees them.
        vectors: Their vectors, [passages, dimensions].
        average: The mean number of terms that BM25 counts in a passage.
        folder: An empty folder for a contender's own files.
    """

    model: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: npt.NDArray[np.float32]
    average: float
    folder: Path


def prepare(judged: JudgedSet, folder: Path) -> None:
    """Write a set's material into a folder."""
    passages = [passage for passage in judged.passages if passage.text.strip()]
    with indexes.indexed(judged, dense=DenseEncoder(indexes.MODEL)) as docs:
        stored = _stored(docs)
        average = docs.sources["sparse"].encoder.record()["average_length"]
    np.save(folder / "vectors.npy", np.array([stored[passage.id] for passage in passages], dtype=np.float32))
    content = {
        "model": find_model(indexes.MODEL, {}).location,
        "ids": [str(passage.id) for passage in passages],
        "texts": [passage.content for passage in passages],
        "average": average,
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
        own,
    )


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
