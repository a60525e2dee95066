"""Indexes that are kept between runs, so that trying another fusion does not encode the corpus again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs
from qdrant_client import models

from benchmarks.data import JudgedSet
from hydrant import Bm25Encoder, Collection, DenseEncoder, EdgeClient
from hydrant.encode.base import Encoder

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
CACHE_VARIABLE = "HYDRANT_BENCH_CACHE"
_COLLECTION = "passages"
_LANGUAGES = {"xquad-de": "german", "xquad-es": "spanish"}


def cache_folder() -> Path:
    """Where indexes are kept: the environment's `HYDRANT_BENCH_CACHE`, else the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen is not None else Path(platformdirs.user_cache_dir("hydrant")) / "benchmarks"


@contextmanager
def indexed(judged: JudgedSet, *, dense: Encoder, optimized: bool = False) -> Iterator[Collection]:
    """The set's corpus in an Edge collection with dense and BM25 vectors.

    What is there from an earlier run is compared passage by passage by the indexer, and stays where it is the same.

    Args:
        judged: The set.
        dense: The encoder of the dense vectors.
        optimized: Whether to have HNSW built; in a copy, so that the index itself stays without.

    Raises:
        RuntimeError: Some passages could not be indexed, other than those without text.
    """
    folder = cache_folder() / judged.corpus
    if optimized:
        folder = _copied(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with EdgeClient(folder) as client:
        if client.collection_exists(_COLLECTION):
            collection = Collection.open(client, _COLLECTION, dense=dense)
        else:
            sparse = Bm25Encoder(_LANGUAGES.get(judged.corpus, "english"))
            collection = Collection.create(client, _COLLECTION, dense=dense, sparse=sparse)
        with_text = [passage for passage in judged.passages if passage.text.strip()]
        report = collection.indexer().add(with_text)
        if report.failures:
            msg = f"{len(report.failures)} passages of {judged.corpus} were not indexed: {report.failures[0]}"
            raise RuntimeError(msg)
        if optimized:
            _build_hnsw(client)
        yield collection


def _build_hnsw(client: EdgeClient) -> None:
    """Have HNSW built and used for as few vectors as these, which Qdrant would rather scan."""
    client.update_collection(
        _COLLECTION,
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        hnsw_config=models.HnswConfigDiff(full_scan_threshold=10),
    )
    client.optimize(_COLLECTION)


def query_vectors(texts: Sequence[str], dense: DenseEncoder) -> list[list[float]]:
    """The questions' dense vectors, kept between runs too."""
    key = hashlib.sha256(json.dumps([dense.record(), *texts]).encode()).hexdigest()[:16]
    file = cache_folder() / f"questions-{key}.npy"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.array(dense.encode_query(texts), dtype=np.float32))
    vectors: list[list[float]] = np.load(file).tolist()
    return vectors


def _copied(folder: Path) -> Path:
    """A fresh copy of an index that is closed, where there is one."""
    copy = folder.with_name(f"{folder.name}-hnsw")
    shutil.rmtree(copy, ignore_errors=True)
    if folder.is_dir():
        shutil.copytree(folder, copy)
    return copy
