"""`EdgeClient`: qdrant-client's interface on the in-process engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client.embed.type_inspector import Inspector
from qdrant_client.qdrant_fastembed import QdrantFastembedMixin

from hydrant.edge import inference
from hydrant.edge.backend import EdgeBackend
from hydrant.edge.store import Store

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from qdrant_client import models
    from qdrant_client.conversions import common_types as types

    from hydrant.edge.async_client import AsyncEdgeClient


class EdgeClient(QdrantClient):
    """A `QdrantClient` whose collections live in a folder, searched by Qdrant's own engine in this process.

    Whatever takes a `QdrantClient` takes this. Nothing is read or written before the first call; then the folder
    belongs to this client until it is closed, garbage collected, or the program ends.

    Args:
        location: The index folder, made where it is missing; or ``":memory:"`` for a temporary one, removed when
            the client is closed or the program ends.

    Raises (at the first call):
        CollectionInUse: Another client holds the folder.
        FormatError: The path is a file, another program's folder, or was written by a newer version.
        StorageError: The folder cannot be made, read or written.

    Examples:
        >>> from qdrant_client import models
        >>> with EdgeClient(":memory:") as client:
        ...     client.create_collection(
        ...         "docs", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE)
        ...     )
        ...     client.upsert("docs", [models.PointStruct(id=1, vector=[0.6, 0.8], payload={"text": "hello"})])
        ...     client.query_points("docs", query=[0.0, 1.0]).points[0].payload
        True
        UpdateResult(operation_id=0, status=<UpdateStatus.COMPLETED: 'completed'>)
        {'text': 'hello'}
    """

    _client: EdgeBackend

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self._attach(EdgeBackend(Store(location)))

    def _attach(self, backend: EdgeBackend) -> None:
        """Do what `QdrantClient.__init__` does, with this backend in the place of the one it would choose."""
        self._init_options = {"location": backend.store.location}
        self._client = backend
        self.cloud_inference = False
        self.local_inference_batch_size = None
        self._inference_inspector = Inspector()
        QdrantFastembedMixin.__init__(self, parser=self._inference_inspector.parser, is_local_mode=True)

    @classmethod
    def over(cls, backend: EdgeBackend) -> Self:
        """A client on an engine that is open already; closing either closes both."""
        client = cls.__new__(cls)
        client._attach(backend)  # noqa: SLF001 -- an instance of this class
        return client

    @property
    def location(self) -> str:
        """The index folder as it was given, or ``":memory:"``."""
        return self._client.store.location

    def async_client(self) -> AsyncEdgeClient:
        """The async client on the same engine; closing either closes both."""
        from hydrant.edge.async_client import AsyncEdgeClient

        return AsyncEdgeClient.over(self._client)

    def optimize(self, collection_name: str) -> bool:
        """Build the indexes that are missing, and wait for it.

        It also happens by itself in the background once enough vectors are waiting.

        Returns:
            Whether there was anything to do.
        """
        return self._client.optimize(collection_name)

    def close(self, grpc_grace: float | None = None, **kwargs: Any) -> None:
        """Write everything to disk and give the folder back; a second call does nothing."""
        backend = getattr(self, "_client", None)
        if backend is not None:
            backend.close()

    def __del__(self) -> None:
        # The store closes itself once nobody holds it; an async client may still be using it.
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query_points(  # type: ignore[override]
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | list[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        lookup_from: models.LookupLocation | None = None,
        **kwargs: Any,
    ) -> types.QueryResponse:
        """As `QdrantClient.query_points`, without the inspection where there is nothing to embed."""
        if isinstance(query, np.ndarray):
            query = query.tolist()
        embed = inference.in_query(query) or inference.in_prefetch(prefetch)
        call = super().query_points if embed else self._client.query_points
        return call(
            collection_name,
            query=query,
            using=using,
            prefetch=prefetch,
            query_filter=query_filter,
            search_params=search_params,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vectors=with_vectors,
            score_threshold=score_threshold,
            lookup_from=lookup_from,
            **kwargs,
        )

    def query_batch_points(
        self, collection_name: str, requests: Sequence[models.QueryRequest], *args: Any, **kwargs: Any
    ) -> list[types.QueryResponse]:
        """As `QdrantClient.query_batch_points`, without the inspection where there is nothing to embed."""
        if any(inference.in_query(item.query) or inference.in_prefetch(item.prefetch) for item in requests):
            return super().query_batch_points(collection_name, requests, *args, **kwargs)
        return self._client.query_batch_points(
            collection_name, requests, **_named(args, kwargs, "consistency")
        )

    def query_batch_scores(
        self, collection_name: str, requests: Sequence[models.QueryRequest]
    ) -> list[list[tuple[int | str, float]]]:
        """As `query_batch_points`, but ids and scores alone, for who ranks further by himself.

        Building hundreds of `ScoredPoint` objects takes as long as a search; the pairs take a tenth of it. Payloads
        and vectors that a request asks for are not read. The order among equal scores is the engine's.

        Args:
            collection_name: The collection.
            requests: The queries, with vectors: nothing is embedded here.
        """
        return self._client.query_batch_scores(collection_name, requests)

    def upsert(self, collection_name: str, points: Any, *args: Any, **kwargs: Any) -> models.UpdateResult:
        """As `QdrantClient.upsert`, without the inspection where there is nothing to embed."""
        if inference.in_points(points):
            return super().upsert(collection_name, points, *args, **kwargs)
        return self._client.upsert(collection_name, points, **_named(args, kwargs, "wait", "ordering"))


def _named(args: tuple[Any, ...], kwargs: dict[str, Any], *names: str) -> dict[str, Any]:
    """Keyword arguments from those that a caller gave by position."""
    return {**dict(zip(names, args, strict=False)), **kwargs}
