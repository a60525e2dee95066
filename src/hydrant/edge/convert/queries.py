"""Queries, from `qdrant_client.models` to one request of the engine.

The engine searches with vectors only. Points that a query names by id are looked up first, here through the
`Lookup` that the caller gives, and are left out of the results, as a server leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import numpy as np
import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.convert.averages import average
from hydrant.edge.convert.filters import excluding, to_engine_datetime, to_engine_filter
from hydrant.edge.convert.formulas import to_engine_formula
from hydrant.edge.convert.ids import to_engine_id
from hydrant.edge.convert.params import to_engine_params
from hydrant.edge.convert.vectors import to_engine_query_vector
from hydrant.edge.faults import checked
from hydrant.errors import InputError, UnsupportedByEdge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hydrant.edge.convert.schema import Schema

DEFAULT_LIMIT = 10
RRF_K = 2
"""The constant of reciprocal rank fusion that a server takes where none is given."""
MMR_CANDIDATES_MAX = 16_384


class Lookup(Protocol):
    """Finds a point's vector by id, here or in another collection."""

    def __call__(self, place: str | None, vector_name: str, point_id: int | UUID, /) -> Any:
        """The vector as qdrant-client gives it; None for `place` means the one that is searched."""


@dataclass(slots=True)
class _Scope:
    """Where one level of a query looks: its vector, where ids are looked up, and the ids it named."""

    schema: Schema
    lookup: Lookup
    using: str
    lookup_from: models.LookupLocation | None
    mentioned: list[int | UUID] = field(default_factory=list)

    def vector(self, value: Any) -> Any:
        """A vector for the engine, from a vector or from the id of a point that has one."""
        if isinstance(value, (int, str, UUID)):
            value = self._by_id(to_engine_id(value))
        return to_engine_query_vector(self.schema, self.using, value)

    def vectors(self, values: Sequence[Any] | None) -> list[Any]:
        """The same for a list of them; None is an empty list."""
        return [self.vector(value) for value in values or ()]

    def _by_id(self, point_id: int | UUID) -> Any:
        source = self.lookup_from
        if source is None:
            self.mentioned.append(point_id)
            return self.lookup(None, self.using, point_id)
        name = source.vector if source.vector is not None else self.using
        if source.collection == self.schema.collection:
            self.mentioned.append(point_id)
        return self.lookup(source.collection, name, point_id)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a query: what a request and each of its prefetches have in common."""

    query: Any
    using: str | None
    prefetch: models.Prefetch | Sequence[models.Prefetch] | None
    filter: models.Filter | None
    params: models.SearchParams | None
    score_threshold: float | None
    limit: int | None
    lookup_from: models.LookupLocation | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which results, and how much of each."""

    offset: int | None
    with_payload: Any
    with_vectors: Any


@dataclass(frozen=True)
class Planner:
    """Turns the queries on one collection into requests of the engine.

    Attributes:
        schema: The collection's vectors.
        lookup: How to find a point's vector.
    """

    schema: Schema
    lookup: Lookup

    @checked
    def request(self, level: Level, selection: Selection) -> engine.QueryRequest:
        """The engine's request for a query.

        Raises:
            InputError: A value out of its range, or parts that do not go together.
            UnknownVector: A vector name that the collection lacks.
            VectorMismatch: A query vector of the wrong size or kind.
        """
        limit = level.limit if level.limit is not None else DEFAULT_LIMIT
        if limit < 1:
            message = f"limit value {limit} is invalid. Must be 1 or larger."
            raise InputError(message)
        offset = selection.offset
        if offset is not None and offset < 0:
            message = f"offset value {offset} is invalid. Must be 0 or larger."
            raise InputError(message)
        query, filter_ = self._query_and_filter(level, limit)
        return engine.QueryRequest(
            limit=limit,
            offset=offset,
            query=query,
            prefetches=self._prefetches(level.prefetch),
            with_vector=selection.with_vectors,
            with_payload=to_engine_selector(selection.with_payload),
            filter=filter_,
            score_threshold=level.score_threshold,
            params=to_engine_params(level.params),
        )

    def _prefetches(self, prefetch: Any) -> list[engine.Prefetch] | None:
        if prefetch is None:
            return None
        items = [prefetch] if isinstance(prefetch, models.Prefetch) else prefetch
        return [self._prefetch(item) for item in items]

    def _prefetch(self, item: models.Prefetch) -> engine.Prefetch:
        limit = item.limit if item.limit is not None else DEFAULT_LIMIT
        if limit < 1:
            message = f"prefetch limit value {limit} is invalid. Must be 1 or larger."
            raise InputError(message)
        level = Level(
            item.query,
            item.using,
            item.prefetch,
            item.filter,
            item.params,
            item.score_threshold,
            limit,
            item.lookup_from,
        )
        query, filter_ = self._query_and_filter(level, limit)
        return engine.Prefetch(
            limit=limit,
            query=query,
            prefetches=self._prefetches(item.prefetch),
            params=to_engine_params(item.params),
            filter=filter_,
            score_threshold=item.score_threshold,
        )

    def _query_and_filter(self, level: Level, limit: int) -> tuple[Any, engine.Filter | None]:
        _check_level(level)
        filter_ = to_engine_filter(level.filter)
        query = level.query
        if query is None:
            return None, filter_
        convert = _QUERIES.get(type(query))
        if convert is None:
            # A bare vector or id is short for a nearest query.
            query, convert = models.NearestQuery.model_construct(nearest=query, mmr=None), _nearest
        using = level.using if level.using is not None else ""
        scope = _Scope(self.schema, self.lookup, using, level.lookup_from)
        if convert in _ON_VECTORS:
            self.schema.require(using)
        converted = convert(scope, query, limit)
        return converted, excluding(filter_, scope.mentioned)


