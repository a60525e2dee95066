"""`Collection`: the object a user holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from hydrant.collection import opening
from hydrant.collection.base import CollectionBase
from hydrant.collection.calls import Clients
from hydrant.collection.payload import PayloadMap
from hydrant.errors import ConfigurationError
from hydrant.flow import arun, run
from hydrant.ingest.chunk import Chunker
from hydrant.ingest.indexer import Indexer
from hydrant.ingest.settings import IndexerSettings
from hydrant.retrieve.retriever import DEFAULT_DEPTH, DEFAULT_FUSION, Retriever

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient

    from hydrant.encode.base import Encoder
    from hydrant.retrieve.fusion import Fusion


class Collection(CollectionBase):
    """A Qdrant collection with its encoders: index into it, search it.

    Made by `create` for a new one and `open` for one that is there, ours or anybody's. The client is yours: a
    `hydrant.EdgeClient` for the embedded engine, or any `qdrant_client.QdrantClient`; give an `AsyncQdrantClient` beside it
    where async calls should not borrow threads.
    """

    @classmethod
    def create(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        name: str,
        *,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        fields: Mapping[str, str | models.PayloadSchemaType] | None = None,
        tenant: str | None = None,
        distance: models.Distance = models.Distance.COSINE,
        payload: PayloadMap | None = None,
        options: Mapping[str, Any] | None = None,
        async_client: AsyncQdrantClient | None = None,
    ) -> Collection:
        """Make a new collection.

        Args:
            client: Where.
            name: Its name.
            dense: The encoder of its dense vectors, for instance `DenseEncoder("sentence-transformers/all-MiniLM-L6-v2")`.
            sparse: The encoder of its sparse vectors, for instance `Bm25Encoder()`.
            fields: Metadata fields to filter by, with the type of each: `{"lang": "keyword", "year": "integer"}`.
            tenant: The payload key that keeps tenants apart. Every search and every change then has to name a tenant.
            distance: How dense vectors are compared.
            payload: Where text and metadata lie in a point's payload; `PayloadMap.hydrant()` by default.
            options: Further arguments of `QdrantClient.create_collection`, such as `quantization_config`.
            async_client: The client for async calls.

        Raises:
            CollectionExists: There is one of that name.
            ConfigurationError: Neither encoder was given.
        """
        clients = Clients.of(client, async_client)
        plan = _plan(name, dense, sparse, fields, tenant, distance, payload, options)
        return cls(clients, run(opening.create(clients, plan)))

    @classmethod
    async def acreate(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        name: str,
        *,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        fields: Mapping[str, str | models.PayloadSchemaType] | None = None,
        tenant: str | None = None,
        distance: models.Distance = models.Distance.COSINE,
        payload: PayloadMap | None = None,
        options: Mapping[str, Any] | None = None,
        async_client: AsyncQdrantClient | None = None,
    ) -> Collection:
        """As `create`, without blocking the event loop."""
        clients = Clients.of(client, async_client)
        plan = _plan(name, dense, sparse, fields, tenant, distance, payload, options)
        return cls(clients, await arun(opening.create(clients, plan)))

    @classmethod
    def open(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        name: str,
        *,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        vectors: Mapping[str, str] | None = None,
        payload: PayloadMap | None = None,
        tenant: str | None = None,
        allow_unindexed: bool = False,
        async_client: AsyncQdrantClient | None = None,
    ) -> Collection:
        """Open a collection that is there.

        One that Hydrant made needs only its name: it remembers its encoders, layout and tenant field. One that
        LangChain, LlamaIndex, Haystack or your own code made needs the encoders it was filled with.

        Args:
            client: Where.
            name: Its name.
            dense: The encoder of its dense vectors.
            sparse: The encoder of its sparse vectors.
            vectors: Which vector each encoder is for, where the collection has several: `{"dense": "text-dense"}`.
            payload: Where text and metadata lie; detected where it is one of the known layouts.
            tenant: The payload key that keeps tenants apart, for a collection that does not say so itself.
            allow_unindexed: Let filters name fields without a payload index, at the cost of a scan.
            async_client: The client for async calls.

        Raises:
            CollectionNotFound: There is none of that name.
            EncoderMismatch: An encoder is not the one that made the collection.
            UnknownVector: A vector that the collection does not have.
            PayloadUnmapped: The payloads are in no known layout.
        """
        clients = Clients.of(client, async_client)
        wanted = opening.Wanted(
            name, {"dense": dense, "sparse": sparse}, vectors or {}, payload, tenant, allow_unindexed
        )
        return cls(clients, run(opening.open_existing(clients, wanted)))

    @classmethod
    async def aopen(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        name: str,
        *,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        vectors: Mapping[str, str] | None = None,
        payload: PayloadMap | None = None,
        tenant: str | None = None,
        allow_unindexed: bool = False,
        async_client: AsyncQdrantClient | None = None,
    ) -> Collection:
        """As `open`, without blocking the event loop."""
        clients = Clients.of(client, async_client)
        wanted = opening.Wanted(
            name, {"dense": dense, "sparse": sparse}, vectors or {}, payload, tenant, allow_unindexed
        )
        return cls(clients, await arun(opening.open_existing(clients, wanted)))

    def retriever(
        self,
        *,
        limit: int = 10,
        sources: Sequence[str] = (),
        fusion: Fusion = DEFAULT_FUSION,
        depth: int = DEFAULT_DEPTH,
        thresholds: Mapping[str, float] | None = None,
        params: models.SearchParams | None = None,
        explain: bool = False,
    ) -> Retriever:
        """The stage that finds passages here; see `hydrant.Retriever` for the arguments."""
        if isinstance(sources, str):
            msg = f"sources must be a sequence of names such as ('dense',), got the string {sources!r}"
            raise ConfigurationError(msg)
        return Retriever(self, limit, tuple(sources), fusion, depth, thresholds or {}, params, explain)

    def indexer(
        self, *, chunker: Chunker | None = None, progress: bool = True, window: int = 4096
    ) -> Indexer:
        """What puts passages and files into the collection.

        Args:
            chunker: How files are cut into passages.
            progress: Whether to show a progress bar, where standard error is a terminal.
            window: How many passages are in memory at a time; batches are sorted by length within it.
        """
        return Indexer(self, IndexerSettings(chunker or Chunker(), progress, window))


def _plan(
    name: str,
    dense: Encoder | None,
    sparse: Encoder | None,
    fields: Mapping[str, str | models.PayloadSchemaType] | None,
    tenant: str | None,
    distance: models.Distance,
    payload: PayloadMap | None,
    options: Mapping[str, Any] | None,
) -> opening.Plan:
    encoders = {"dense": dense, "sparse": sparse}
    return opening.Plan(
        name=name,
        encoders={key: encoder for key, encoder in encoders.items() if encoder is not None},
        distance=distance,
        tenant=tenant,
        fields=fields or {},
        payload=payload or PayloadMap.hydrant(),
        options=options or {},
    )
