"""Indices and weights out of whatever a sparse model returned, checked and pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hydrant.encode.texts import shown
from hydrant.encode.vectors import Batch
from hydrant.errors import ConfigurationError, EncodingError

if TYPE_CHECKING:
    import numpy.typing as npt
    from qdrant_client import models

    Terms: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]

# Qdrant's indices are unsigned integers of 32 bits.
_INDICES = 1 << 32
# A vector with a weight for more of its dimensions than this is a dense one.
_SPARSE_SHARE = 0.5


def checked_vectors(raw: Any, batch: Batch, limit: int | None, model: str) -> list[models.SparseVector]:
    """One sparse vector a text: indices in ascending order, weights above 0, the largest of them kept.

    Args:
        raw: What the model returned: a row of weights over the vocabulary, a dict of weights by index, or something
            with `indices` and `values`, for each text.
        batch: The texts, for the message.
        limit: How many terms are kept at most, by weight, of equal ones the lower index; None keeps all.
        model: The model's name, for the message.

    Raises:
        EncodingError: It is anything else. The message says which text, where it is one text's fault.
        ConfigurationError: The rows are those of a dense model.
    """
    items = list(_items(raw))
    rows = [_terms(item, model) for item in items]
    if len(rows) != len(batch.texts):
        msg = (
            f"model {model} must return a sparse vector for each of {len(batch.texts)} texts; got {len(rows)}"
        )
        raise EncodingError(msg)
    for place, terms in enumerate(rows):
        fault = _fault(terms)
        if fault is not None:
            msg = (
                f"model {model} returned {fault} for texts[{batch.positions[place]}], which begins "
                f"{shown(batch.texts[place])}; leave that text out, or load the model in float32"
            )
            raise EncodingError(msg)
    if limit is None:
        _check_sparse(items, rows, model)
    return [_vector(*_pruned(terms, limit)) for terms in rows]


def _items(raw: Any) -> Any:
    if hasattr(raw, "to_dense"):  # a tensor of torch, sparse or not
        raw = raw.to_dense().detach().float().cpu().numpy()
    # A sparse matrix of scipy
    return raw.toarray() if hasattr(raw, "toarray") else raw


def _terms(item: Any, model: str) -> Terms:
    try:
        if isinstance(item, Mapping):
            return _arrays(list(item.keys()), list(item.values()))
        return _arrays(item.indices, item.values) if _is_sparse(item) else _of_row(_items(item))
    except (TypeError, ValueError, OverflowError) as error:
        msg = (
            f"model {model} must return for each text weights by index: a dict, a SparseVector, or a row over the "
            f"vocabulary; got {type(item).__name__}: {error}"
        )
        raise EncodingError(msg) from error


def _of_row(weights: Any) -> Terms:
    row = np.asarray(weights, dtype=np.float32)
    if row.ndim != 1:
        msg = f"an array of shape {row.shape} where one row is due"
        raise ValueError(msg)
    indices = np.flatnonzero(row).astype(np.int64)
    return indices, row[indices]


def _arrays(indices: Any, values: Any) -> Terms:
    places, weights = np.asarray(indices), np.asarray(values, dtype=np.float32)
    if places.size and not np.issubdtype(places.dtype, np.integer):
        msg = f"indices are whole numbers; got {places.dtype}"
        raise TypeError(msg)
    if places.shape != weights.shape or places.ndim != 1:
        msg = f"{places.size} indices with {weights.size} values"
        raise ValueError(msg)
    return places.astype(np.int64), weights


def _fault(terms: Terms) -> str | None:
    indices, weights = terms
    if not np.isfinite(weights).all():
        return "a weight that is NaN or infinite"
    if len(indices) and (indices.min() < 0 or indices.max() >= _INDICES):
        return f"an index that is not from 0 to {_INDICES - 1}"
    return "an index twice" if len(np.unique(indices)) != len(indices) else None


def _check_sparse(items: list[Any], rows: list[Terms], model: str) -> None:
    sizes = [0 if _is_sparse(item) else len(item) for item in items]
    weighted = sum(len(indices) for (indices, _), size in zip(rows, sizes, strict=True) if size)
    if weighted > _SPARSE_SHARE * sum(sizes) > 0:
        msg = (
            f"model {model} returns rows of {max(sizes)} numbers of which {weighted / sum(sizes):.0%} are not 0: those "
            "are dense vectors, which are DenseEncoder's; where they are weights over a vocabulary, set max_terms and "
            "max_query_terms to say how many are kept"
        )
        raise ConfigurationError(msg)


def _is_sparse(item: Any) -> bool:
    return isinstance(item, Mapping) or (hasattr(item, "indices") and hasattr(item, "values"))


def _pruned(terms: Terms, limit: int | None) -> Terms:
    indices, weights = terms
    kept = weights > 0
    indices, weights = indices[kept], weights[kept]
    if limit is not None and len(indices) > limit:
        largest = np.lexsort((indices, -weights))[:limit]
        indices, weights = indices[largest], weights[largest]
    order = np.argsort(indices)
    return indices[order], weights[order]


def _vector(indices: npt.NDArray[np.int64], weights: npt.NDArray[np.float32]) -> models.SparseVector:
    from qdrant_client import models

    # Checked above, and much faster than by pydantic.
    return models.SparseVector.model_construct(indices=indices.tolist(), values=weights.tolist())