def to_engine_selector(selector: Any) -> Any:
    """`with_payload` as the engine takes it; None means no payload."""
    if selector is None or isinstance(selector, bool):
        return bool(selector)
    if isinstance(selector, models.PayloadSelectorInclude):
        return engine.PayloadSelector.Include(selector.include)
    if isinstance(selector, models.PayloadSelectorExclude):
        return engine.PayloadSelector.Exclude(selector.exclude)
    return list(selector)


@checked
def to_engine_order(value: str | models.OrderBy) -> engine.OrderBy:
    """An ordering by a payload field as the engine takes it; a bare string is the field's name."""
    if isinstance(value, str):
        return engine.OrderBy(value)
    direction = None
    if value.direction is not None:
        descending = value.direction is models.Direction.DESC
        direction = engine.Direction.Desc if descending else engine.Direction.Asc
    start = value.start_from
    if isinstance(start, float) and isnan(start):
        message = f"order_by {value.key!r}: start_from must be a number or a date, got {start!r}"
        raise InputError(message)
    if start is None or isinstance(start, (int, float)):
        return engine.OrderBy(value.key, direction, start)
    return engine.OrderBy(value.key, direction, to_engine_datetime(start))


def has_ranking(query: Any) -> bool:
    """Whether a query's results are ordered by score, so that equal scores mean a tie."""
    return query is not None and not isinstance(query, (models.OrderByQuery, models.SampleQuery))


def _check_level(level: Level) -> None:
    query = level.query
    if level.prefetch and query is None:
        message = "A query is needed to merge the prefetches."
        raise InputError(message)
    if level.score_threshold is not None:
        if query is None:
            message = "A query is needed to use the score_threshold."
            raise InputError(message)
        if isinstance(query, models.OrderByQuery):
            message = "Can't use score_threshold with an order_by query."
            raise InputError(message)
    if isinstance(query, (models.FusionQuery, models.RrfQuery, models.FormulaQuery)):
        if level.using and not isinstance(query, models.FormulaQuery):
            message = f"Fusion queries cannot be combined with the 'using' field; got {level.using!r}."
            raise InputError(message)
        if not level.prefetch:
            message = f"a {type(query).__name__} merges prefetches; give at least one"
            raise InputError(message)


def _nearest(scope: _Scope, query: models.NearestQuery, limit: int) -> Any:
    value = query.nearest.tolist() if isinstance(query.nearest, np.ndarray) else query.nearest
    vector = scope.vector(value)
    if query.mmr is None:
        return engine.Query.Nearest(vector, using=scope.using)
    if scope.using in scope.schema.sparse:
        message = f"query_points: the engine cannot diversify (mmr) by the sparse vector {scope.using!r}"
        raise UnsupportedByEdge(message)
    candidates = query.mmr.candidates_limit if query.mmr.candidates_limit is not None else limit
    if not 0 <= candidates <= MMR_CANDIDATES_MAX:
        message = f"mmr candidates_limit must be from 0 to {MMR_CANDIDATES_MAX}; got {candidates}"
        raise InputError(message)
    diversity = query.mmr.diversity if query.mmr.diversity is not None else 0.5
    # The engine weighs relevance where the server's interface weighs diversity: they are opposites.
    return engine.Mmr(vector, 1.0 - diversity, candidates, using=scope.using)


