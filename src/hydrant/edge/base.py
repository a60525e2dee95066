"""What every part of the backend works with: the store, and the collections in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client.client_base import QdrantBase

if TYPE_CHECKING:
    from hydrant.edge.store import Store


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
