"""`Collection`: the object a user holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from hydrant.collection import compression, opening
from hydrant.collection.base import CollectionBase
from hydrant.collection.calls import Clients
from hydrant.collection.payload import PayloadMap
from hydrant.errors import ConfigurationError
from hydrant.flow import arun, run
from hydrant.ingest.chunk import Chunker
from hydrant.ingest.indexer import Indexer
from hydrant.ingest.settings import IndexerSettings
from hydrant.retrieve.after import After, GroupBy, Mmr
from hydrant.retrieve.asking import DEFAULT_DEPTH
from hydrant.retrieve.boosts import Boost
from hydrant.retrieve.retriever import Retriever

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient

    from hydrant.collection.compression import QuantizationLike
    from hydrant.encode.base import Encoder
    from hydrant.retrieve.fusion import Fusion

# What hits call the stages that are no source.
_STAGES = frozenset({"fusion", "rerank", "boost", "diversity", "feedback"})


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
        late: Encoder | None = None,
        sources: Mapping[str, Encoder] | None = None,
        quantization: QuantizationLike | None = None,
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
            late: The encoder of its token vectors, for instance `LateEncoder("...")`; they rank what the others find.
            sources: Encoders of further vectors, by the names of their sources: `{"splade": SparseEncoder("...")}`.
            quantization: How the vectors are kept in memory: "scalar" (a quarter), "binary" (one bit a dimension),
                "product", "turbo", or a configuration of qdrant-client. The whole vectors then stay on disk.
            fields: Metadata fields to filter by, with the type of each: `{"lang": "keyword", "year": "integer"}`.
            tenant: The payload key that keeps tenants apart. Every search and every change then has to name a tenant.
            distance: How dense vectors are compared.
            payload: Where text and metadata lie in a point's payload; `PayloadMap.hydrant()` by default.
            options: Further arguments of `QdrantClient.create_collection`, such as `hnsw_config`.
            async_client: The client for async calls.

        Raises:
            CollectionExists: There is one of that name.
            ConfigurationError: No encoder was given, or one is of another kind than its place is for.
        """
        clients = Clients.of(client, async_client)
        encoders = _encoders(dense, sparse, late, sources)
        plan = opening.Plan(
            name=name,
            encoders={key: encoder for key, encoder in encoders.items() if encoder is not None},
            distance=distance,
            tenant=tenant,
            fields=fields or {},
            payload=payload or PayloadMap.hydrant(),
            compression=compression.quantization(quantization),
            options=options or {},
        )
        return cls(clients, run(opening.create(clients, plan)))

    @classmethod
    async def acreate(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        name: str,
        *,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        late: Encoder | None = None,
        sources: Mapping[str, Encoder] | None = None,
        quantization: QuantizationLike | None = None,
        fields: Mapping[str, str | models.PayloadSchemaType] | None = None,
        tenant: str | None = None,
        distance: models.Distance = models.Distance.COSINE,
        payload: PayloadMap | None = None,
        options: Mapping[str, Any] | None = None,
        async_client: AsyncQdrantClient | None = None,
    ) -> Collection:
        """As `create`, without blocking the event loop."""
        clients = Clients.of(client, async_client)
        encoders = _encoders(dense, sparse, late, sources)
        plan = opening.Plan(
            name=name,
            encoders={key: encoder for key, encoder in encoders.items() if encoder is not None},
            distance=distance,
            tenant=tenant,
            fields=fields or {},
            payload=payload or PayloadMap.hydrant(),
            compression=compression.quantization(quantization),
            options=options or {},
        )
        return cls(clients, await arun(opening.create(clients, plan)))

    @classmethod
    def open(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        name: str,
        *,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        late: Encoder | None = None,
        sources: Mapping[str, Encoder] | None = None,
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
            late: The encoder of its token vectors.
            sources: The encoders of its further sources, by name.
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
        encoders = _encoders(dense, sparse, late, sources)
        wanted = opening.Wanted(name, encoders, vectors or {}, payload, tenant, allow_unindexed)
        return cls(clients, run(opening.open_existing(clients, wanted)))

    @classmethod
    async def aopen(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        name: str,
        *,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        late: Encoder | None = None,
        sources: Mapping[str, Encoder] | None = None,
        vectors: Mapping[str, str] | None = None,
        payload: PayloadMap | None = None,
        tenant: str | None = None,
        allow_unindexed: bool = False,
        async_client: AsyncQdrantClient | None = None,
    ) -> Collection:
        """As `open`, without blocking the event loop."""
        clients = Clients.of(client, async_client)
        encoders = _encoders(dense, sparse, late, sources)
        wanted = opening.Wanted(name, encoders, vectors or {}, payload, tenant, allow_unindexed)
        return cls(clients, await arun(opening.open_existing(clients, wanted)))

    def retriever(
        self,
        *,
        limit: int = 10,
        sources: Sequence[str] = (),
        fusion: Fusion | None = None,
        depth: int | Mapping[str, int] = DEFAULT_DEPTH,
        thresholds: Mapping[str, float] | None = None,
        params: models.SearchParams | None = None,
        explain: bool = False,
        rescore: str | None = None,
        boosts: Sequence[Boost] = (),
        mmr: Mmr | None = None,
        group: GroupBy | None = None,
    ) -> Retriever:
        """The stage that finds passages here, in one request to Qdrant.

        Args:
            limit: How many hits, where the query does not say.
            sources: Which ways in to use, by name; empty for every one but that of `rescore`.
            fusion: How the rankings of several sources become one; see `hydrant.Retriever`.
            depth: How many candidates each source contributes, or how many each by name.
            thresholds: The worst score that counts, by the name of the source, or "fusion" for the fused score.
            params: Qdrant's own search parameters, such as `SearchParams(exact=True)`.
            explain: Whether hits carry each source's own rank and score, and the terms that matched.
            rescore: The source that ranks all candidates instead of a fusion: "late" for MaxSim over token vectors.
            boosts: What raises scores, such as `Recency("date", timedelta(days=30))`.
            mmr: Keep hits apart from each other: `Mmr(diversity=0.3)`.
            group: One hit a document, or a few: `GroupBy("source")`.

        Raises:
            ConfigurationError: A source that the collection lacks, or settings that do not go together.
        """
        for name, value in (("sources", sources), ("boosts", boosts)):
            if isinstance(value, str) or not isinstance(value, Sequence):
                example = "('dense',)" if name == "sources" else "(Popularity('views', half=100),)"
                msg = f"{name} must be a sequence such as {example}, got {value!r}"
                raise ConfigurationError(msg)
        after = After(rescore, tuple(boosts), mmr, group)
        return Retriever(self, limit, tuple(sources), fusion, depth, thresholds or {}, params, explain, after)

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


def _encoders(
    dense: Encoder | None,
    sparse: Encoder | None,
    late: Encoder | None,
    sources: Mapping[str, Encoder] | None,
) -> dict[str, Encoder | None]:
    """The encoders by the names of their sources."""
    usual = {"dense": dense, "sparse": sparse, "late": late}
    if sources is not None and not isinstance(sources, Mapping):
        msg = f"sources must map names to encoders, such as {{'splade': SparseEncoder(...)}}; got {sources!r}"
        raise ConfigurationError(msg)
    more = dict(sources or {})
    wrong = [name for name in more if not isinstance(name, str) or not name.strip() or name in _STAGES]
    if wrong:
        msg = f"a source's name must be a str other than {sorted(_STAGES)}, which name stages; got {wrong}"
        raise ConfigurationError(msg)
    twice = sorted(name for name in more if usual.get(name) is not None)
    if twice:
        msg = f"sources names {twice} again, which {twice[0]}=... gives already"
        raise ConfigurationError(msg)
    return {**usual, **more}
