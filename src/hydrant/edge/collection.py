"""One collection while its index is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydrant.edge.convert.queries import Planner
from hydrant.edge.convert.results import from_engine_vector
from hydrant.edge.convert.schema import Schema
from hydrant.edge.policy import Policy
from hydrant.edge.shard import Shard
from hydrant.errors import InputError, UnknownVector

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True)
class Collection:
    """What the calls on one collection need.

    Attributes:
        name: Its own name, not an alias.
        shard: Its points.
        schema: Its vectors.
        policy: When its indexes are built.
        planner: Makes the engine's requests from queries.
    """

    name: str
    shard: Shard
    schema: Schema
    policy: Policy
    planner: Planner


def vector_of(collection: Collection, name: str, point_id: int | UUID) -> Any:
    """A point's vector by name, as qdrant-client gives it.

    Raises:
        InputError: No such point.
        UnknownVector: The collection has no vector of that name, or the point has none.
    """
    collection.schema.require(name)
    records = collection.shard.read("retrieve", lambda opened: opened.retrieve([point_id], False, [name]))
    if not records:
        message = f"Point {point_id} is not found in the collection {collection.name!r}"
        raise InputError(message)
    vectors: Any = records[0].vector
    value = vectors.get(name) if isinstance(vectors, dict) else vectors
    if value is None:
        message = f"Vector with name {name!r} for point {point_id} not found"
        raise UnknownVector(message)
    return from_engine_vector(value)
