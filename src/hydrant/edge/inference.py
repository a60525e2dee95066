"""Whether a request holds text or images that qdrant-client must turn into vectors first.

qdrant-client inspects every argument by walking its models; on a small query that takes longer than the search.
These checks look only where such an object can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

if TYPE_CHECKING:
    from collections.abc import Iterable

INFERENCE = (models.Document, models.Image, models.InferenceObject)


def in_query(query: Any) -> bool:
    """Whether a query holds something to embed."""
    if query is None or isinstance(query, (list, int, str, models.SparseVector)):
        return False
    if isinstance(query, models.NearestQuery):
        return isinstance(query.nearest, INFERENCE)
    return isinstance(query, INFERENCE) or _in_examples(query)


def in_prefetch(prefetch: Any) -> bool:
    """Whether a prefetch, at any depth, holds something to embed."""
    if prefetch is None:
        return False
    if isinstance(prefetch, models.Prefetch):
        return in_query(prefetch.query) or in_prefetch(prefetch.prefetch)
    return any(in_prefetch(item) for item in prefetch)


def in_points(points: Any) -> bool:
    """Whether the vectors of some points hold something to embed."""
    if isinstance(points, models.Batch):
        vectors: Any = points.vectors
        columns: Iterable[Any] = vectors.values() if isinstance(vectors, dict) else (vectors,)
        return any(isinstance(item, INFERENCE) for column in columns for item in column)
    return any(_in_vectors(point.vector) for point in points)


def _in_vectors(vector: Any) -> bool:
    if isinstance(vector, list):
        return False
    if isinstance(vector, dict):
        return any(isinstance(value, INFERENCE) for value in vector.values())
    return isinstance(vector, INFERENCE)


def _in_examples(query: Any) -> bool:
    return any(isinstance(example, INFERENCE) for example in _examples(query))


def _examples(query: Any) -> list[Any]:
    if isinstance(query, models.RecommendQuery):
        return [*(query.recommend.positive or ()), *(query.recommend.negative or ())]
    if isinstance(query, models.DiscoverQuery):
        return [query.discover.target, *_pairs(query.discover.context)]
    if isinstance(query, models.ContextQuery):
        return _pairs(query.context)
    if isinstance(query, models.RelevanceFeedbackQuery):
        given = query.relevance_feedback
        return [given.target, *(item.example for item in given.feedback)]
    return []


def _pairs(context: Any) -> list[Any]:
    pairs = context if isinstance(context, list) else [context] if context is not None else []
    return [example for pair in pairs for example in (pair.positive, pair.negative)]
