"""Query vectors that come from outside, checked before anything is asked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from qdrant_client import models

from hydrant.collection.profile import Profile
from hydrant.collection.sources import Source
from hydrant.encode.base import Kind
from hydrant.errors import VectorMismatch


def checked_query(vector: Any, kind: Kind, profile: Profile, source: Source) -> Any:
    """What a source is asked with: a vector of its kind, or a ready query on such vectors.

    Raises:
        VectorMismatch: It is something else.
    """
    if isinstance(vector, models.RelevanceFeedbackQuery):
        target = vector.relevance_feedback.target
        if isinstance(target, list | models.SparseVector):
            checked_query(target, kind, profile, source)
        return vector
    if kind == "sparse":
        return checked_sparse(vector, source.name)
    size = profile.dense[source.vector].size
    return (checked_dense if kind == "dense" else checked_multi)(vector, size, source.name)


def checked_multi(vector: Any, size: int, source: str) -> list[list[float]]:
    """The vectors as lists of `size` finite floats, at least one.

    Raises:
        VectorMismatch: They are something else.
    """
    rows = vector.tolist() if isinstance(vector, np.ndarray) else vector
    if not isinstance(rows, list) or not rows:
        msg = f"the query vectors of source {source!r} must be a list of at least one vector, got {vector!r}"
        raise VectorMismatch(msg)
    return [checked_dense(row, size, source) for row in rows]


def checked_dense(vector: Any, size: int, source: str) -> list[float]:
    """The vector as a list of `size` finite floats.

    Raises:
        VectorMismatch: It is something else.
    """
    try:
        values: list[float] = vector if isinstance(vector, list) else [float(value) for value in vector]
        # One NaN or infinity makes the sum one too.
        finite = math.isfinite(sum(values))
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"the query vector of source {source!r} must be {size} numbers, got {type(vector).__name__}: {error}"
        raise VectorMismatch(msg) from error
    if len(values) != size:
        msg = (
            f"the query vector of source {source!r} has {len(values)} dimensions, the collection's have {size}; "
            "open the collection with the encoder that made it"
        )
        raise VectorMismatch(msg)
    if not finite:
        msg = f"the query vector of source {source!r} has values that are not finite"
        raise VectorMismatch(msg)
    return values


def checked_sparse(vector: Any, source: str) -> models.SparseVector:
    """The vector, with as many finite values as different indices.

    Raises:
        VectorMismatch: It is something else.
    """
    if not isinstance(vector, models.SparseVector):
        msg = f"the query vector of source {source!r} must be a models.SparseVector, got {type(vector).__name__}"
        raise VectorMismatch(msg)
    if not len(vector.indices) == len(set(vector.indices)) == len(vector.values):
        msg = (
            f"the query vector of source {source!r} needs one value for each of its different indices, got "
            f"{len(vector.values)} values and {len(vector.indices)} indices, {len(set(vector.indices))} of them different"
        )
        raise VectorMismatch(msg)
    if not math.isfinite(sum(vector.values)):
        msg = f"the query vector of source {source!r} has values that are not finite"
        raise VectorMismatch(msg)
    return vector
