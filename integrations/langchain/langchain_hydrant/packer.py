"""Documents packed into a language model's context, never longer than its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.documents import BaseDocumentCompressor, BaseDocumentTransformer, Document
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from typing_extensions import override

from hydrant import Citation, Context, ContextPacker, Query, SearchResult
from hydrant.errors import InputError
from langchain_hydrant._arguments import Declared, check_known
from langchain_hydrant._convert import FOUND, checked, document_of, hits_of
from langchain_hydrant._query import ExpandedQuery
from langchain_hydrant._tracing import amanager_of, asearch, manager_of, search
from langchain_hydrant.reranker import DocumentsAndQuery, Given, read_input

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun

# What a packing that nobody asked a question for is run with; no part of it is shown.
_NO_QUESTION = "documents"


class HydrantContextPacker(
    Declared, BaseDocumentCompressor, BaseDocumentTransformer, RunnableSerializable[DocumentsAndQuery, str]
):
    """Packs documents into a token budget with `hydrant.ContextPacker`.

    As a Runnable it gives the text for a prompt:

        {"documents": retriever, "query": RunnablePassthrough()} | HydrantContextPacker(packer=ContextPacker(3000))

    As a compressor or a document transformer it gives documents, one for each numbered part of that text, with the text as it
    is shown there: number, heading, and what of the passage has room. Joined with a blank line between them they are
    the text. `_hydrant["citation"]` is the number, `_hydrant["documents"]` the ids of the documents that it shows.
    """

    packer: ContextPacker
    """The packer; its settings are the budget, the tokenizer, the template and what is done with long passages."""

    def pack(self, documents: Sequence[Document], query: str, callbacks: Callbacks = None) -> Context:
        """The packed context: its text, its citations, and what was left out.

        Args:
            documents: The documents, best first.
            query: What they are to answer.
            callbacks: Who hears of it; None for those of the surrounding chain.

        Raises:
            EmptyQuery: The query is blank.
        """
        return _context(self._packed(documents, query, manager_of(callbacks)))

    async def apack(self, documents: Sequence[Document], query: str, callbacks: Callbacks = None) -> Context:
        """As `pack`, without blocking the event loop."""
        return _context(await self._apacked(documents, query, amanager_of(callbacks)))

    @override
    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """A document for each part of the context.

        Args:
            documents: The documents, best first.
            query: What they are to answer.
            callbacks: Who hears of it; None for those of the surrounding chain.

        Raises:
            EmptyQuery: The query is blank.
        """
        return _documents(self._packed(documents, query, manager_of(callbacks)))

    @override
    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """As `compress_documents`, without blocking the event loop."""
        manager = amanager_of(callbacks)
        return _documents(await self._apacked(documents, query, manager))

    @override
    def transform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        """A document for each part of the context.

        Args:
            documents: The documents, best first.
            **kwargs: `query`, what they are to answer; needed where the packer extracts sentences or shows the query.

        Raises:
            InputError: The query is needed and was not given.
            UnknownArgument: Another keyword was given.
        """
        return self.compress_documents(documents, self._question(kwargs))

    @override
    async def atransform_documents(self, documents: Sequence[Document], **kwargs: Any) -> Sequence[Document]:
        """As `transform_documents`, without blocking the event loop."""
        return await self.acompress_documents(documents, self._question(kwargs))

    @override
    def invoke(self, input: DocumentsAndQuery, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        """The context's text.

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
    ) -> str:
        """As `invoke`, without blocking the event loop."""
        check_known(kwargs, (), f"a call of {type(self).__name__}")
        return await self._acall_with_config(self._ainvoke, input, config, run_type="chain")

    def _invoke(self, given: DocumentsAndQuery, run_manager: CallbackManagerForChainRun) -> str:
        return _context(self._packed(*read_input(given), run_manager.get_child())).text

    async def _ainvoke(self, given: DocumentsAndQuery, run_manager: AsyncCallbackManagerForChainRun) -> str:
        return _context(await self._apacked(*read_input(given), run_manager.get_child())).text

    def _packed(self, documents: Sequence[Document], query: str, manager: CallbackManager) -> SearchResult:
        return search(Given(hits_of(checked(documents))) >> self.packer, _query(query), manager)

    async def _apacked(
        self, documents: Sequence[Document], query: str, manager: AsyncCallbackManager
    ) -> SearchResult:
        return await asearch(Given(hits_of(checked(documents))) >> self.packer, _query(query), manager)

    def _question(self, given: Mapping[str, Any]) -> str:
        check_known(given, {"query"}, f"transform_documents of {type(self).__name__}")
        query = given.get("query")
        if isinstance(query, str):
            return query
        if self.packer.extract is not None or "{query}" in self.packer.template.whole:
            msg = f"query must be given, because the packer extracts sentences or shows the query; got {query!r}"
            raise InputError(msg)
        return _NO_QUESTION


def _query(query: str) -> Query:
    return Query(query.query.text if isinstance(query, ExpandedQuery) else query)


def _context(result: SearchResult) -> Context:
    return Context() if result.context is None else result.context


def _documents(result: SearchResult) -> list[Document]:
    if result.context is None:
        # The packer failed, and could not even count: everything goes on, and says so.
        return [document_of(hit, result.degraded) for hit in result.hits]
    return [_cited(citation, result) for citation in result.context.citations]


def _cited(citation: Citation, result: SearchResult) -> Document:
    document = document_of(citation.hits[0], result.degraded)
    said = {
        **document.metadata[FOUND],
        "citation": citation.number,
        "documents": [hit.id for hit in citation.hits],
    }
    shown = _context(result).text[citation.start : citation.end]
    return Document(id=document.id, page_content=shown, metadata={**document.metadata, FOUND: said})
