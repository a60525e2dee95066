"""`AsyncEdgeClient`: qdrant-client's async interface on the in-process engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import AsyncQdrantClient
from qdrant_client.async_qdrant_fastembed import AsyncQdrantFastembedMixin
from qdrant_client.embed.type_inspector import Inspector

from hydrant.edge import inference
from hydrant.edge.async_backend import AsyncEdgeBackend
from hydrant.edge.backend import EdgeBackend
from hydrant.edge.store import Store

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from qdrant_client import models
    from qdrant_client.conversions import common_types as types

    from hydrant.edge.client import EdgeClient


class AsyncEdgeClient(AsyncQdrantClient):
    """An `AsyncQdrantClient` whose collections live in a folder; see `EdgeClient`.

    The engine works in threads, so the event loop stays free while it does.

    Args:
        location: The index folder, made where it is missing; or ``":memory:"`` for a temporary one.
    """

    _client: AsyncEdgeBackend

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self._attach(EdgeBackend(Store(location)))

    def _attach(self, backend: EdgeBackend) -> None:
        """Do what `AsyncQdrantClient.__init__` does, with this backend in the place of the one it would choose."""
        self._init_options = {"location": backend.store.location}
        self._client = AsyncEdgeBackend(backend)
        self.cloud_inference = False
        self.local_inference_batch_size = None
        self._inference_inspector = Inspector()
        AsyncQdrantFastembedMixin.__init__(self, parser=self._inference_inspector.parser, is_local_mode=True)

    @classmethod
    def over(cls, backend: EdgeBackend) -> Self:
        """A client on an engine that is open already; closing either closes both."""
        client = cls.__new__(cls)
        client._attach(backend)  # noqa: SLF001 -- an instance of this class
        return client

    @property
    def location(self) -> str:
        """The index folder as it was given, or ``":memory:"``."""
        return self._client.sync.store.location

    def sync_client(self) -> EdgeClient:
        """The synchronous client on the same engine; closing either closes both."""
        from hydrant.edge.client import EdgeClient

        return EdgeClient.over(self._client.sync)

    async def optimize(self, collection_name: str) -> bool:
        """Build the indexes that are missing, and wait for it; see `EdgeClient.optimize`."""
        done: bool = await self._client.run("optimize", collection_name)
        return done

    async def query_batch_scores(
        self, collection_name: str, requests: Sequence[models.QueryRequest]
    ) -> list[list[tuple[int | str, float]]]:
        """As `query_batch_points`, but ids and scores alone; see `EdgeClient.query_batch_scores`."""
        found: list[list[tuple[int | str, float]]]
        found = await self._client.run("query_batch_scores", collection_name, requests)
        return found

    async def close(self, grpc_grace: float | None = None, **kwargs: Any) -> None:
        """Write everything to disk and give the folder back; a second call does nothing."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def query_points(
        self,
        collection_name: str,
        query: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> types.QueryResponse:
        """As `AsyncQdrantClient.query_points`, without the inspection where there is nothing to embed."""
        if isinstance(query, np.ndarray):
            query = query.tolist()
        prefetch = args[1] if len(args) > 1 else kwargs.get("prefetch")
        if inference.in_query(query) or inference.in_prefetch(prefetch):
            return await super().query_points(collection_name, query, *args, **kwargs)
        return await self._client.query_points(collection_name, query, *args, **kwargs)
