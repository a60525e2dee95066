"""Points and changes to points, from `qdrant_client.models` to the engine's update operations.

Everything is checked before an operation is made: what reaches the engine's write-ahead log is replayed at
every later open, so nothing the engine would choke on may get that far.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.change import BY_FILTER, Change
from hydrant.edge.convert.enums import to_engine
from hydrant.edge.convert.filters import to_engine_filter
from hydrant.edge.convert.ids import to_engine_id, to_engine_ids
from hydrant.edge.convert.payloads import to_engine_payload
from hydrant.edge.convert.vectors import to_engine_vectors
from hydrant.edge.faults import checked
from hydrant.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hydrant.edge.convert.schema import Schema

Update = engine.UpdateOperation


@checked
def upsert(
    schema: Schema,
    points: Any,
    update_filter: models.Filter | None = None,
    update_mode: models.UpdateMode | None = None,
) -> Change:
    """The operation that writes points.

    Raises:
        InputError: No points, a wrong id or a payload that is no JSON.
        UnknownVector: A vector name that the collection lacks.
        VectorMismatch: A vector of the wrong size or kind, or not finite.
    """
    if isinstance(points, models.Batch):
        rows = list(_batch_rows(points))
    else:
        rows = [_row(point) for point in points]
    if not rows:
        message = "no points to upsert; expected at least one"
        raise InputError(message)
    converted = [
        engine.Point(to_engine_id(id_), to_engine_vectors(schema, vector), to_engine_payload(payload))
        for id_, vector, payload in rows
    ]
    mode = to_engine(engine.UpdateMode, update_mode) if update_mode is not None else None
    operation = Update.upsert_points(converted, to_engine_filter(update_filter), mode)
    return Change(operation, upserted=len(converted))


@checked
def update_vectors(
    schema: Schema, points: Sequence[models.PointVectors], update_filter: models.Filter | None = None
) -> Change:
    """The operation that replaces vectors of existing points; raises as `upsert` does."""
    if not points:
        message = "no vectors to update; expected at least one point"
        raise InputError(message)
    converted = [
        engine.PointVectors(to_engine_id(point.id), to_engine_vectors(schema, point.vector))
        for point in points
    ]
    return Change(Update.update_vectors(converted, to_engine_filter(update_filter)), upserted=len(converted))


@checked
def delete(selector: Any) -> Change:
    """The operation that deletes points."""
    ids, filter_ = select(selector)
    if filter_ is None:
        return Change(Update.delete_points(ids), removed=len(ids))
    return Change(Update.delete_points_by_filter(filter_), removed=BY_FILTER)


@checked
def delete_vectors(
    schema: Schema,
    names: Sequence[str],
    selector: Any,
) -> Change:
    """The operation that removes named vectors from points; raises `UnknownVector` for a name without one."""
    for name in names:
        schema.require(name)
    ids, filter_ = select(selector)
    if filter_ is None:
        return Change(Update.delete_vectors(ids, list(names)), removed=len(ids))
    return Change(Update.delete_vectors_by_filter(filter_, list(names)), removed=BY_FILTER)


@checked
def set_payload(
    payload: Any,
    selector: Any,
    key: str | None = None,
) -> Change:
    """The operation that merges a payload into those of points."""
    plain = to_engine_payload(payload)
    ids, filter_ = select(selector)
    if filter_ is None:
        return Change(Update.set_payload(ids, plain, key))
    return Change(Update.set_payload_by_filter(filter_, plain, key))


@checked
def overwrite_payload(
    payload: Any,
    selector: Any,
    key: str | None = None,
) -> Change:
    """The operation that replaces the payloads of points."""
    plain = to_engine_payload(payload)
    ids, filter_ = select(selector)
    if filter_ is None:
        return Change(Update.overwrite_payload(ids, plain, key))
    return Change(Update.overwrite_payload_by_filter(filter_, plain, key))


@checked
def delete_payload(keys: Sequence[str], selector: Any) -> Change:
    """The operation that removes keys from the payloads of points."""
    ids, filter_ = select(selector)
    if filter_ is None:
        return Change(Update.delete_payload(ids, list(keys)))
    return Change(Update.delete_payload_by_filter(filter_, list(keys)))


@checked
def clear_payload(selector: Any) -> Change:
    """The operation that empties the payloads of points."""
    ids, filter_ = select(selector)
    return Change(Update.clear_payload(ids) if filter_ is None else Update.clear_payload_by_filter(filter_))


def select(selector: Any) -> tuple[list[Any], engine.Filter | None]:
    """What a selector means: ids, or a filter where it is one.

    Raises:
        InputError: Not ids, a filter, or one of the selectors of `models`.
    """
    if isinstance(selector, models.FilterSelector):
        selector = selector.filter
    if isinstance(selector, models.PointIdsList):
        selector = selector.points
    if isinstance(selector, models.Filter):
        return [], to_engine_filter(selector)
    if isinstance(selector, (list, tuple, set)):
        return to_engine_ids(selector), None
    if isinstance(selector, (int, str)) or hasattr(selector, "hex"):
        return [to_engine_id(selector)], None
    message = (
        f"expected ids, a Filter or a selector of qdrant_client.models to say which points; got {selector!r}"
    )
    raise InputError(message)


def _row(point: Any) -> tuple[Any, Any, Any]:
    try:
        return point.id, point.vector, point.payload
    except AttributeError as error:
        message = f"expected a models.PointStruct, got {point!r}"
        raise InputError(message) from error


def _batch_rows(batch: models.Batch) -> Iterable[tuple[Any, Any, Any]]:
    count = len(batch.ids)
    vectors: Any = batch.vectors
    if isinstance(vectors, dict):
        _require_length("vectors", {name: len(column) for name, column in vectors.items()}, count)
        vectors = [{name: column[row] for name, column in vectors.items()} for row in range(count)]
    else:
        _require_length("vectors", {"": len(vectors)}, count)
    if batch.payloads is None:
        return zip(batch.ids, vectors, repeat(None))
    _require_length("payloads", {"": len(batch.payloads)}, count)
    return zip(batch.ids, vectors, batch.payloads, strict=True)


def _require_length(what: str, lengths: dict[str, int], expected: int) -> None:
    for name, length in lengths.items():
        if length != expected:
            named = f" {name!r}" if name else ""
            message = f"a batch of {expected} ids needs {expected} {what}{named}; got {length}"
            raise InputError(message)
