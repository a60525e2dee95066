"""Qdrant Edge as a backend of qdrant-client, beside its remote and its Python-local one."""

from __future__ import annotations

from typing import Any

from hydrant.edge.collections import Collections
from hydrant.edge.options import check_options
from hydrant.edge.reads import Reads
from hydrant.edge.writes import Writes


class EdgeBackend(Reads, Writes, Collections):
    """Implements `QdrantBase` on the in-process engine.

    `EdgeClient` puts `QdrantClient`'s interface in front of it. Every call may come from any thread.

    Args:
        store: The index to work on.
    """

    def optimize(self, collection_name: str, **kwargs: Any) -> bool:
        """Build what indexes are missing, and wait for it; says whether anything was done."""
        check_options("optimize", kwargs)
        return self.store.indexer.build(self.store.collection(collection_name))
