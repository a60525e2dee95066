"""Nodes into a collection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.vector_stores.utils import node_to_metadata_dict

from hydrant import IndexReport, Passage, PayloadMap
from hydrant.errors import ConfigurationError
from llama_index.retrievers.hydrant.embedding import dense_encoder
from llama_index.retrievers.hydrant.nodes import plain

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from qdrant_client import AsyncQdrantClient, QdrantClient

    from hydrant import Collection, Encoder

# What LlamaIndex writes beside a node's own metadata.
_ORIGIN = ("_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id")
_DOCUMENT = "doc_id"


class HydrantIndexer:
    """Puts nodes into a collection, laid out as LlamaIndex's `QdrantVectorStore` does, which can read it.

    What is embedded is a node's content with the metadata it shows to embedding models. Relationships are kept. A node that
    is stored already is compared and costs no encoding; the same id again replaces it. Embeddings that nodes carry are not
    used: the collection's encoders make every vector.

    Args:
        collection: The collection; its payloads must be laid out as LlamaIndex has them, as `create` makes it.
        tenant: Whose nodes, in a collection with tenants.
        progress: Whether to show a progress bar, where standard error is a terminal.

    Raises:
        ConfigurationError: The collection has another layout.
    """

    def __init__(
        self, collection: Collection, *, tenant: str | int | None = None, progress: bool = False
    ) -> None:
        from hydrant import Collection

        if not isinstance(collection, Collection):
            msg = f"collection must be a hydrant Collection, got {collection!r} that is a {type(collection).__name__}"
            raise ConfigurationError(msg)
        if not collection.payload.nodes:
            msg = (
                f"collection {collection.name!r} lays its payloads out as {collection.payload!r}, which has no place for nodes; "
                "make one with HydrantIndexer.create(...) or Collection.create(..., payload=PayloadMap.llama_index())"
            )
            raise ConfigurationError(msg)
        self._collection = collection
        self._tenant = tenant
        self._indexer = collection.indexer(progress=progress)

    @classmethod
    def create(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        collection_name: str,
        *,
        embed_model: BaseEmbedding | None = None,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        fields: Mapping[str, str] | None = None,
        tenant_field: str | None = None,
        tenant: str | int | None = None,
        **options: Any,
    ) -> Self:
        """Make a collection for nodes.

        Args:
            client: Where: an `EdgeClient`, or any client of Qdrant.
            collection_name: Its name.
            embed_model: LlamaIndex's embedding model of the dense vectors.
            dense: The encoder of the dense vectors, instead of `embed_model`.
            sparse: The encoder of the sparse vectors, such as `Bm25Encoder()`.
            fields: Metadata fields to filter by, with the type of each: `{"lang": "keyword"}`. "doc_id" is one anyway.
            tenant_field: The payload key that keeps tenants apart.
            tenant: Whose nodes this indexer writes, in a collection with tenants.
            **options: Further ones of `Collection.create`.

        Raises:
            CollectionExists: There is one of that name.
            ConfigurationError: Both `embed_model` and `dense` were given, or neither and no `sparse`.
        """
        from hydrant import Collection

        collection = Collection.create(
            client,
            collection_name,
            dense=dense_encoder(embed_model, dense),
            sparse=sparse,
            payload=PayloadMap.llama_index(),
            fields={_DOCUMENT: "keyword", **(fields or {})},
            tenant=tenant_field,
            **options,
        )
        return cls(collection, tenant=tenant)

    @classmethod
    async def acreate(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        collection_name: str,
        *,
        embed_model: BaseEmbedding | None = None,
        dense: Encoder | None = None,
        sparse: Encoder | None = None,
        fields: Mapping[str, str] | None = None,
        tenant_field: str | None = None,
        tenant: str | int | None = None,
        **options: Any,
    ) -> Self:
        """As `create`, without blocking the event loop; the way in where there is an async client alone."""
        from hydrant import Collection

        collection = await Collection.acreate(
            client,
            collection_name,
            dense=dense_encoder(embed_model, dense),
            sparse=sparse,
            payload=PayloadMap.llama_index(),
            fields={_DOCUMENT: "keyword", **(fields or {})},
            tenant=tenant_field,
            **options,
        )
        return cls(collection, tenant=tenant)

    @property
    def collection(self) -> Collection:
        """The collection."""
        return self._collection

    def add(self, nodes: Iterable[BaseNode]) -> IndexReport:
        """Index nodes; one that cannot be indexed, such as one without text, is in `failures` and stops no other.

        Raises:
            TenantRequired: The collection has tenants and the indexer was given none.
        """
        return self._indexer.add(_passages(nodes), tenant=self._tenant)

    async def aadd(self, nodes: Iterable[BaseNode]) -> IndexReport:
        """As `add`, without blocking the event loop."""
        return await self._indexer.aadd(_passages(nodes), tenant=self._tenant)

    def delete_ref_doc(self, ref_doc_id: str) -> None:
        """Delete the nodes of a document."""
        self._collection.delete(filter={_DOCUMENT: ref_doc_id}, tenant=self._tenant)

    async def adelete_ref_doc(self, ref_doc_id: str) -> None:
        """As `delete_ref_doc`, without blocking the event loop."""
        await self._collection.adelete(filter={_DOCUMENT: ref_doc_id}, tenant=self._tenant)


def _passages(nodes: Iterable[BaseNode]) -> Iterator[Any]:
    if isinstance(nodes, BaseNode):
        msg = f"add takes several nodes; for one give a list of one, got {nodes.node_id!r}"
        raise ConfigurationError(msg)
    # What is no node goes on as it is: the report names it, and the others are indexed.
    return (passage_of(node) if isinstance(node, BaseNode) else node for node in nodes)


def passage_of(node: BaseNode) -> Passage:
    """A node as a passage: its text is what is embedded, its origin the node as LlamaIndex serialises it."""
    if not node.get_content(MetadataMode.NONE).strip():
        # Metadata alone would be embedded; the report says that there is no text.
        return Passage("", id=node.node_id)
    try:
        payload = node_to_metadata_dict(plain(node))
    except (TypeError, ValueError) as error:
        return Passage("-", id=node.node_id, origin={_ORIGIN[0]: f"LlamaIndex cannot serialise it: {error}"})
    origin = {key: payload.pop(key) for key in _ORIGIN if key in payload}
    return Passage(node.get_content(MetadataMode.EMBED), id=node.node_id, metadata=payload, origin=origin)
