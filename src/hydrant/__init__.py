"""Hydrant: state-of-the-art retrieval for RAG on Qdrant.

Names are imported when they are first used, so that `import hydrant` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydrant.collection.payload import PayloadMap as PayloadMap
    from hydrant.edge import AsyncEdgeClient as AsyncEdgeClient
    from hydrant.edge import EdgeClient as EdgeClient
    from hydrant.encode.base import Encoder as Encoder
    from hydrant.encode.bm25 import Bm25Encoder as Bm25Encoder
    from hydrant.encode.dense import DenseEncoder as DenseEncoder
    from hydrant.encode.fastembed import FastEmbedEncoder as FastEmbedEncoder
    from hydrant.encode.fastembed import FastEmbedSparseEncoder as FastEmbedSparseEncoder
    from hydrant.encode.late import LateEncoder as LateEncoder
    from hydrant.encode.muvera import MuveraEncoder as MuveraEncoder
    from hydrant.encode.sparse import SparseEncoder as SparseEncoder
    from hydrant.encode.views import ViewEncoder as ViewEncoder
    from hydrant.facade import Collection as Collection
    from hydrant.ingest.chunk import Chunker as Chunker
    from hydrant.ingest.report import IndexReport as IndexReport
    from hydrant.pipeline import Pipeline as Pipeline
    from hydrant.pipeline import Stage as Stage
    from hydrant.retrieve.after import GroupBy as GroupBy
    from hydrant.retrieve.after import Mmr as Mmr
    from hydrant.retrieve.boosts import Boost as Boost
    from hydrant.retrieve.boosts import Matching as Matching
    from hydrant.retrieve.boosts import Popularity as Popularity
    from hydrant.retrieve.boosts import Recency as Recency
    from hydrant.retrieve.feedback import Feedback as Feedback
    from hydrant.retrieve.feedback_methods import Average as Average
    from hydrant.retrieve.feedback_methods import FeedbackMethod as FeedbackMethod
    from hydrant.retrieve.feedback_methods import QdrantFeedback as QdrantFeedback
    from hydrant.retrieve.feedback_methods import Rocchio as Rocchio
    from hydrant.retrieve.fusion import CombMnz as CombMnz
    from hydrant.retrieve.fusion import CombSum as CombSum
    from hydrant.retrieve.fusion import Convex as Convex
    from hydrant.retrieve.fusion import Dbsf as Dbsf
    from hydrant.retrieve.fusion import Rrf as Rrf
    from hydrant.retrieve.retriever import Retriever as Retriever
    from hydrant.types import Degradation as Degradation
    from hydrant.types import Hit as Hit
    from hydrant.types import Passage as Passage
    from hydrant.types import Query as Query
    from hydrant.types import SearchResult as SearchResult
    from hydrant.types import SearchState as SearchState
    from hydrant.types import StageScore as StageScore

__version__ = "0.1.0"

_HOMES = {
    "AsyncEdgeClient": "hydrant.edge",
    "Average": "hydrant.retrieve.feedback_methods",
    "Bm25Encoder": "hydrant.encode.bm25",
    "Boost": "hydrant.retrieve.boosts",
    "Chunker": "hydrant.ingest.chunk",
    "Collection": "hydrant.facade",
    "CombMnz": "hydrant.retrieve.fusion",
    "CombSum": "hydrant.retrieve.fusion",
    "Convex": "hydrant.retrieve.fusion",
    "Dbsf": "hydrant.retrieve.fusion",
    "Degradation": "hydrant.types",
    "DenseEncoder": "hydrant.encode.dense",
    "EdgeClient": "hydrant.edge",
    "Encoder": "hydrant.encode.base",
    "Feedback": "hydrant.retrieve.feedback",
    "FeedbackMethod": "hydrant.retrieve.feedback_methods",
    "GroupBy": "hydrant.retrieve.after",
    "FastEmbedEncoder": "hydrant.encode.fastembed",
    "FastEmbedSparseEncoder": "hydrant.encode.fastembed",
    "Hit": "hydrant.types",
    "IndexReport": "hydrant.ingest.report",
    "Matching": "hydrant.retrieve.boosts",
    "Mmr": "hydrant.retrieve.after",
    "LateEncoder": "hydrant.encode.late",
    "MuveraEncoder": "hydrant.encode.muvera",
    "Passage": "hydrant.types",
    "PayloadMap": "hydrant.collection.payload",
    "Pipeline": "hydrant.pipeline",
    "Popularity": "hydrant.retrieve.boosts",
    "QdrantFeedback": "hydrant.retrieve.feedback_methods",
    "Query": "hydrant.types",
    "Recency": "hydrant.retrieve.boosts",
    "Retriever": "hydrant.retrieve.retriever",
    "Rocchio": "hydrant.retrieve.feedback_methods",
    "Rrf": "hydrant.retrieve.fusion",
    "SearchResult": "hydrant.types",
    "SearchState": "hydrant.types",
    "SparseEncoder": "hydrant.encode.sparse",
    "Stage": "hydrant.pipeline",
    "StageScore": "hydrant.types",
    "ViewEncoder": "hydrant.encode.views",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  every key of _HOMES is a string


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'hydrant' has no attribute {name!r}; it has {sorted(_HOMES)}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
