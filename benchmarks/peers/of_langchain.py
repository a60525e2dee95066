"""LangChain's own components."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models.llms import LLM
from langchain_huggingface import HuggingFaceEmbeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from qdrant_client import QdrantClient, models

from benchmarks.peers.contenders import Built
from benchmarks.peers.material import Material
from hydrant import Bm25Encoder, EdgeClient

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever

_SIZE = 384


class Known(Embeddings):
    """Embeddings whose vectors of the documents are known; queries go through the model."""

    def __init__(self, material: Material) -> None:
        self._model = HuggingFaceEmbeddings(model_name=material.model)
        self._vectors = dict(zip(material.texts, material.vectors.tolist(), strict=True))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The known vectors; the store asks for that of a text of its own, too."""
        return [
            self._vectors[text] if text in self._vectors else self._model.embed_documents([text])[0]
            for text in texts
        ]

    def embed_query(self, text: str) -> list[float]:
        """As the model."""
        return self._model.embed_query(text)


class Bm25(SparseEmbeddings):
    """The same BM25 vectors as Hydrant's."""

    def __init__(self, average: float) -> None:
        self._encoder = Bm25Encoder(average_length=average)

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Weights of terms."""
        return [_sparse(vector) for vector in self._encoder.encode_document(texts)]

    def embed_query(self, text: str) -> SparseVector:
        """Terms."""
        return _sparse(self._encoder.encode_query([text])[0])


def langchain_dense(material: Material) -> Built:
    """Dense search."""
    store = _dense_store(material)
    return _retrieving(lambda number: store.as_retriever(search_kwargs={"k": number}))


def langchain_hybrid(material: Material) -> Built:
    """Dense and BM25, fused by Qdrant."""
    return _hybrid(material, QdrantClient(":memory:"))


def langchain_on_edge(material: Material) -> Built:
    """The same on Qdrant's engine in this process."""
    return _hybrid(material, EdgeClient(material.folder / "edge"))


def langchain_ensemble(material: Material) -> Built:
    """Dense and BM25 by two retrievers, fused by reciprocal rank."""
    from langchain_classic.retrievers import EnsembleRetriever
    from langchain_community.retrievers import BM25Retriever

    store = _dense_store(material)
    bm25 = BM25Retriever.from_documents(_documents(material), preprocess_func=_words)

    def retriever(number: int) -> BaseRetriever:
        words = bm25.model_copy(update={"k": number})
        dense = store.as_retriever(search_kwargs={"k": number})
        return EnsembleRetriever(retrievers=[dense, words], weights=[0.5, 0.5])

    return _retrieving(retriever)


def langchain_hyde(material: Material) -> Built:
    """Dense search by the vector of a hypothesis."""
    from langchain_classic.chains import HypotheticalDocumentEmbedder

    embeddings = HypotheticalDocumentEmbedder.from_llm(
        Replay(written=dict(material.hypotheses)), Known(material), prompt_key="web_search"
    )
    store = _dense_store(material, embeddings)
    return _retrieving(lambda number: store.as_retriever(search_kwargs={"k": number}))


class Replay(LLM):
    """A language model that says the first hypothesis written for the question in its prompt."""

    written: dict[str, list[str]]

    @property
    def _llm_type(self) -> str:
        return "replay"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return next(said[0] for question, said in self.written.items() if question in prompt)


def _hybrid(material: Material, client: QdrantClient) -> Built:
    client.create_collection(
        "docs",
        vectors_config=models.VectorParams(size=_SIZE, distance=models.Distance.COSINE),
        sparse_vectors_config={"langchain-sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    store = QdrantVectorStore(
        client,
        "docs",
        embedding=Known(material),
        retrieval_mode=RetrievalMode.HYBRID,
        sparse_embedding=Bm25(material.average),
        sparse_vector_name="langchain-sparse",
    )
    store.add_documents(_documents(material))
    if isinstance(client, EdgeClient):
        client.optimize("docs")
    return _retrieving(lambda number: store.as_retriever(search_kwargs={"k": number}))


def _dense_store(material: Material, embeddings: Embeddings | None = None) -> QdrantVectorStore:
    chosen = Known(material) if embeddings is None else embeddings
    return QdrantVectorStore.from_documents(
        _documents(material), chosen, location=":memory:", collection_name="docs"
    )


def _retrieving(make: Callable[[int], BaseRetriever]) -> Built:
    """A search by a retriever, which LangChain makes for a number of documents."""
    retrievers: dict[int, BaseRetriever] = {}

    def of(number: int) -> BaseRetriever:
        if number not in retrievers:
            retrievers[number] = make(number)
        return retrievers[number]

    def search(question: str, number: int) -> list[str]:
        return [each.metadata["id"] for each in of(number).invoke(question)][:number]

    async def asearch(question: str, number: int) -> list[str]:
        return [each.metadata["id"] for each in await of(number).ainvoke(question)][:number]

    return Built(search, asearch)


def _documents(material: Material) -> list[Document]:
    return [
        Document(page_content=text, metadata={"id": id_})
        for id_, text in zip(material.ids, material.texts, strict=True)
    ]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _sparse(vector: Any) -> SparseVector:
    return SparseVector(indices=list(vector.indices), values=list(vector.values))
