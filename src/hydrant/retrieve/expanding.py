"""What the expansions of a query make of its vectors."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qdrant_client import models

from hydrant.collection.base import CollectionBase
from hydrant.collection.sources import Source
from hydrant.encode.base import Encoder, Role
from hydrant.encode.query_cache import QueryCache
from hydrant.errors import DeadlineExceeded
from hydrant.flow import Effect, Flow
from hydrant.retrieve.vectors import checked_query
from hydrant.threads import POOL
from hydrant.types import Expansion, Query

# The share of the time left that the texts of expansions may be encoded for; the search itself comes after them.
_SHARE = 0.6
# How many texts' vectors are kept for each encoder: those of a few dozen queries that come again.
_KEPT = 512
# A sparse query is as expensive as it has terms; those of least weight are left out.
_MOST_TERMS = 256
_CACHES: dict[int, dict[Role, QueryCache]] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Expanded:
    """What a source is asked with an expanded query.

    Attributes:
        vector: The query vector, or its mean with those of expansions.
        others: Vectors that are asked for beside it.
        best: Whether the best similarity to any of them ranks, instead of a fusion of their rankings.
        missing: Why an expansion is not in it; None where all are.
    """

    vector: Any
    others: tuple[Any, ...] = ()
    best: bool = False
    missing: str | None = None


class EncodeExpansion(Effect[Any]):
    """Encode texts that came with a query, in a part of the time that is left.

    Args:
        encoder: The encoder.
        texts: The texts.
        role: Which of its methods they are for.
    """

    name = "encode expansion"

    def __init__(self, encoder: Encoder, texts: Sequence[str], role: Role) -> None:
        self._encoder = encoder
        self._texts = texts
        self._role = role

    def call(self, timeout: float | None) -> Any:
        """One vector for each text; those of texts that were encoded lately are known."""
        if timeout is None:
            return self._vectors()
        ticket = POOL.submit(self._vectors)
        if not ticket.wait(timeout * _SHARE):
            msg = f"encoding {len(self._texts)} texts took more than the {timeout * _SHARE:.3g} s there were for it"
            raise DeadlineExceeded(msg)
        return ticket.result()

    def _vectors(self) -> list[Any]:
        encode: Any = self._encoder.encode_query if self._role == "query" else self._encoder.encode_document
        return _cache(self._encoder, self._role).through(self._texts, encode)


def expand(query: Query, own: Any, source: Source, collection: CollectionBase) -> Flow[Expanded]:
    """What a source is asked, from the query's own vector and from what stages before added to the query.

    An expansion whose texts cannot be encoded is left out.

    Args:
        query: The query.
        own: Its vector, checked.
        source: The source.
        collection: The source's collection.
    """
    kind = source.encoder.kind
    vector, others, missing = own, [], None
    best = True
    for expansion in query.expansions:
        if expansion.mode == "none" or not expansion.texts or kind not in expansion.kinds:
            continue
        try:
            vectors = yield from _encoded(expansion, source, collection)
        except Exception as error:  # noqa: BLE001  the search can go on without an expansion, whatever is wrong with it
            missing = f"{source.name!r} is asked without the texts of {expansion.stage!r}: {error}"
            continue
        if expansion.mode == "mean" and kind != "multi":
            vector = _mean(vector, vectors, expansion.query_weight, cosine=_is_cosine(collection, source))
        else:
            others += vectors
            best = best and expansion.mode == "max" and kind == "dense"
    return Expanded(vector, tuple(others), best and bool(others), missing)


def _encoded(expansion: Expansion, source: Source, collection: CollectionBase) -> Flow[list[Any]]:
    kind = source.encoder.kind
    # A sparse document's weights hold its own length and are made to be looked up, not to look up with.
    role: Role = "query" if kind == "sparse" else expansion.role
    raw = yield EncodeExpansion(source.encoder, expansion.texts, role)
    checked = [checked_query(vector, kind, collection.profile, source) for vector in raw]
    return [vector for vector in checked if not isinstance(vector, models.SparseVector) or vector.indices]


def _mean(own: Any, vectors: Sequence[Any], weight: float, *, cosine: bool) -> Any:
    if isinstance(own, models.SparseVector):
        return _sparse_mean(own, vectors, weight)
    if not isinstance(own, list) or not vectors:
        return own
    return dense_mean(own, vectors, weight, cosine=cosine)


def dense_mean(
    own: Sequence[float], vectors: Sequence[Sequence[float]], weight: float, *, cosine: bool
) -> list[float]:
    """The mean of the query's vector and others; each is brought to length 1 first where only directions are compared.

    Args:
        own: The query's vector.
        vectors: The others, each of which counts 1.
        weight: How much the query's counts.
        cosine: Whether only directions are compared.
    """
    rows = np.array([own, *vectors], dtype=np.float64)
    if cosine:
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        rows /= lengths
    weights = np.ones(len(rows))
    weights[0] = weight
    mean: list[float] = (weights @ rows / weights.sum()).tolist()
    return mean


def _sparse_mean(
    own: models.SparseVector, vectors: Sequence[models.SparseVector], weight: float
) -> models.SparseVector:
    """The query's terms at their own weight, the others' at their mean, by so much less as the query counts more."""
    if not vectors:
        return own
    kept = 1.0 if weight else 0.0
    terms = {index: kept * value for index, value in _terms([own])}
    share = 1 / (len(vectors) * (weight or 1.0))
    for index, value in _terms(vectors):
        terms[index] = terms.get(index, 0.0) + share * value
    heaviest = sorted(terms.items(), key=lambda term: -abs(term[1]))[:_MOST_TERMS]
    used = sorted((index, value) for index, value in heaviest if value)
    return models.SparseVector(indices=[index for index, _ in used], values=[value for _, value in used])


def _terms(vectors: Sequence[models.SparseVector]) -> Iterable[tuple[int, float]]:
    for vector in vectors:
        yield from zip(vector.indices, vector.values, strict=True)


def _is_cosine(collection: CollectionBase, source: Source) -> bool:
    vector = collection.profile.dense.get(source.vector)
    return vector is not None and vector.distance is models.Distance.COSINE


def _cache(encoder: Encoder, role: Role) -> QueryCache:
    key = id(encoder)
    with _LOCK:
        caches = _CACHES.get(key)
        if caches is None:
            caches = _CACHES[key] = {"query": QueryCache(_KEPT), "document": QueryCache(_KEPT)}
            weakref.finalize(encoder, _CACHES.pop, key, None)
        return caches[role]
