"""LlamaIndex's own components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.llms import CompletionResponse, CompletionResponseGen, CustomLLM, LLMMetadata
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient, models

from benchmarks.peers.contenders import Built
from benchmarks.peers.material import Material
from hydrant import Bm25Encoder

if TYPE_CHECKING:
    from llama_index.core.base.base_retriever import BaseRetriever

_SPARSE_DEPTH = 100


def llama_index_dense(material: Material) -> Built:
    """Dense search."""
    index = _index(material, QdrantVectorStore("docs", client=QdrantClient(":memory:")))
    return _retrieving(lambda number: index.as_retriever(similarity_top_k=number))


def llama_index_hybrid(material: Material) -> Built:
    """Dense and BM25, fused by the store in Python."""
    encoder = Bm25Encoder(average_length=material.average)
    store = QdrantVectorStore(
        "docs",
        client=QdrantClient(":memory:"),
        enable_hybrid=True,
        sparse_doc_fn=_sparse(encoder.encode_document),
        sparse_query_fn=_sparse(encoder.encode_query),
        sparse_config=models.SparseVectorParams(modifier=models.Modifier.IDF),
    )
    index = _index(material, store)
    return _retrieving(
        lambda number: index.as_retriever(
            similarity_top_k=number,
            sparse_top_k=max(number, _SPARSE_DEPTH),
            hybrid_top_k=number,
            vector_store_query_mode=VectorStoreQueryMode.HYBRID,
            alpha=0.5,
        )
    )


def llama_index_fusion(material: Material) -> Built:
    """Dense and BM25 by two retrievers, fused by reciprocal rank."""
    import Stemmer
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.retrievers.bm25 import BM25Retriever

    index = _index(material, QdrantVectorStore("docs", client=QdrantClient(":memory:")))
    nodes = _nodes(material)

    def retriever(number: int) -> BaseRetriever:
        words = BM25Retriever.from_defaults(
            nodes=nodes, similarity_top_k=number, stemmer=Stemmer.Stemmer("english"), language="english"
        )
        return QueryFusionRetriever(
            [index.as_retriever(similarity_top_k=number), words],
            llm=MockLLM(),
            similarity_top_k=number,
            num_queries=1,
            mode="reciprocal_rerank",
            use_async=False,
        )

    return _retrieving(retriever)


def llama_index_hyde(material: Material) -> Built:
    """Dense search by the mean of a hypothesis and the question."""
    from llama_index.core.indices.query.query_transform import HyDEQueryTransform

    transform = HyDEQueryTransform(llm=Replay(written=dict(material.hypotheses)), include_original=True)
    index = _index(material, QdrantVectorStore("docs", client=QdrantClient(":memory:")))
    retrievers: dict[int, BaseRetriever] = {}

    def search(question: str, number: int) -> list[str]:
        if number not in retrievers:
            retrievers[number] = index.as_retriever(similarity_top_k=number)
        return [each.node.metadata["id"] for each in retrievers[number].retrieve(transform.run(question))]

    return Built(search)


def llama_index_rerank(material: Material) -> Built:
    """The cross-encoder as a node postprocessor."""
    from llama_index.core.postprocessor import SentenceTransformerRerank
    from llama_index.core.schema import NodeWithScore

    rerankers: dict[int, SentenceTransformerRerank] = {}

    def rank(question: str, texts: Sequence[str], number: int) -> list[int]:
        if number not in rerankers:
            rerankers[number] = SentenceTransformerRerank(model=material.cross_encoder, top_n=number)
        nodes = [
            NodeWithScore(node=TextNode(text=text, metadata={"at": at}, excluded_embed_metadata_keys=["at"]))
            for at, text in enumerate(texts)
        ]
        ranked = rerankers[number].postprocess_nodes(nodes, query_str=question)
        return [each.node.metadata["at"] for each in ranked]

    return Built(rank=rank)


class Replay(CustomLLM):
    """A language model that says the first hypothesis written for the question in its prompt."""

    written: dict[str, list[str]]

    @property
    def metadata(self) -> LLMMetadata:
        """Its name."""
        return LLMMetadata(model_name="replay")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """The hypothesis."""
        return CompletionResponse(
            text=next(said[0] for question, said in self.written.items() if question in prompt)
        )

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        """The hypothesis at once."""
        yield self.complete(prompt, formatted, **kwargs)


def _index(material: Material, store: QdrantVectorStore) -> VectorStoreIndex:
    embedding = HuggingFaceEmbedding(model_name=material.model)
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex(_nodes(material), storage_context=context, embed_model=embedding)


def _nodes(material: Material) -> list[TextNode]:
    return [
        TextNode(text=text, metadata={"id": id_}, embedding=vector)
        for id_, text, vector in zip(material.ids, material.texts, material.vectors.tolist(), strict=True)
    ]


def _retrieving(make: Callable[[int], BaseRetriever]) -> Built:
    """A search by a retriever, which LlamaIndex makes for a number of nodes."""
    retrievers: dict[int, BaseRetriever] = {}

    def search(question: str, number: int) -> list[str]:
        if number not in retrievers:
            retrievers[number] = make(number)
        return [each.node.metadata["id"] for each in retrievers[number].retrieve(question)][:number]

    return Built(search)


def _sparse(encode: Callable[[list[str]], Any]) -> Callable[[list[str]], Any]:
    """An encoder as the store calls it: texts in, lists of indices and lists of values out."""

    def of(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
        vectors = encode(texts)
        return [list(each.indices) for each in vectors], [list(each.values) for each in vectors]

    return of
