"""What every part of the backend works with: the store, and the collections in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client.client_base import QdrantBase

from hydrant.edge.convert.results import from_engine_vector
from hydrant.errors import InputError, UnknownVector

if TYPE_CHECKING:
    from uuid import UUID

    from hydrant.edge.store import Collection, Store


class BackendBase(QdrantBase):
    """The store behind a backend, and how a collection is found in it.

    Args:
        store: The index; it is opened at the first call that needs it.
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    @property
    def closed(self) -> bool:
        """Whether the index was closed."""
        return self.store.closed

    def close(self, **_kwargs: Any) -> None:
        """Write everything to disk and give the folder back; a second call does nothing."""
        self.store.close()

    def _vector_of(self, collection: Collection, name: str, point_id: int | UUID) -> Any:  # noqa: ANN401
        """A point's vector by name, as qdrant-client gives it."""
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
