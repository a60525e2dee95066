"""Distances among a random sample of points, built on the engine's sampling and search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.base import BackendBase
from hydrant.edge.convert.filters import to_engine_filter
from hydrant.edge.convert.ids import from_engine_id, id_order
from hydrant.edge.options import check_options
from hydrant.errors import InputError

if TYPE_CHECKING:
    from hydrant.edge.collection import Collection

_LEAST_SAMPLE = 2


class MatrixCalls(BackendBase):
    """Arguments and results are those of `QdrantClient`."""

    def search_matrix_pairs(
        self,
        collection_name: str,
        query_filter: models.Filter | None = None,
        limit: int = 3,
        sample: int = 10,
        using: str | None = None,
        **kwargs: Any,
    ) -> models.SearchMatrixPairsResponse:
        """The nearest neighbours within a sample, as pairs; see `QdrantClient.search_matrix_pairs`."""
        check_options("search_matrix_pairs", kwargs)
        collection = self.store.collection(collection_name)
        rows = _neighbours(collection, query_filter, limit, sample, using)
        pairs = [
            models.SearchMatrixPair(a=own, b=other, score=score)
            for own, found in rows
            for other, score in found
        ]
        return models.SearchMatrixPairsResponse(pairs=pairs)

    def search_matrix_offsets(
        self,
        collection_name: str,
        query_filter: models.Filter | None = None,
        limit: int = 3,
        sample: int = 10,
        using: str | None = None,
        **kwargs: Any,
    ) -> models.SearchMatrixOffsetsResponse:
        """The same as a sparse matrix; see `QdrantClient.search_matrix_offsets`."""
        check_options("search_matrix_offsets", kwargs)
        collection = self.store.collection(collection_name)
        rows = _neighbours(collection, query_filter, limit, sample, using)
        offsets = {own: offset for offset, (own, _) in enumerate(rows)}
        return models.SearchMatrixOffsetsResponse(
            offsets_row=[offsets[own] for own, found in rows for _ in found],
            offsets_col=[offsets[other] for _, found in rows for other, _ in found],
            scores=[score for _, found in rows for _, score in found],
            ids=[own for own, _ in rows],
        )


def _neighbours(
    collection: Collection, query_filter: models.Filter | None, limit: int, sample: int, using: str | None
) -> list[tuple[int | str, list[tuple[int | str, float]]]]:
    """Each sampled point's id with its nearest among the others, in the order of the ids."""
    if limit < 1:
        message = f"limit value {limit} is invalid. Must be 1 or larger."
        raise InputError(message)
    if sample < _LEAST_SAMPLE:
        message = f"sample value {sample} is invalid. Must be {_LEAST_SAMPLE} or larger."
        raise InputError(message)
    name = using if using is not None else ""
    collection.schema.require(name)
    points = _sampled(collection, query_filter, sample, name)
    if len(points) < _LEAST_SAMPLE:
        return []
    # An exact search for each point, kept to the others of the sample.
    own_filter = to_engine_filter(query_filter)
    requests = []
    for point_id, vector in points:
        others: Any = {other for other, _ in points if other != point_id}
        condition: list[Any] = [engine.HasIdCondition(others)]
        within = engine.Filter(must=condition if own_filter is None else [own_filter, *condition])
        requests.append(
            engine.QueryRequest(limit=limit, query=engine.Query.Nearest(vector, using=name), filter=within)
        )
    batch = engine.QueryBatchRequest(requests)
    answers = collection.shard.read("query", lambda opened: opened.query_batch(batch))
    return [
        (from_engine_id(point_id), [(from_engine_id(hit.id), hit.score) for hit in found])
        for (point_id, _), found in zip(points, answers, strict=True)
    ]


def _sampled(
    collection: Collection, query_filter: models.Filter | None, sample: int, name: str
) -> list[tuple[Any, Any]]:
    conditions: list[Any] = [engine.HasVectorCondition(name)]
    own_filter = to_engine_filter(query_filter)
    if own_filter is not None:
        conditions.append(own_filter)
    request = engine.QueryRequest(
        limit=sample,
        query=engine.Sample.Random,
        filter=engine.Filter(must=conditions),
        with_vector=[name],
        with_payload=False,
    )
    points = []
    for point in collection.shard.query(request):
        vector: Any = point.vector
        points.append((point.id, vector[name] if isinstance(vector, dict) else vector))
    return sorted(points, key=lambda point: id_order(from_engine_id(point[0])))
