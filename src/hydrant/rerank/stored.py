"""Scores of hits by the vectors that their collection has stored, computed by Qdrant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from hydrant.collection.base import CollectionBase
from hydrant.collection.ids import can_be_point
from hydrant.collection.sources import Source
from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.types import Hit, PassageId

# The points are few and named, so that Qdrant compares each of them; by its whole vectors, where it keeps small ones too.
_WHOLE = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))


def stored_scores(
    collection: CollectionBase, source: Source, vector: Any, hits: Sequence[Hit], tenant: PassageId | None
) -> Flow[dict[Any, float]]:
    """What Qdrant says of the hits' points, by the points' ids; one request, of which only scores come back.

    Points that are not there, that have no such vector, or that are another tenant's are left out, and so are hits of other
    systems, whose ids are none of Qdrant's.

    Args:
        collection: Where the points are.
        source: Which of its vectors.
        vector: The query's vector, or its token vectors.
        hits: The hits.
        tenant: Whose they are.
    """
    ids: list[Any] = list(dict.fromkeys(hit.point_id for hit in hits if can_be_point(hit.point_id)))
    if not ids:
        return {}
    condition = collection.condition(models.Filter(must=[models.HasIdCondition(has_id=ids)]), tenant)
    known = collection.profile.dense.get(source.vector)
    params = None if known is None or known.compression is None else _WHOLE
    request = models.QueryRequest(
        query=vector, using=source.vector or None, filter=condition, limit=len(ids), params=params
    )
    answers = yield collection.scores([request])
    return dict(answers[0])


def check_more_is_better(collection: CollectionBase, source: Source) -> None:
    """Refuse a vector whose scores are distances.

    Raises:
        ConfigurationError: It is compared by one.
    """
    known = collection.profile.dense.get(source.vector)
    if known is not None and not known.more_is_better:
        msg = (
            f"source {source.name!r} of collection {collection.name!r} is compared by {known.distance.value}, of which less "
            "is better; a reranker needs Cosine or Dot"
        )
        raise ConfigurationError(msg)
