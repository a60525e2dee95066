"""Hydrant: state-of-the-art retrieval for RAG on Qdrant.

Names are imported when they are first used, so that `import hydrant` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydrant.collection.payload import PayloadMap as PayloadMap
    from hydrant.config.describe import described as described
    from hydrant.config.describe import to_yaml as to_yaml
    from hydrant.config.pipelines import PipelineConfig as PipelineConfig
    from hydrant.config.pipelines import open_pipeline as open_pipeline
    from hydrant.config.pipelines import open_pipelines as open_pipelines
    from hydrant.context.localise import Localiser as Localiser
    from hydrant.context.packer import ContextPacker as ContextPacker
    from hydrant.context.template import ContextTemplate as ContextTemplate
    from hydrant.edge import AsyncEdgeClient as AsyncEdgeClient
    from hydrant.edge import EdgeClient as EdgeClient
    from hydrant.encode.base import Encoder as Encoder
    from hydrant.encode.bm25 import Bm25Encoder as Bm25Encoder
    from hydrant.encode.cur import CurEncoder as CurEncoder
    from hydrant.encode.dense import DenseEncoder as DenseEncoder
    from hydrant.encode.fastembed import FastEmbedEncoder as FastEmbedEncoder
    from hydrant.encode.fastembed import FastEmbedSparseEncoder as FastEmbedSparseEncoder
    from hydrant.encode.late import LateEncoder as LateEncoder
    from hydrant.encode.muvera import MuveraEncoder as MuveraEncoder
    from hydrant.encode.sparse import SparseEncoder as SparseEncoder
    from hydrant.encode.views import ViewEncoder as ViewEncoder
    from hydrant.evaluate.experiment import Experiment as Experiment
    from hydrant.evaluate.experiment import System as System
    from hydrant.evaluate.judgments import Run as Run
    from hydrant.evaluate.make_set import SetMaker as SetMaker
    from hydrant.evaluate.report import Report as Report
    from hydrant.evaluate.tasks import Task as Task
    from hydrant.evaluate.tune import Tuner as Tuner
    from hydrant.expand.base import LlmExpansion as LlmExpansion
    from hydrant.expand.family import ContextQuery as ContextQuery
    from hydrant.expand.family import Keywords as Keywords
    from hydrant.expand.family import MultiQuery as MultiQuery
    from hydrant.expand.family import ReasonFirst as ReasonFirst
    from hydrant.expand.family import StepBack as StepBack
    from hydrant.expand.gate import Gate as Gate
    from hydrant.expand.gate import PredictorGate as PredictorGate
    from hydrant.expand.hyde import Hyde as Hyde
    from hydrant.facade import Collection as Collection
    from hydrant.flow.steps import Effect as Effect
    from hydrant.generate.base import TextGenerator as TextGenerator
    from hydrant.generate.cache import DiskCache as DiskCache
    from hydrant.generate.cache import ExpansionCache as ExpansionCache
    from hydrant.generate.cache import MemoryCache as MemoryCache
    from hydrant.generate.function import CallableGenerator as CallableGenerator
    from hydrant.generate.local_llama import LlamaCppGenerator as LlamaCppGenerator
    from hydrant.generate.local_transformers import TransformersGenerator as TransformersGenerator
    from hydrant.generate.openai_chat import OpenAIGenerator as OpenAIGenerator
    from hydrant.generate.requests import Generation as Generation
    from hydrant.generate.requests import GenerationRequest as GenerationRequest
    from hydrant.generate.requests import Message as Message
    from hydrant.generate.single import SingleSampleGenerator as SingleSampleGenerator
    from hydrant.ingest.chunk import Chunker as Chunker
    from hydrant.ingest.report import IndexReport as IndexReport
    from hydrant.pipeline import Pipeline as Pipeline
    from hydrant.pipeline import Stage as Stage
    from hydrant.rerank.base import Ranking as Ranking
    from hydrant.rerank.base import Reranker as Reranker
    from hydrant.rerank.base import Top as Top
    from hydrant.rerank.bi_encoder import BiEncoderReranker as BiEncoderReranker
    from hydrant.rerank.blend import Blend as Blend
    from hydrant.rerank.cross_encoder import CrossEncoderReranker as CrossEncoderReranker
    from hydrant.rerank.cur import CurReranker as CurReranker
    from hydrant.rerank.late_interaction import LateInteractionReranker as LateInteractionReranker
    from hydrant.rerank.listwise import ListwiseReranker as ListwiseReranker
    from hydrant.rerank.llm import LlmReranker as LlmReranker
    from hydrant.rerank.pairwise import PairwiseReranker as PairwiseReranker
    from hydrant.rerank.pointwise import PointwiseReranker as PointwiseReranker
    from hydrant.rerank.prompts import GradePrompt as GradePrompt
    from hydrant.rerank.prompts import RankPrompt as RankPrompt
    from hydrant.rerank.score_cache import ScoreCache as ScoreCache
    from hydrant.rerank.tournament import TournamentReranker as TournamentReranker
    from hydrant.rerank.vote import VoteReranker as VoteReranker
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
    from hydrant.types import Expansion as Expansion
    from hydrant.types import Hit as Hit
    from hydrant.types import Passage as Passage
    from hydrant.types import Query as Query
    from hydrant.types import SearchResult as SearchResult
    from hydrant.types import SearchState as SearchState
    from hydrant.types import StageScore as StageScore
    from hydrant.types import Turn as Turn
    from hydrant.types import Usage as Usage
    from hydrant.types_context import Citation as Citation
    from hydrant.types_context import Context as Context
    from hydrant.types_context import Span as Span

__version__ = "0.1.0"

_HOMES = {
    "AsyncEdgeClient": "hydrant.edge",
    "Average": "hydrant.retrieve.feedback_methods",
    "BiEncoderReranker": "hydrant.rerank.bi_encoder",
    "Blend": "hydrant.rerank.blend",
    "Bm25Encoder": "hydrant.encode.bm25",
    "Boost": "hydrant.retrieve.boosts",
    "CallableGenerator": "hydrant.generate.function",
    "Chunker": "hydrant.ingest.chunk",
    "Citation": "hydrant.types_context",
    "Collection": "hydrant.facade",
    "CombMnz": "hydrant.retrieve.fusion",
    "CombSum": "hydrant.retrieve.fusion",
    "Context": "hydrant.types_context",
    "ContextPacker": "hydrant.context.packer",
    "ContextQuery": "hydrant.expand.family",
    "ContextTemplate": "hydrant.context.template",
    "Convex": "hydrant.retrieve.fusion",
    "CrossEncoderReranker": "hydrant.rerank.cross_encoder",
    "CurEncoder": "hydrant.encode.cur",
    "CurReranker": "hydrant.rerank.cur",
    "Dbsf": "hydrant.retrieve.fusion",
    "Degradation": "hydrant.types",
    "DenseEncoder": "hydrant.encode.dense",
    "DiskCache": "hydrant.generate.cache",
    "EdgeClient": "hydrant.edge",
    "Effect": "hydrant.flow.steps",
    "Encoder": "hydrant.encode.base",
    "Expansion": "hydrant.types",
    "ExpansionCache": "hydrant.generate.cache",
    "Experiment": "hydrant.evaluate.experiment",
    "FastEmbedEncoder": "hydrant.encode.fastembed",
    "FastEmbedSparseEncoder": "hydrant.encode.fastembed",
    "Feedback": "hydrant.retrieve.feedback",
    "FeedbackMethod": "hydrant.retrieve.feedback_methods",
    "Gate": "hydrant.expand.gate",
    "Generation": "hydrant.generate.requests",
    "GenerationRequest": "hydrant.generate.requests",
    "GradePrompt": "hydrant.rerank.prompts",
    "GroupBy": "hydrant.retrieve.after",
    "Hit": "hydrant.types",
    "Hyde": "hydrant.expand.hyde",
    "IndexReport": "hydrant.ingest.report",
    "Keywords": "hydrant.expand.family",
    "LateEncoder": "hydrant.encode.late",
    "LateInteractionReranker": "hydrant.rerank.late_interaction",
    "ListwiseReranker": "hydrant.rerank.listwise",
    "LlamaCppGenerator": "hydrant.generate.local_llama",
    "LlmExpansion": "hydrant.expand.base",
    "LlmReranker": "hydrant.rerank.llm",
    "Localiser": "hydrant.context.localise",
    "Matching": "hydrant.retrieve.boosts",
    "MemoryCache": "hydrant.generate.cache",
    "Message": "hydrant.generate.requests",
    "Mmr": "hydrant.retrieve.after",
    "MultiQuery": "hydrant.expand.family",
    "MuveraEncoder": "hydrant.encode.muvera",
    "OpenAIGenerator": "hydrant.generate.openai_chat",
    "PairwiseReranker": "hydrant.rerank.pairwise",
    "Passage": "hydrant.types",
    "PayloadMap": "hydrant.collection.payload",
    "Pipeline": "hydrant.pipeline",
    "PipelineConfig": "hydrant.config.pipelines",
    "PointwiseReranker": "hydrant.rerank.pointwise",
    "Popularity": "hydrant.retrieve.boosts",
    "PredictorGate": "hydrant.expand.gate",
    "QdrantFeedback": "hydrant.retrieve.feedback_methods",
    "Query": "hydrant.types",
    "RankPrompt": "hydrant.rerank.prompts",
    "Ranking": "hydrant.rerank.base",
    "ReasonFirst": "hydrant.expand.family",
    "Recency": "hydrant.retrieve.boosts",
    "Report": "hydrant.evaluate.report",
    "Reranker": "hydrant.rerank.base",
    "Retriever": "hydrant.retrieve.retriever",
    "Rocchio": "hydrant.retrieve.feedback_methods",
    "Rrf": "hydrant.retrieve.fusion",
    "Run": "hydrant.evaluate.judgments",
    "ScoreCache": "hydrant.rerank.score_cache",
    "SearchResult": "hydrant.types",
    "SearchState": "hydrant.types",
    "SingleSampleGenerator": "hydrant.generate.single",
    "Span": "hydrant.types_context",
    "SetMaker": "hydrant.evaluate.make_set",
    "SparseEncoder": "hydrant.encode.sparse",
    "Stage": "hydrant.pipeline",
    "StageScore": "hydrant.types",
    "StepBack": "hydrant.expand.family",
    "System": "hydrant.evaluate.experiment",
    "Task": "hydrant.evaluate.tasks",
    "TextGenerator": "hydrant.generate.base",
    "Top": "hydrant.rerank.base",
    "TournamentReranker": "hydrant.rerank.tournament",
    "TransformersGenerator": "hydrant.generate.local_transformers",
    "Tuner": "hydrant.evaluate.tune",
    "Turn": "hydrant.types",
    "Usage": "hydrant.types",
    "ViewEncoder": "hydrant.encode.views",
    "VoteReranker": "hydrant.rerank.vote",
    "described": "hydrant.config.describe",
    "open_pipeline": "hydrant.config.pipelines",
    "open_pipelines": "hydrant.config.pipelines",
    "to_yaml": "hydrant.config.describe",
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
