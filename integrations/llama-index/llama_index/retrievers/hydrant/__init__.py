"""Hydrant for LlamaIndex: retrievers, query expansion, indexing, and LlamaIndex's own models as Hydrant's."""

from llama_index.retrievers.hydrant.base import HydrantRetriever
from llama_index.retrievers.hydrant.bundle import HydrantQueryBundle
from llama_index.retrievers.hydrant.embedding import embedding_encoder
from llama_index.retrievers.hydrant.events import HydrantSearchEvent
from llama_index.retrievers.hydrant.filters import to_filter
from llama_index.retrievers.hydrant.generator import LlamaIndexGenerator
from llama_index.retrievers.hydrant.hyde import HydrantHyDE, HydrantHyDERetriever
from llama_index.retrievers.hydrant.indexer import HydrantIndexer

__all__ = [
    "HydrantHyDE",
    "HydrantHyDERetriever",
    "HydrantIndexer",
    "HydrantQueryBundle",
    "HydrantRetriever",
    "HydrantSearchEvent",
    "LlamaIndexGenerator",
    "embedding_encoder",
    "to_filter",
]
