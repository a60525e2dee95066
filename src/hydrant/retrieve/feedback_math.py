"""Queries moved towards what they found: the arithmetic of vector feedback.

Average and Rocchio as in Li, Mourad, Zhuang, Koopman and Zuccon, "Pseudo Relevance Feedback with Deep Language Models and
Dense Retrievers: Successes and Pitfalls", TOIS 2023; Rocchio, "Relevance feedback in information retrieval", 1971. They
take vectors as the model made them, for inner products. Where a collection compares by cosine a long vector would count
for more than the search lets it, so `normalize` brings every vector to length 1 first, and the result too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
from qdrant_client import models

from hydrant.errors import ConfigurationError, VectorMismatch

Dense: TypeAlias = "Sequence[float] | npt.NDArray[Any]"
Row: TypeAlias = "npt.NDArray[np.float64]"


@overload
def average(query: Dense, documents: Sequence[Dense], *, normalize: bool = ...) -> list[float]: ...
@overload
def average(
    query: models.SparseVector,
    documents: Sequence[models.SparseVector],
    *,
    normalize: bool = ...,
    top_terms: int | None = ...,
) -> models.SparseVector: ...
def average(
    query: Any, documents: Sequence[Any], *, normalize: bool = False, top_terms: int | None = None
) -> list[float] | models.SparseVector:
    """The mean of the query and the documents it found, each counting the same; three documents served best.

    Args:
        query: The query's vector: numbers, or a sparse vector.
        documents: The vectors of the best hits, of the same kind; without any the query stays what it is.
        normalize: Bring every vector to length 1 first, and the result too, for collections that compare by cosine.
        top_terms: Keep only so many terms of a sparse result, the heaviest.

    Raises:
        VectorMismatch: The vectors are of several kinds or sizes, or have values that are not finite.
        ConfigurationError: `top_terms` is below 1, or set for dense vectors.
    """
    share = 1 / (1 + len(documents))
    parts = [(query, share), *((document, share) for document in documents)]
    return _combined(parts, normalize=normalize, top_terms=top_terms)


@overload
def rocchio(
    query: Dense,
    positive: Sequence[Dense],
    negative: Sequence[Dense] = ...,
    *,
    alpha: float = ...,
    beta: float = ...,
    gamma: float = ...,
    normalize: bool = ...,
) -> list[float]: ...
@overload
def rocchio(
    query: models.SparseVector,
    positive: Sequence[models.SparseVector],
    negative: Sequence[models.SparseVector] = ...,
    *,
    alpha: float = ...,
    beta: float = ...,
    gamma: float = ...,
    normalize: bool = ...,
    top_terms: int | None = ...,
) -> models.SparseVector: ...
def rocchio(
    query: Any,
    positive: Sequence[Any],
    negative: Sequence[Any] = (),
    *,
    alpha: float = 0.4,
    beta: float = 0.6,
    gamma: float = 0.15,
    normalize: bool = False,
    top_terms: int | None = None,
) -> list[float] | models.SparseVector:
    """Move a query: alpha * query + beta * mean(positive) - gamma * mean(negative); five positive documents served best.

    A term that comes out below 0 is left out of a sparse result: no text is to be found for lacking a word.

    Args:
        query: The query's vector: numbers, or a sparse vector.
        positive: The vectors of documents that are taken for relevant, of the same kind.
        negative: Those of documents that are taken for irrelevant.
        alpha: How much the query counts.
        beta: How much the positive documents count, together.
        gamma: How much the negative documents count, together.
        normalize: Bring every vector to length 1 first, and the result too, for collections that compare by cosine.
        top_terms: Keep only so many terms of a sparse result, the heaviest.

    Raises:
        VectorMismatch: The vectors are of several kinds or sizes, or have values that are not finite.
        ConfigurationError: A factor is negative or not finite, `alpha` and `beta` are both 0, `top_terms` is below 1 or
            set for dense vectors.
    """
    for name, factor in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor < math.inf:
            msg = f"{name} must be a finite number of at least 0; got {factor!r}"
            raise ConfigurationError(msg)
    if alpha == beta == 0:
        msg = f"alpha or beta must be above 0, or nothing is left to search with; got alpha={alpha!r}, beta={beta!r}"
        raise ConfigurationError(msg)
    parts = [(query, alpha)]
    parts += [(document, beta / len(positive)) for document in positive]
    parts += [(document, -gamma / len(negative)) for document in negative]
    return _combined(parts, normalize=normalize, top_terms=top_terms)


def _combined(
    parts: Sequence[tuple[Any, float]], *, normalize: bool, top_terms: int | None
) -> list[float] | models.SparseVector:
    """The weighted sum of vectors of one kind, that of the first."""
    _check_top_terms(top_terms, parts[0][0])
    if isinstance(parts[0][0], models.SparseVector):
        return _sparse_sum(parts, normalize=normalize, top_terms=top_terms)
    rows = [_row(vector, place) for place, (vector, _) in enumerate(parts)]
    for place, row in enumerate(rows):
        if len(row) != len(rows[0]):
            msg = f"{_called(place)} has {len(row)} dimensions, the query {len(rows[0])}; take both from one source"
            raise VectorMismatch(msg)
    factors = np.array([factor for _, factor in parts])
    total = factors @ np.stack([_unit(row) for row in rows] if normalize else rows)
    return [float(value) for value in (_unit(total) if normalize else total)]


def _sparse_sum(
    parts: Sequence[tuple[Any, float]], *, normalize: bool, top_terms: int | None
) -> models.SparseVector:
    totals: dict[int, float] = {}
    for place, (vector, factor) in enumerate(parts):
        for index, value in _weights(vector, place, normalize=normalize).items():
            totals[index] = totals.get(index, 0.0) + factor * value
    # Equal weights: the lower index first, so that the same terms are kept every time.
    heaviest = sorted((item for item in totals.items() if item[1] > 0), key=lambda item: (-item[1], item[0]))
    kept = sorted(heaviest[:top_terms])
    values = _unit(np.array([value for _, value in kept])) if normalize else (value for _, value in kept)
    return models.SparseVector(
        indices=[index for index, _ in kept], values=[float(value) for value in values]
    )


def _row(vector: Any, place: int) -> Row:
    try:
        row = np.asarray(vector, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{_called(place)} must be a list of numbers, as the query is; got {type(vector).__name__}: {error}"
        raise VectorMismatch(msg) from error
    if row.ndim != 1 or not len(row):
        msg = f"{_called(place)} must be a list of numbers; got an array of shape {row.shape}"
        raise VectorMismatch(msg)
    _check_finite(row, place)
    return row


def _weights(vector: Any, place: int, *, normalize: bool) -> Mapping[int, float]:
    if not isinstance(vector, models.SparseVector):
        msg = f"{_called(place)} must be a models.SparseVector, as the query is; got {type(vector).__name__}"
        raise VectorMismatch(msg)
    if not len(vector.indices) == len(set(vector.indices)) == len(vector.values):
        msg = (
            f"{_called(place)} needs one value for each of its different indices; got {len(vector.values)} values and "
            f"{len(vector.indices)} indices, {len(set(vector.indices))} of them different"
        )
        raise VectorMismatch(msg)
    values = np.asarray(vector.values, dtype=np.float64)
    _check_finite(values, place)
    return dict(zip(vector.indices, (_unit(values) if normalize else values).tolist(), strict=True))


def _unit(row: Row) -> Row:
    """The row at length 1; zeros stay zeros."""
    length = float(np.linalg.norm(row))
    return row / length if length else row


def _check_finite(row: Row, place: int) -> None:
    if not np.isfinite(row).all():
        msg = f"{_called(place)} has values that are not finite"
        raise VectorMismatch(msg)


def _check_top_terms(top_terms: int | None, query: object) -> None:
    if top_terms is None:
        return
    if isinstance(top_terms, bool) or not isinstance(top_terms, int) or top_terms < 1:
        msg = f"top_terms must be a whole number of at least 1; got {top_terms!r}"
        raise ConfigurationError(msg)
    if not isinstance(query, models.SparseVector):
        msg = f"top_terms={top_terms} is for sparse vectors; the query's is dense"
        raise ConfigurationError(msg)


def _called(place: int) -> str:
    return "the query's vector" if place == 0 else f"the vector of feedback document {place}"
