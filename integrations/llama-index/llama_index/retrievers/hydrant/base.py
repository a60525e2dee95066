"""A search pipeline as a retriever of LlamaIndex."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

from llama_index.core.base.base_retriever import BaseRetriever

from hydrant import SearchResult, Stage
from hydrant.errors import ConfigurationError
from llama_index.retrievers.hydrant.bundle import HydrantQueryBundle
from llama_index.retrievers.hydrant.embedding import dense_encoder
from llama_index.retrievers.hydrant.events import report
from llama_index.retrievers.hydrant.nodes import node_of
from llama_index.retrievers.hydrant.prompts import prompts_of, with_prompts
from llama_index.retrievers.hydrant.query import Bound, check_deadline

if TYPE_CHECKING:
    from types import TracebackType

    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.prompts.mixin import PromptDictType
    from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle
    from qdrant_client import AsyncQdrantClient, QdrantClient

    from hydrant import Encoder, PayloadMap
    from llama_index.retrievers.hydrant.filters import FiltersLike

_UNSET: Any = object()


class HydrantRetriever(BaseRetriever):
    """Retrieves nodes by a search pipeline of Hydrant: `HydrantRetriever(Hyde(llm) >> docs.retriever() >> reranker)`.

    Nodes that LlamaIndex or `HydrantIndexer` wrote come back as they were, with relationships; others become `TextNode`s
    with "title" and "source" among their metadata. A node's score is that of the last stage that ranked; what every stage
    said is in `node.metadata["_hydrant"]`, which neither language models nor embeddings see. Where a `ContextPacker` is in the
    pipeline, the nodes are the hits it was given, whole; for what it packs use `HydrantContextPacker` behind the retriever.

    A query is a text or a bundle. Of a bundle `embedding` (searches the dense source instead of the encoder's vector) and
    `custom_embedding_strs` (the dense source searches with the mean of theirs) count; a `HydrantQueryBundle` may have
    filters, a tenant and a number of nodes of its own. The bundle stays as it is.

    Args:
        pipeline: The search: a pipeline, or a single stage such as `collection.retriever()`.
        similarity_top_k: How many nodes; None leaves it to the pipeline.
        filters: What nodes must fulfil: `MetadataFilters`, a `models.Filter`, or a mapping such as `{"lang": "en"}`. Those
            of a query are added to them.
        tenant: Whose nodes, in a collection with tenants. With one, queries for another are refused.
        deadline: Seconds until there must be an answer.
        embedding_source: Which source a bundle's `embedding` is for, where the pipeline searches several dense ones.
        callback_manager: As of every retriever of LlamaIndex.
        object_map: As of every retriever of LlamaIndex.
        objects: As of every retriever of LlamaIndex.
        verbose: As of every retriever of LlamaIndex.

    Raises:
        ConfigurationError: A setting that cannot work.
        FilterError: Filters that cannot be translated.
    """

    def __init__(
        self,
        pipeline: Stage,
        *,
        similarity_top_k: int | None = None,
        filters: FiltersLike | None = None,
        tenant: str | int | None = None,
        deadline: float | None = None,
        embedding_source: str | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        if not isinstance(pipeline, Stage):
            msg = (
                f"pipeline must be a stage of Hydrant such as collection.retriever(), got {pipeline!r} that is a "
                f"{type(pipeline).__name__}"
            )
            raise ConfigurationError(msg)
        self._pipeline = pipeline
        self._bound = Bound(similarity_top_k, filters, tenant, embedding_source)
        check_deadline(deadline)
        self._deadline = deadline
        super().__init__(callback_manager, object_map, objects, verbose)

    @classmethod
    def from_client(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        collection_name: str,
        *,
        embed_model: BaseEmbedding | None = None,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        payload: PayloadMap | None = None,
        allow_unindexed: bool = False,
        async_client: AsyncQdrantClient | None = None,
        **settings: Any,
    ) -> Self:
        """A retriever over every source of a collection; for more say `Collection.open(...)` yourself.

        A collection that Hydrant made needs nothing but its name. One that LlamaIndex's `QdrantVectorStore` filled needs the
        embedding model it was filled with, and for hybrid search the encoder of its sparse vectors.

        Args:
            client: Where: an `EdgeClient`, or any client of Qdrant.
            collection_name: The collection's name.
            embed_model: LlamaIndex's embedding model of the dense vectors.
            dense: The encoder of the dense vectors, instead of `embed_model`.
            sparse: The encoder of the sparse vectors.
            payload: Where text and metadata lie; detected where it is a known layout.
            allow_unindexed: Let filters name fields without a payload index, at the cost of a scan.
            async_client: The client for async calls.
            **settings: Those of the constructor.

        Raises:
            ConfigurationError: Both `embed_model` and `dense` were given.
            PayloadUnmapped: The payloads are in no known layout; the message lists the keys that were seen.
        """
        from hydrant import Collection

        docs = Collection.open(
            client,
            collection_name,
            dense=dense_encoder(embed_model, dense),
            sparse=sparse,
            payload=payload,
            allow_unindexed=allow_unindexed,
            async_client=async_client,
        )
        return cls(docs.retriever(), **settings)

    @classmethod
    async def afrom_client(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        collection_name: str,
        *,
        embed_model: BaseEmbedding | None = None,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        payload: PayloadMap | None = None,
        allow_unindexed: bool = False,
        async_client: AsyncQdrantClient | None = None,
        **settings: Any,
    ) -> Self:
        """As `from_client`, without blocking the event loop; the way in where there is an async client alone."""
        from hydrant import Collection

        docs = await Collection.aopen(
            client,
            collection_name,
            dense=dense_encoder(embed_model, dense),
            sparse=sparse,
            payload=payload,
            allow_unindexed=allow_unindexed,
            async_client=async_client,
        )
        return cls(docs.retriever(), **settings)

    @classmethod
    def class_name(cls) -> str:
        """The retriever's name in traces."""
        return "HydrantRetriever"

    @property
    def pipeline(self) -> Stage:
        """The search."""
        return self._pipeline

    @property
    def similarity_top_k(self) -> int | None:
        """How many nodes; None leaves it to the pipeline."""
        return self._bound.similarity_top_k

    def with_options(
        self,
        *,
        similarity_top_k: int | None = _UNSET,
        filters: FiltersLike | None = _UNSET,
        tenant: str | int | None = _UNSET,
        deadline: float | None = _UNSET,
    ) -> Self:
        """The same retriever with other settings; this one stays as it is. What is not given stays too."""
        bound = self._bound
        changed = copy.copy(self)
        changed._bound = Bound(  # noqa: SLF001  the copy is ours
            bound.similarity_top_k if similarity_top_k is _UNSET else similarity_top_k,
            bound.filters if filters is _UNSET else filters,
            bound.tenant if tenant is _UNSET else tenant,
            bound.embedding_source,
        )
        if deadline is not _UNSET:
            check_deadline(deadline)
            changed._deadline = deadline  # noqa: SLF001  as above
        return changed

    def warm_up(self) -> None:
        """Load the pipeline's models now instead of at the first query."""
        self._pipeline.warm_up()

    def close(self) -> None:
        """Release what the pipeline's stages opened; clients and models that were given stay open."""
        self._pipeline.close()

    def __enter__(self) -> Self:
        self.warm_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = self._bound.query(query_bundle, self._pipeline)
        return _nodes(query_bundle, self._pipeline.run(query, deadline=self._deadline))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = self._bound.query(query_bundle, self._pipeline)
        return _nodes(query_bundle, await self._pipeline.arun(query, deadline=self._deadline))

    def _get_prompts(self) -> PromptDictType:
        return prompts_of(self._pipeline)

    def _update_prompts(self, prompts: PromptDictType) -> None:
        self._pipeline = with_prompts(self._pipeline, prompts)


def _nodes(bundle: QueryBundle, result: SearchResult) -> list[NodeWithScore]:
    before = bundle.degraded if isinstance(bundle, HydrantQueryBundle) else ()
    degraded = report(bundle.query_str, result, before)
    return [node_of(hit, degraded) for hit in result.hits]
