"""Who is compared: for each a function that builds it from the material, and the settings that it runs with.

A contender is built at the best setting that its documentation has for the task, and the setting is printed with its result.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.peers.material import Material

# From a question and a number to the ids of that many passages, best first.
Search = Callable[[str, int], list[str]]
AsyncSearch = Callable[[str, int], Awaitable[list[str]]]
# From a question and texts to the places of the best texts, best first, and as many as the number says.
Rank = Callable[[str, Sequence[str], int], list[int]]
AsyncRank = Callable[[str, Sequence[str], int], Awaitable[list[int]]]


@dataclass(frozen=True)
class Built:
    """A contender, ready to search or to rank.

    Attributes:
        search: Finds passages.
        asearch: The same for an event loop; None where the tool has nothing of its own for that.
        rank: Ranks texts.
        arank: The same for an event loop.
    """

    search: Search | None = None
    asearch: AsyncSearch | None = None
    rank: Rank | None = None
    arank: AsyncRank | None = None


@dataclass(frozen=True)
class Contender:
    """One tool in one setting.

    Attributes:
        name: What the command line calls it.
        tool: Whose it is.
        what: What it does.
        setting: How it was set up, in words.
        module: Where its builder is.
        imports: What a program that uses it imports.
        needs: Distributions that `make test` does not install.
    """

    name: str
    tool: str
    what: str
    setting: str
    module: str
    imports: str
    needs: Sequence[str] = ()

    def build(self, material: Material) -> Built:
        """Set it up."""
        builder: Callable[[Material], Built] = getattr(
            importlib.import_module(f"benchmarks.peers.{self.module}"), self.name.replace("-", "_")
        )
        return builder(material)


_LOCAL = "qdrant-client's local mode"
_LANGCHAIN = "from langchain_qdrant import QdrantVectorStore"
_LLAMA_INDEX = "from llama_index.core import VectorStoreIndex; from llama_index.vector_stores.qdrant import QdrantVectorStore"
_HYDRANT = "from hydrant import Collection, EdgeClient, DenseEncoder, Bm25Encoder, Retriever"

RETRIEVAL = (
    Contender("hydrant-dense", "Hydrant", "dense", "EdgeClient", "of_hydrant", _HYDRANT),
    Contender("hydrant-hybrid", "Hydrant", "dense + BM25", "EdgeClient, defaults", "of_hydrant", _HYDRANT),
    Contender(
        "hydrant-onnx", "Hydrant", "dense + BM25", "EdgeClient, onnx int8 for queries", "of_hydrant", _HYDRANT
    ),
    Contender(
        "langchain-dense", "LangChain", "dense", f"QdrantVectorStore, {_LOCAL}", "of_langchain", _LANGCHAIN
    ),
    Contender(
        "langchain-hybrid",
        "LangChain",
        "dense + BM25",
        f"QdrantVectorStore HYBRID (RRF in Qdrant), {_LOCAL}",
        "of_langchain",
        _LANGCHAIN,
    ),
    Contender(
        "langchain-on-edge",
        "LangChain",
        "dense + BM25",
        "QdrantVectorStore HYBRID on Hydrant's EdgeClient",
        "of_langchain",
        _LANGCHAIN,
    ),
    Contender(
        "langchain-ensemble",
        "LangChain",
        "dense + BM25",
        f"EnsembleRetriever (weights 0.5, c=60): QdrantVectorStore, {_LOCAL}, and BM25Retriever, words in lower case",
        "of_langchain",
        "from langchain_classic.retrievers import EnsembleRetriever; " + _LANGCHAIN,
        ("langchain-classic", "langchain-community", "rank-bm25"),
    ),
    Contender(
        "llama-index-dense",
        "LlamaIndex",
        "dense",
        f"QdrantVectorStore, {_LOCAL}",
        "of_llama_index",
        _LLAMA_INDEX,
    ),
    Contender(
        "llama-index-hybrid",
        "LlamaIndex",
        "dense + BM25",
        f"QdrantVectorStore enable_hybrid, alpha=0.5, sparse_top_k=100, {_LOCAL}",
        "of_llama_index",
        _LLAMA_INDEX,
    ),
    Contender(
        "llama-index-fusion",
        "LlamaIndex",
        "dense + BM25",
        f"QueryFusionRetriever (reciprocal_rerank, num_queries=1): QdrantVectorStore, {_LOCAL}, and BM25Retriever",
        "of_llama_index",
        "from llama_index.core.retrievers import QueryFusionRetriever; " + _LLAMA_INDEX,
        ("llama-index-retrievers-bm25",),
    ),
)
_RERANK = "from hydrant import CrossEncoderReranker"
RERANKING = (
    Contender("hydrant-rerank", "Hydrant", "rerank", "CrossEncoderReranker, torch", "of_hydrant", _RERANK),
    Contender(
        "hydrant-rerank-onnx", "Hydrant", "rerank", "CrossEncoderReranker, onnx int8", "of_hydrant", _RERANK
    ),
    Contender(
        "predict",
        "sentence-transformers",
        "rerank",
        "CrossEncoder.predict, defaults",
        "of_others",
        "from sentence_transformers import CrossEncoder",
    ),
    Contender(
        "langchain-rerank",
        "LangChain",
        "rerank",
        "CrossEncoderReranker with HuggingFaceCrossEncoder",
        "of_others",
        "from langchain_classic.retrievers.document_compressors import CrossEncoderReranker",
        ("langchain-classic", "langchain-community"),
    ),
    Contender(
        "llama-index-rerank",
        "LlamaIndex",
        "rerank",
        "SentenceTransformerRerank",
        "of_llama_index",
        "from llama_index.core.postprocessor import SentenceTransformerRerank",
    ),
    Contender(
        "rerankers-rerank",
        "rerankers",
        "rerank",
        "Reranker(model_type='cross-encoder'), batch_size=16 (default)",
        "of_others",
        "from rerankers import Reranker",
        ("rerankers",),
    ),
)
HYDE = (
    Contender("hydrant-dense", "Hydrant", "dense", "no hypothesis", "of_hydrant", _HYDRANT),
    Contender("hydrant-hyde-1", "Hydrant", "HyDE, dense", "Hyde(hypotheses=1)", "of_hydrant", _HYDRANT),
    Contender("hydrant-hyde-4", "Hydrant", "HyDE, dense", "Hyde(hypotheses=4)", "of_hydrant", _HYDRANT),
    Contender(
        "hydrant-hyde-hybrid", "Hydrant", "HyDE, dense + BM25", "Hyde(hypotheses=4)", "of_hydrant", _HYDRANT
    ),
    Contender(
        "langchain-hyde",
        "LangChain",
        "HyDE, dense",
        "HypotheticalDocumentEmbedder (web_search), one hypothesis, without the query",
        "of_langchain",
        "from langchain_classic.chains import HypotheticalDocumentEmbedder",
        ("langchain-classic",),
    ),
    Contender(
        "llama-index-hyde",
        "LlamaIndex",
        "HyDE, dense",
        "HyDEQueryTransform(include_original=True), one hypothesis",
        "of_llama_index",
        "from llama_index.core.indices.query.query_transform import HyDEQueryTransform",
    ),
)
ALL = {contender.name: contender for contender in (*RETRIEVAL, *RERANKING, *HYDE)}
