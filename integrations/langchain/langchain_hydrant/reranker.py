"""Hydrant's rerankers for documents, whoever found them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from typing_extensions import TypedDict, override

from hydrant import Hit, Query, SearchResult, SearchState, Stage
from hydrant.errors import InputError
from langchain_hydrant._arguments import Count, Declared, Seconds, Stages, check_known
from langchain_hydrant._convert import checked, document_of, found, hits_of, own_metadata
from langchain_hydrant._query import ExpandedQuery
from langchain_hydrant._tracing import amanager_of, asearch, manager_of, search

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun


class DocumentsAndQuery(TypedDict):
    """What rerankers and packers take as Runnables.

    Attributes:
        documents: The documents.
        query: What they are to answer.
    """

    documents: Sequence[Document]
    query: str


class HydrantReranker(
    Declared, BaseDocumentCompressor, RunnableSerializable[DocumentsAndQuery, list[Document]]
):
    """Ranks documents with a Hydrant reranker.

    As a compressor:

        ContextualCompressionRetriever(base_compressor=HydrantReranker(reranker=...), base_retriever=retriever)

    and as a Runnable:

        {"documents": retriever, "query": RunnablePassthrough()} | HydrantReranker(reranker=...)

    Documents are copied, never changed; ids stay, and none is lost but those that `top_n` or a threshold of the reranker's
    cuts off. Where the reranker fails they keep the order they came in, and `_hydrant["degraded"]` says so. Scores are as
    `HydrantRetriever` describes; those of a `HydrantRetriever` before it are kept.
    """

    reranker: Stages
    """A reranker, or several stages that rank joined with `>>`."""

    top_n: Count | None = None
    """How many documents go on; None leaves it to the reranker."""

    deadline: Seconds | None = None
    """Seconds until there must be an answer."""

    @override
    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """The documents in their new order.

        Args:
            documents: The documents, in any order.
            query: What they are to answer.
            callbacks: Who hears of it; None for those of the surrounding chain.

        Raises:
            EmptyQuery: The query is blank.
            InputError: Something is no document.
        """
        manager = manager_of(callbacks)
        return self._rerank(documents, query, manager)

    @override
    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """As `compress_documents`, without blocking the event loop."""
        manager = amanager_of(callbacks)
        return await self._arerank(documents, query, manager)

    @override
    def invoke(
        self, input: DocumentsAndQuery, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """The documents in their new order.

        Args:
            input: `{"documents": [...], "query": "..."}`.
            config: The config.
            **kwargs: None are known.

        Raises:
            InputError: The input has other keys, or something is no document.
            EmptyQuery: The query is blank.
            UnknownArgument: A keyword was given.
        """
        check_known(kwargs, (), f"a call of {type(self).__name__}")
        return self._call_with_config(self._invoke, input, config, run_type="chain")

    @override
    async def ainvoke(
        self, input: DocumentsAndQuery, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """As `invoke`, without blocking the event loop."""
        check_known(kwargs, (), f"a call of {type(self).__name__}")
        return await self._acall_with_config(self._ainvoke, input, config, run_type="chain")

    def _invoke(self, given: DocumentsAndQuery, run_manager: CallbackManagerForChainRun) -> list[Document]:
        return self._rerank(*read_input(given), run_manager.get_child())

    async def _ainvoke(
        self, given: DocumentsAndQuery, run_manager: AsyncCallbackManagerForChainRun
    ) -> list[Document]:
        return await self._arerank(*read_input(given), run_manager.get_child())

    def _rerank(self, documents: Sequence[Document], query: str, manager: CallbackManager) -> list[Document]:
        documents = checked(documents)
        if not documents:
            return []
        hits = hits_of(documents)
        result = search(Given(hits) >> self.reranker, self._query(query), manager, self.deadline)
        return _reordered(documents, hits, result)

    async def _arerank(
        self, documents: Sequence[Document], query: str, manager: AsyncCallbackManager
    ) -> list[Document]:
        documents = checked(documents)
        if not documents:
            return []
        hits = hits_of(documents)
        result = await asearch(Given(hits) >> self.reranker, self._query(query), manager, self.deadline)
        return _reordered(documents, hits, result)

    def _query(self, query: str) -> Query:
        # An expanded query is reranked by what the user asked.
        text = query.query.text if isinstance(query, ExpandedQuery) else query
        return Query(text, limit=self.top_n)


class Given(Stage):
    """Hands on hits that were found elsewhere.

    Args:
        hits: The hits, best first.
    """

    name = "documents"
    required = True

    def __init__(self, hits: Sequence[Hit]) -> None:
        self._hits = tuple(hits)

    def flow(self, state: SearchState) -> Generator[Any, Any, SearchState]:
        """The hits."""
        yield from ()
        return state.with_hits(self._hits)


def read_input(given: DocumentsAndQuery) -> tuple[Sequence[Document], str]:
    """The documents and the query of a Runnable's input.

    Raises:
        InputError: It has other keys.
    """
    if not isinstance(given, Mapping) or set(given) != set(DocumentsAndQuery.__annotations__):
        seen = sorted(given) if isinstance(given, Mapping) else given
        msg = f"the input must be {{'documents': [...], 'query': '...'}}, got {seen!r}"
        raise InputError(msg)
    return given["documents"], given["query"]


def _reordered(documents: Sequence[Document], hits: Sequence[Hit], result: SearchResult) -> list[Document]:
    # Two documents may have the same id, the same text, or neither: the passage object itself tells them apart.
    places = {id(hit.passage): place for place, hit in enumerate(hits)}
    ordered = []
    for hit in result.hits:
        place = places.get(id(hit.passage))
        if place is None:
            # A stage of somebody else's that makes new passages.
            ordered.append(document_of(hit, result.degraded))
            continue
        document = documents[place]
        metadata = found(own_metadata(document), hit, result.degraded)
        ordered.append(document.model_copy(update={"metadata": metadata}))
    return ordered