def _recommend(scope: _Scope, query: models.RecommendQuery, _limit: int) -> engine.Query:
    given = query.recommend
    positives, negatives = scope.vectors(given.positive), scope.vectors(given.negative)
    strategy = given.strategy if given.strategy is not None else models.RecommendStrategy.AVERAGE_VECTOR
    if strategy is models.RecommendStrategy.AVERAGE_VECTOR:
        if not positives:
            message = "the average_vector strategy needs at least one positive example; got none"
            raise InputError(message)
        return engine.Query.Nearest(average(positives, negatives), using=scope.using)
    if not positives and not negatives:
        message = f"the {strategy.value} strategy needs a positive or a negative example; got neither"
        raise InputError(message)
    converted = engine.RecommendQuery(positives, negatives)
    if strategy is models.RecommendStrategy.BEST_SCORE:
        return engine.Query.RecommendBestScore(converted, using=scope.using)
    return engine.Query.RecommendSumScores(converted, using=scope.using)


def _discover(scope: _Scope, query: models.DiscoverQuery, _limit: int) -> engine.Query:
    target = scope.vector(query.discover.target)
    pairs = _pairs(scope, query.discover.context)
    return engine.Query.Discover(engine.DiscoverQuery(target, pairs), using=scope.using)


def _context(scope: _Scope, query: models.ContextQuery, _limit: int) -> engine.Query:
    return engine.Query.Context(engine.ContextQuery(_pairs(scope, query.context)), using=scope.using)


def _pairs(scope: _Scope, context: Any) -> list[engine.ContextPair]:
    if context is None:
        return []
    pairs = context if isinstance(context, list) else [context]
    return [engine.ContextPair(scope.vector(pair.positive), scope.vector(pair.negative)) for pair in pairs]


def _order_by(_scope: _Scope, query: models.OrderByQuery, _limit: int) -> engine.OrderBy:
    return to_engine_order(query.order_by)


def _fusion(_scope: _Scope, query: models.FusionQuery, _limit: int) -> Any:
    return engine.Fusion.Dbsf() if query.fusion is models.Fusion.DBSF else engine.Fusion.Rrf(RRF_K)


def _rrf(_scope: _Scope, query: models.RrfQuery, _limit: int) -> engine.Fusion.Rrf:
    k = query.rrf.k if query.rrf.k is not None else RRF_K
    if k < 1:
        message = f"rrf k value {k} is invalid. Must be 1 or larger."
        raise InputError(message)
    return engine.Fusion.Rrf(k, query.rrf.weights)


def _formula(_scope: _Scope, query: models.FormulaQuery, _limit: int) -> engine.Formula:
    return to_engine_formula(query)


def _sample(_scope: _Scope, _query: models.SampleQuery, _limit: int) -> engine.Sample:
    return engine.Sample.Random


def _feedback(scope: _Scope, query: models.RelevanceFeedbackQuery, _limit: int) -> engine.Query:
    given, naive = query.relevance_feedback, query.relevance_feedback.strategy.naive
    if naive.b < 0:
        message = f"naive feedback b value {naive.b} is invalid. Must be 0 or larger."
        raise InputError(message)
    items = [engine.FeedbackItem(scope.vector(item.example), item.score) for item in given.feedback]
    strategy = engine.NaiveFeedbackStrategy(naive.a, naive.b, naive.c)
    converted = engine.FeedbackNaiveQuery(scope.vector(given.target), items, strategy)
    return engine.Query.FeedbackNaive(converted, using=scope.using)


def _text(scope: _Scope, query: models.TextQuery, _limit: int) -> engine.TextQuery:
    if not scope.using:
        message = "a text query needs `using`: the payload field whose text index scores the points"
        raise InputError(message)
    if isinstance(query.text, str):
        return engine.TextQuery(scope.using, query.text)
    scoring = query.text.scoring
    if scoring is None:
        return engine.TextQuery(scope.using, query.text.query)
    bm25 = getattr(scoring, "bm25", None)
    if bm25 is None:
        message = f"the embedded engine scores text with BM25 only; got {scoring!r}"
        raise UnsupportedByEdge(message)
    return engine.TextQuery(scope.using, query.text.query, engine.Bm25Params(bm25.k, bm25.b))


_QUERIES: Mapping[type, Callable[[_Scope, Any, int], Any]] = {
    models.NearestQuery: _nearest,
    models.RecommendQuery: _recommend,
    models.DiscoverQuery: _discover,
    models.ContextQuery: _context,
    models.OrderByQuery: _order_by,
    models.FusionQuery: _fusion,
    models.RrfQuery: _rrf,
    models.FormulaQuery: _formula,
    models.SampleQuery: _sample,
    models.RelevanceFeedbackQuery: _feedback,
    models.TextQuery: _text,
}

_ON_VECTORS = frozenset((_nearest, _recommend, _discover, _context, _feedback))
