"""The calls that read points: query, retrieve, scroll, count, facet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import qdrant_edge as engine
from qdrant_client import models
from qdrant_client.conversions import common_types as types

from hydrant.edge.base import BackendBase
from hydrant.edge.convert.filters import to_engine_filter
from hydrant.edge.convert.ids import from_engine_id, to_engine_id, to_engine_ids
from hydrant.edge.convert.queries import (
    Level,
    Selection,
    has_ranking,
    to_engine_order,
    to_engine_selector,
)
from hydrant.edge.convert.results import to_pairs, to_record, to_scored_points
from hydrant.edge.faults import checked
from hydrant.edge.options import check_options
from hydrant.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class Reads(BackendBase):
    """The reading half of the backend. Arguments and results are those of `QdrantClient`."""

    def query_points(
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | list[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        score_threshold: float | None = None,
        lookup_from: models.LookupLocation | None = None,
        **kwargs: Any,
    ) -> types.QueryResponse:
        """Search, rank, fuse or sample points; see `QdrantClient.query_points`."""
        if kwargs:
            check_options("query_points", kwargs)
        level = Level(
            query, using, prefetch, query_filter, search_params, score_threshold, limit, lookup_from
        )
        selection = Selection(offset, with_payload, _vectors(with_vectors))
        collection = self.store.collection(collection_name)
        found = collection.shard.query(collection.planner.request(level, selection))
        return _response(found, selection, query)

    def query_batch_points(
        self, collection_name: str, requests: Sequence[models.QueryRequest], **kwargs: Any
    ) -> list[types.QueryResponse]:
        """Several queries planned as one; see `QdrantClient.query_batch_points`."""
        check_options("query_batch_points", kwargs)
        selections = [_selection_of(request) for request in requests]
        return [
            _response(answer, selection, request.query)
            for answer, selection, request in zip(
                self._batch(collection_name, requests, selections), selections, requests, strict=True
            )
        ]

    def query_batch_scores(
        self, collection_name: str, requests: Sequence[models.QueryRequest]
    ) -> list[list[tuple[int | str, float]]]:
        """As `query_batch_points`, ids and scores alone; the order among equal scores is the engine's."""
        bare = Selection(None, with_payload=False, with_vectors=False)
        selections = [replace(bare, offset=request.offset) for request in requests]
        return [to_pairs(answer) for answer in self._batch(collection_name, requests, selections)]

    def _batch(
        self, collection_name: str, requests: Sequence[models.QueryRequest], selections: Sequence[Selection]
    ) -> list[list[engine.ScoredPoint]]:
        collection = self.store.collection(collection_name)
        for request in requests:
            if request.shard_key is not None:
                check_options("query_batch_points", {"shard_key": request.shard_key})
        converted = [
            collection.planner.request(_level_of(request), selection)
            for request, selection in zip(requests, selections, strict=True)
        ]
        if not converted:
            return []
        batch = engine.QueryBatchRequest(converted)
        return collection.shard.read("query", lambda opened: opened.query_batch(batch))

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        **kwargs: Any,
    ) -> list[models.Record]:
        """Points by id, in the order of the ids; see `QdrantClient.retrieve`."""
        check_options("retrieve", kwargs)
        collection = self.store.collection(collection_name)
        wanted, vectors = to_engine_ids(ids), _vectors(with_vectors)
        selector = to_engine_selector(with_payload)
        records = collection.shard.read("retrieve", lambda opened: opened.retrieve(wanted, selector, vectors))
        return [to_record(record, with_payload=_wants(with_payload)) for record in records]

    def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        order_by: models.OrderBy | str | None = None,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        **kwargs: Any,
    ) -> tuple[list[models.Record], int | str | UUID | None]:
        """Points in the order of their ids or of a payload field; see `QdrantClient.scroll`."""
        check_options("scroll", kwargs)
        if limit < 1:
            message = f"limit value {limit} is invalid. Must be 1 or larger."
            raise InputError(message)
        request = checked(engine.ScrollRequest)(
            offset=to_engine_id(offset) if offset is not None else None,
            limit=limit,
            filter=to_engine_filter(scroll_filter),
            with_payload=to_engine_selector(with_payload),
            with_vector=_vectors(with_vectors),
            order_by=to_engine_order(order_by) if order_by is not None else None,
        )
        collection = self.store.collection(collection_name)
        records, following = collection.shard.read("scroll", lambda opened: opened.scroll(request))
        found = [to_record(record, with_payload=_wants(with_payload)) for record in records]
        return found, from_engine_id(following) if following is not None else None

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
        **kwargs: Any,
    ) -> models.CountResult:
        """How many points match; see `QdrantClient.count`."""
        check_options("count", kwargs)
        request = engine.CountRequest(exact=exact, filter=to_engine_filter(count_filter))
        collection = self.store.collection(collection_name)
        return models.CountResult(count=collection.shard.read("count", lambda opened: opened.count(request)))

    def facet(
        self,
        collection_name: str,
        key: str,
        facet_filter: models.Filter | None = None,
        limit: int = 10,
        exact: bool = False,
        **kwargs: Any,
    ) -> models.FacetResponse:
        """The values of an indexed field, by how many points have them; see `QdrantClient.facet`."""
        check_options("facet", kwargs)
        if limit < 1:
            message = f"limit value {limit} is invalid. Must be 1 or larger."
            raise InputError(message)
        request = checked(engine.FacetRequest)(key, limit, exact, to_engine_filter(facet_filter))
        collection = self.store.collection(collection_name)
        answer = collection.shard.read("facet", lambda opened: opened.facet(request))
        # A value whose points are all gone stays in the engine's index with a count of zero, and comes last.
        hits = [
            models.FacetValueHit(value=_facet_value(hit.value), count=hit.count)
            for hit in answer.hits
            if hit.count > 0
        ]
        return models.FacetResponse(hits=hits)


def _level_of(request: models.QueryRequest) -> Level:
    return Level(
        request.query,
        request.using,
        request.prefetch,
        request.filter,
        request.params,
        request.score_threshold,
        request.limit,
        request.lookup_from,
    )


def _selection_of(request: models.QueryRequest) -> Selection:
    vectors = request.with_vector if request.with_vector is not None else False
    return Selection(request.offset, request.with_payload, _vectors(vectors))


def _response(found: list[engine.ScoredPoint], selection: Selection, query: Any) -> types.QueryResponse:
    points = to_scored_points(
        found,
        with_payload=_wants(selection.with_payload),
        with_vectors=selection.with_vectors,
        break_ties=has_ranking(query),
    )
    return types.QueryResponse.model_construct(points=points)


def _wants(with_payload: Any) -> bool:
    return with_payload is not None and with_payload is not False


def _vectors(with_vectors: bool | Sequence[str]) -> bool | list[str]:
    if isinstance(with_vectors, bool):
        return with_vectors
    return [with_vectors] if isinstance(with_vectors, str) else list(with_vectors)


def _facet_value(value: Any) -> Any:
    return value if isinstance(value, (str, int)) else str(value)
