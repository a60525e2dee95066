"""The operations of `batch_update_points`, each as the engine's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

from hydrant.edge.convert import points
from hydrant.errors import InputError, UnsupportedByEdge

if TYPE_CHECKING:
    from hydrant.edge.change import Change
    from hydrant.edge.convert.schema import Schema


def to_change(schema: Schema, operation: Any) -> Change:  # noqa: PLR0911 -- one return for each kind
    """One operation of a batch as a change to a shard.

    Args:
        schema: The collection's vectors.
        operation: One of `models.UpdateOperation`.

    Raises:
        InputError: Not such an operation, or wrong values in it.
        UnsupportedByEdge: It names a shard key.
    """
    body = _body(operation)
    if getattr(body, "shard_key", None) is not None:
        message = f"shard_key={body.shard_key!r}: an embedded collection has one shard"
        raise UnsupportedByEdge(message)
    if isinstance(operation, models.UpsertOperation):
        given = body.batch if isinstance(body, models.PointsBatch) else body.points
        return points.upsert(schema, given, body.update_filter, body.update_mode)
    if isinstance(operation, models.UpdateVectorsOperation):
        return points.update_vectors(schema, body.points, body.update_filter)
    if isinstance(operation, models.DeleteOperation):
        return points.delete(body)
    if isinstance(operation, models.ClearPayloadOperation):
        return points.clear_payload(body)
    selector = body.points if body.points is not None else body.filter
    if isinstance(operation, models.DeleteVectorsOperation):
        return points.delete_vectors(schema, body.vector, selector)
    if isinstance(operation, models.DeletePayloadOperation):
        return points.delete_payload(body.keys, selector)
    if isinstance(operation, models.SetPayloadOperation):
        return points.set_payload(body.payload, selector, body.key)
    return points.overwrite_payload(body.payload, selector, body.key)


def _body(operation: Any) -> Any:
    kinds: dict[Any, str] = {
        models.UpsertOperation: "upsert",
        models.DeleteOperation: "delete",
        models.SetPayloadOperation: "set_payload",
        models.OverwritePayloadOperation: "overwrite_payload",
        models.DeletePayloadOperation: "delete_payload",
        models.ClearPayloadOperation: "clear_payload",
        models.UpdateVectorsOperation: "update_vectors",
        models.DeleteVectorsOperation: "delete_vectors",
    }
    name = kinds.get(type(operation))
    if name is None:
        message = f"expected an update operation of qdrant_client.models, got {operation!r}"
        raise InputError(message)
    return getattr(operation, name)
