"""Qdrant Edge behind qdrant-client's own interface.

`EdgeClient` is a `QdrantClient`, `AsyncEdgeClient` an `AsyncQdrantClient`; both search a folder with Qdrant's
engine in this process. What the engine cannot do raises `UnsupportedByEdge`, which names the call.
"""

from __future__ import annotations

from hydrant.edge.async_backend import AsyncEdgeBackend
from hydrant.edge.async_client import AsyncEdgeClient
from hydrant.edge.backend import EdgeBackend
from hydrant.edge.client import EdgeClient

__all__ = ["AsyncEdgeBackend", "AsyncEdgeClient", "EdgeBackend", "EdgeClient"]
