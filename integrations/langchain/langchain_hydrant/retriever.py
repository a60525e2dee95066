"""A retriever over any Hydrant pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import field_validator
from typing_extensions import override

from hydrant import Pipeline, Query, SearchResult, Stage
from langchain_hydrant._arguments import (
    UNSET,
    Count,
    Declared,
    Seconds,
    Stages,
    Tenant,
    check_filter,
    check_known,
)
from langchain_hydrant._convert import document_of
from langchain_hydrant._query import ExpandedQuery
from langchain_hydrant._tracing import asearch, search

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from qdrant_client import AsyncQdrantClient, QdrantClient

# What may be said anew at every call. LangChain itself passes `verbose` on.
_AT_A_CALL = frozenset({"k", "filter", "tenant", "offset", "deadline"})
_LANGCHAINS = frozenset({"verbose"})


class HydrantRetriever(Declared, BaseRetriever):
    """Finds documents with a Hydrant pipeline: hybrid search, query expansion, reranking, whatever its stages are.

        HydrantRetriever(pipeline=Hyde(llm) >> docs.retriever() >> CrossEncoderReranker("..."), k=4)
        HydrantRetriever.from_collection(client, "docs", k=4)

    The settings may be given anew at every call, `retriever.invoke("...", k=2, tenant="acme")`, or made configurable with
    `configurable_fields`. A document's `id` is the passage's. Its metadata is the passage's, with `source` and `title` where
    the passage has them, and two more keys: `score`, and `_hydrant` with the score and rank of every stage and with what the
    query went on without. Every stage is a run of its own in traces.
    """

    pipeline: Stages
    """The pipeline, or a single stage such as `docs.retriever()`."""

    k: Count | None = None
    """How many documents; None leaves it to the pipeline."""

    filter: Any = None
    """A mapping such as `{"lang": "en", "year": {"gte": 2020}}`, or a `qdrant_client.models.Filter`. One that is given with
    a call takes its place."""

    tenant: Tenant | None = None
    """Whose documents are searched, in a collection that has tenants."""

    deadline: Seconds | None = None
    """Seconds until there must be an answer; stages that the search can do without are left out in time."""

    with_scores: bool = True
    """Whether the metadata says how a document was found, under `score` and `_hydrant`. Without, a document is equal to
    itself whichever query found it, as `MultiQueryRetriever` wants it, which compares all of the metadata."""

    @field_validator("filter")
    @classmethod
    def _checked_filter(cls, wanted: Any) -> Any:
        return check_filter(wanted)

    @classmethod
    def from_collection(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        collection: str,
        *,
        k: int | None = None,
        filter: Any = None,  # noqa: A002  the field's own word for it
        tenant: str | int | None = None,
        deadline: float | None = None,
        with_scores: bool = True,
        **opening: Any,
    ) -> Self:
        """A retriever over a collection that is there, whoever wrote it. Reads the collection once.

        Args:
            client: A `hydrant.EdgeClient`, or any `qdrant_client.QdrantClient` or `AsyncQdrantClient`.
            collection: Its name.
            k: How many documents.
            filter: See the fields of the class.
            tenant: Whose documents are searched.
            deadline: Seconds until there must be an answer.
            with_scores: See the fields of the class.
            **opening: Arguments of `hydrant.Collection.open`: the encoders of a collection that others wrote
                (`dense=EmbeddingsEncoder(...)`), its `payload` layout, `allow_unindexed`, `async_client`. Only the field
                that keeps tenants apart is called `tenant_field` here.

        Raises:
            CollectionNotFound: There is none of that name.
            PayloadUnmapped: Its payloads are in no known layout; the message says which keys were seen.
        """
        from hydrant import Collection  # noqa: PLC0415  needs qdrant-client, a second to import

        opened = Collection.open(client, collection, **_opening(opening))
        return cls(
            pipeline=opened.retriever(),
            k=k,
            filter=filter,
            tenant=tenant,
            deadline=deadline,
            with_scores=with_scores,
        )

    @classmethod
    async def afrom_collection(
        cls,
        client: QdrantClient | AsyncQdrantClient,
        collection: str,
        *,
        k: int | None = None,
        filter: Any = None,  # noqa: A002  the field's own word for it
        tenant: str | int | None = None,
        deadline: float | None = None,
        with_scores: bool = True,
        **opening: Any,
    ) -> Self:
        """As `from_collection`, without blocking the event loop."""
        from hydrant import Collection  # noqa: PLC0415  needs qdrant-client, a second to import

        opened = await Collection.aopen(client, collection, **_opening(opening))
        return cls(
            pipeline=opened.retriever(),
            k=k,
            filter=filter,
            tenant=tenant,
            deadline=deadline,
            with_scores=with_scores,
        )

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **settings: Any
    ) -> list[Document]:
        asked = self._asked(query, settings)
        deadline = self._deadline(settings)
        return self._documents(search(self.pipeline, asked, run_manager.get_child(), deadline))

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **settings: Any
    ) -> list[Document]:
        asked = self._asked(query, settings)
        deadline = self._deadline(settings)
        return self._documents(await asearch(self.pipeline, asked, run_manager.get_child(), deadline))

    def _asked(self, query: str, settings: Mapping[str, Any]) -> Query:
        """The query, with the settings of the call in place of the retriever's own.

        Raises:
            UnknownArgument: A keyword that nobody declared.
        """
        check_known(settings, _AT_A_CALL | _LANGCHAINS, f"a call of {type(self).__name__}")
        expanded = query.query if isinstance(query, ExpandedQuery) else Query(query)
        wanted = settings.get("filter", UNSET)
        return replace(
            expanded,
            limit=settings.get("k", self.k),
            filter=self.filter if wanted is UNSET else check_filter(wanted),
            tenant=settings.get("tenant", self.tenant),
            offset=settings.get("offset", 0),
        )

    def _documents(self, result: SearchResult) -> list[Document]:
        return [document_of(hit, result.degraded, with_scores=self.with_scores) for hit in result.hits]

    def _deadline(self, settings: Mapping[str, Any]) -> float | None:
        deadline: float | None = settings.get("deadline", self.deadline)
        return deadline

    @override
    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        return _ls_params(self.pipeline)


def _opening(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `Collection.open`, of which one has another name here."""
    if "tenant_field" not in arguments:
        return dict(arguments)
    return {"tenant" if name == "tenant_field" else name: value for name, value in arguments.items()}


def _ls_params(pipeline: Stage) -> LangSmithRetrieverParams:
    params = LangSmithRetrieverParams(ls_retriever_name="hydrant", ls_vector_store_provider="Qdrant")
    encoder = _dense_record(pipeline)
    if encoder is not None:
        params["ls_embedding_provider"] = encoder.get("encoder")
        params["ls_embedding_model"] = encoder.get("model")
    return params


def _dense_record(pipeline: Stage) -> Mapping[str, Any] | None:
    """What makes the dense vectors, as the collection has it on record: no model is loaded to say so."""
    stages = pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,)
    for stage in stages:
        collection = getattr(stage, "collection", None)
        said = getattr(getattr(collection, "profile", None), "record", None)
        for key in ("sources", "dense", "encoder"):
            said = said.get(key) if isinstance(said, Mapping) else None
        if isinstance(said, Mapping):
            return said
    return None
