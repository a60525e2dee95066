"""HyDE as embeddings, for any vector store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from langchain_core.embeddings import Embeddings

from hydrant import Hyde, Query, SearchResult
from hydrant.errors import ConfigurationError
from langchain_hydrant._tracing import amanager_of, asearch, manager_of, search
from langchain_hydrant.generator import as_llm


class HydeEmbeddings(Embeddings):
    """Embeds a query together with passages that a language model makes up as answers; documents as ever.

        store = InMemoryVectorStore(HydeEmbeddings.from_llm(llm, embeddings, hypotheses=4))

    A query's vector is the mean of its own and those of the hypotheses, which are embedded as *documents*: Gao, Ma, Lin and
    Callan, "Precise Zero-Shot Dense Retrieval without Relevance Labels", ACL 2023. Where the language model fails, it is the
    query's own, and the log says why. With a Hydrant collection, `Hyde(llm) >> docs.retriever()` does more: it leaves the
    query alone for sparse sources and rerankers.

    Args:
        hyde: How hypotheses are made and weighed; its mode must be "mean", because a query has one vector here.
        embeddings: What embeds queries and documents.
        normalize: Whether each vector is brought to length 1 before the mean is taken, and the mean after it: for vector
            stores that compare by cosine or hold vectors of length 1.
        deadline: Seconds that the hypotheses may take.

    Raises:
        ConfigurationError: One of them cannot be used.
    """

    def __init__(
        self, hyde: Hyde, embeddings: Embeddings, *, normalize: bool = True, deadline: float | None = None
    ) -> None:
        if not isinstance(hyde, Hyde) or hyde.mode != "mean":
            msg = f"hyde must be a hydrant.Hyde with mode='mean', got {hyde!r}"
            raise ConfigurationError(msg)
        if not isinstance(embeddings, Embeddings):
            msg = f"embeddings must be a LangChain Embeddings, got {embeddings!r}"
            raise ConfigurationError(msg)
        self.hyde = hyde
        self.embeddings = embeddings
        self.normalize = normalize
        self.deadline = deadline

    @classmethod
    def from_llm(
        cls,
        llm: Any,
        embeddings: Embeddings,
        *,
        normalize: bool = True,
        deadline: float | None = None,
        **settings: Any,
    ) -> Self:
        """HyDE with a language model.

        Args:
            llm: A LangChain chat model or language model, or any Runnable around one; or a `hydrant.TextGenerator`.
            embeddings: What embeds queries and documents.
            normalize: See the class.
            deadline: See the class.
            **settings: Settings of `hydrant.Hyde`, such as `hypotheses` and `prompt`.
        """
        return cls(Hyde(as_llm(llm), **settings), embeddings, normalize=normalize, deadline=deadline)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The embeddings' own vectors."""
        return self.embeddings.embed_documents(texts)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The embeddings' own vectors, without blocking the event loop."""
        return await self.embeddings.aembed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """The mean of the query's vector and those of its hypotheses.

        Raises:
            EmptyQuery: The text is blank.
        """
        manager = manager_of()
        hypotheses = self._hypotheses(search(self.hyde, Query(text), manager, self.deadline))
        own = self.embeddings.embed_query(text)
        return self._mean(own, self.embeddings.embed_documents(hypotheses) if hypotheses else [])

    async def aembed_query(self, text: str) -> list[float]:
        """As `embed_query`, without blocking the event loop."""
        manager = amanager_of()
        hypotheses = self._hypotheses(await asearch(self.hyde, Query(text), manager, self.deadline))
        own = await self.embeddings.aembed_query(text)
        return self._mean(own, await self.embeddings.aembed_documents(hypotheses) if hypotheses else [])

    def _hypotheses(self, result: SearchResult) -> list[str]:
        return list(result.hypotheses)

    def _mean(self, own: Sequence[float], others: Sequence[Sequence[float]]) -> list[float]:
        import numpy as np  # noqa: PLC0415  not needed to make a chain

        if not others:
            return list(own)
        rows = np.array([own, *others], dtype=np.float64)
        if self.normalize:
            rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
        weights = np.ones(len(rows))
        weights[0] = self.hyde.query_weight
        mean = weights @ rows / weights.sum()
        if self.normalize:
            mean /= max(np.linalg.norm(mean), np.finfo(float).tiny)
        vector: list[float] = mean.tolist()
        return vector
