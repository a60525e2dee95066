"""Hydrant's retrieval, reranking and query expansion as LangChain's own kinds of components.

Names are imported when they are first used, so that a chain with a retriever does not load what an index needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_hydrant._query import ExpandedQuery as ExpandedQuery
    from langchain_hydrant.encoder import EmbeddingsEncoder as EmbeddingsEncoder
    from langchain_hydrant.examples import HydrantExampleSelector as HydrantExampleSelector
    from langchain_hydrant.expansion import HydeExpander as HydeExpander
    from langchain_hydrant.generator import ChatModelGenerator as ChatModelGenerator
    from langchain_hydrant.hyde_embeddings import HydeEmbeddings as HydeEmbeddings
    from langchain_hydrant.index import HydrantIndex as HydrantIndex
    from langchain_hydrant.packer import HydrantContextPacker as HydrantContextPacker
    from langchain_hydrant.reranker import HydrantReranker as HydrantReranker
    from langchain_hydrant.retriever import HydrantRetriever as HydrantRetriever
    from langchain_hydrant.tool import create_hydrant_tool as create_hydrant_tool

__version__ = "0.1.0"

_HOMES = {
    "ChatModelGenerator": "langchain_hydrant.generator",
    "EmbeddingsEncoder": "langchain_hydrant.encoder",
    "ExpandedQuery": "langchain_hydrant._query",
    "HydeEmbeddings": "langchain_hydrant.hyde_embeddings",
    "HydeExpander": "langchain_hydrant.expansion",
    "HydrantContextPacker": "langchain_hydrant.packer",
    "HydrantExampleSelector": "langchain_hydrant.examples",
    "HydrantIndex": "langchain_hydrant.index",
    "HydrantReranker": "langchain_hydrant.reranker",
    "HydrantRetriever": "langchain_hydrant.retriever",
    "create_hydrant_tool": "langchain_hydrant.tool",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  every key of _HOMES is a string


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'langchain_hydrant' has no attribute {name!r}; it has {sorted(_HOMES)}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
