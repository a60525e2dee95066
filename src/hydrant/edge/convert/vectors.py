"""Vectors on their way into the engine, checked before they can reach its write-ahead log."""

from __future__ import annotations

from math import hypot
from typing import TYPE_CHECKING, Any

import numpy as np
import qdrant_edge as engine
from qdrant_client import models

from hydrant.errors import VectorMismatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hydrant.edge.convert.schema import DenseField, Schema

F32_MAX = 3.4028234663852886e38
U32_MAX = 2**32 - 1
_SHOWN = 80


def to_engine_vectors(schema: Schema, vector: Any) -> Any:
    """A point's vectors, as the engine takes them.

    Args:
        schema: The collection's vectors.
        vector: `models.VectorStruct`, or numpy arrays in the places of its lists.

    Raises:
        UnknownVector: A name that the collection lacks.
        VectorMismatch: A wrong size or kind, or a value that is not finite.
    """
    if isinstance(vector, dict):
        return {name: to_engine_vector(schema, name, value) for name, value in vector.items()}
    return to_engine_vector(schema, "", vector)


def to_engine_vector(schema: Schema, name: str, value: Any) -> Any:
    """One named vector to store, as the engine takes it; raises as `to_engine_vectors` does."""
    field = schema.dense.get(name)
    if field is None:
        if name not in schema.sparse:
            raise schema.unknown(name)
        return _sparse(schema, name, value)
    return _multi(schema, name, field, value) if field.multi else dense(schema, name, field, value)


def to_engine_query_vector(schema: Schema, name: str, value: Any) -> Any:
    """A vector to search with; a multivector field also takes one plain vector."""
    field = schema.dense.get(name)
    if field is not None and field.multi and not _is_nested(value):
        value = [value]
    return to_engine_vector(schema, name, value)


def dense(schema: Schema, name: str, field: DenseField, value: Any) -> list[float]:
    """A dense vector as a list of finite floats of the field's size."""
    values = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(values, (list, tuple)):
        raise _mismatch(schema, name, f"a dense vector of {field.size} numbers", value)
    if len(values) != field.size:
        message = (
            f"vector {name!r} of collection {schema.collection!r} has size {field.size}; "
            f"got {len(values)} numbers"
        )
        raise VectorMismatch(message)
    require_finite(schema, name, values)
    return values  # type: ignore[return-value]  # a tuple serves the engine as well as a list


def require_finite(schema: Schema, name: str, values: Sequence[Any]) -> None:
    """Refuse NaN, infinities and numbers too large for 32 bits, which the engine would store."""
    try:
        # No component is larger than the length, and any NaN or infinity carries through: one pass in C.
        if hypot(*values) <= F32_MAX:
            return
    except TypeError as error:
        raise _mismatch(schema, name, "a flat list of numbers", values) from error
    at = next((i for i, item in enumerate(values) if not abs(item) <= F32_MAX), None)
    if at is not None:
        message = (
            f"vector {name!r} of collection {schema.collection!r} must hold finite 32-bit numbers; "
            f"got {values[at]!r} at position {at}"
        )
        raise VectorMismatch(message)


def _multi(schema: Schema, name: str, field: DenseField, value: Any) -> list[list[float]]:
    rows = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(rows, (list, tuple)) or len(rows) == 0 or not _is_nested(rows):
        raise _mismatch(schema, name, f"a non-empty list of vectors of {field.size} numbers", value)
    return [dense(schema, name, field, row) for row in rows]


def _sparse(schema: Schema, name: str, value: Any) -> engine.SparseVector:
    if isinstance(value, dict):
        value = models.SparseVector(**value)
    if not isinstance(value, models.SparseVector):
        raise _mismatch(schema, name, "a SparseVector", value)
    indices, values = value.indices, value.values
    if len(indices) != len(values):
        expected = f"as many indices as values ({len(indices)} and {len(values)})"
        raise _mismatch(schema, name, expected, value)
    if indices:
        if len(set(indices)) != len(indices):
            raise _mismatch(schema, name, "unique indices", value)
        if min(indices) < 0 or max(indices) > U32_MAX:
            raise _mismatch(schema, name, f"indices between 0 and {U32_MAX}", value)
        require_finite(schema, name, values)
    return engine.SparseVector(indices, values)


def _is_nested(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 1
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and isinstance(value[0], (list, tuple, np.ndarray))
    )


def _mismatch(schema: Schema, name: str, expected: str, got: object) -> VectorMismatch:
    shown = repr(got)
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
    return VectorMismatch(
        f"vector {name!r} of collection {schema.collection!r}: expected {expected}, got {shown}"
    )
