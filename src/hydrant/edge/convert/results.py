"""What the engine returns, as `qdrant_client.models`.

The values come from the engine and are of the right types already, so the models are built without
validating them again: on a query of ten hits that is most of what a client would otherwise add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import qdrant_edge as engine
from pydantic import BaseModel
from qdrant_client import models

from hydrant.edge.convert.ids import from_engine_id, id_order

if TYPE_CHECKING:
    from collections.abc import Sequence

_Model = TypeVar("_Model", bound=BaseModel)
_set = object.__setattr__
_new = object.__new__
# Every field is in the set, so nobody can add to it, and all objects of a model can share it.
_FIELDS: dict[type[BaseModel], set[str]] = {
    model: set(model.model_fields) for model in (models.ScoredPoint, models.Record)
}


def to_scored_points(
    points: Sequence[engine.ScoredPoint], *, with_payload: bool, with_vectors: Any, break_ties: bool
) -> list[models.ScoredPoint]:
    """Scored points as qdrant-client gives them.

    Args:
        points: The engine's answer, best first.
        with_payload: Whether payloads were asked for: an empty one is then `{}` and not None.
        with_vectors: The vectors that were asked for: all, none or these names. The engine adds the one that it
            diversified by.
        break_ties: Order points of equal score by id. The engine's order among them may change from
            one call to the next.
    """
    found = [_scored(point, with_payload, with_vectors) for point in points]
    if break_ties:
        _order_ties(found)
    return found


def to_pairs(points: Sequence[engine.ScoredPoint]) -> list[tuple[int | str, float]]:
    """Ids and scores alone, for a fusion that needs hundreds of them: models would take ten times as long."""
    return [(from_engine_id(point.id), point.score) for point in points]


def to_record(record: engine.Record, *, with_payload: bool) -> models.Record:
    """A record as qdrant-client gives it."""
    values = {
        "id": from_engine_id(record.id),
        "payload": _payload(record.payload, with_payload=with_payload),
        "vector": from_engine_vectors(record.vector),
        "shard_key": None,
        "order_value": record.order_value,
    }
    return _made(models.Record, values)


def from_engine_vectors(vector: Any) -> Any:
    """A point's vectors as qdrant-client gives them: sparse ones as `models.SparseVector`."""
    if isinstance(vector, dict):
        return {name: from_engine_vector(value) for name, value in vector.items()}
    return vector


def from_engine_vector(value: Any) -> Any:
    """One vector as qdrant-client gives it."""
    if isinstance(value, engine.SparseVector):
        return models.SparseVector.model_construct(indices=value.indices, values=value.values)
    return value


def _scored(point: engine.ScoredPoint, with_payload: bool, with_vectors: Any) -> models.ScoredPoint:
    values = {
        "id": from_engine_id(point.id),
        "version": point.version,
        "score": point.score,
        "payload": _payload(point.payload, with_payload=with_payload),
        "vector": _asked(point.vector, with_vectors) if with_vectors is not False else None,
        "shard_key": None,
        "order_value": point.order_value,
    }
    return _made(models.ScoredPoint, values)


def _asked(vector: Any, with_vectors: Any) -> Any:
    if isinstance(vector, dict) and with_vectors is not True:
        vector = {name: value for name, value in vector.items() if name in with_vectors}
    return from_engine_vectors(vector)


def _made(model: type[_Model], values: dict[str, Any]) -> _Model:
    """What `model_construct` makes when it is given every field, at a fifth of its cost."""
    made: _Model = _new(model)
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", _FIELDS[model])
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


def _payload(payload: dict[str, Any] | None, *, with_payload: bool) -> dict[str, Any] | None:
    if with_payload:
        return payload if payload is not None else {}
    return None


def _order_ties(points: list[models.ScoredPoint]) -> None:
    scores = [point.score for point in points]
    if len(set(scores)) == len(scores):
        return
    start = 0
    for at in range(1, len(points) + 1):
        if at < len(points) and scores[at] == scores[start]:
            continue
        if at - start > 1:
            points[start:at] = sorted(points[start:at], key=lambda point: id_order(point.id))  # type: ignore[arg-type]
        start = at
