"""From query vectors to Qdrant requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qdrant_client import models

from hydrant.retrieve.fusion import Rrf


@dataclass(frozen=True, slots=True)
class Ask:
    """One source's part of a search.

    Attributes:
        source: The source's name.
        using: Its vector's name in Qdrant; None for the unnamed one.
        vector: The query vector, or another query of Qdrant's on that vector.
        threshold: The worst score a candidate of this source may have.
        depth: How many candidates it contributes.
        params: Qdrant's search parameters, such as `hnsw_ef` or `exact`.
        ranks: Whether it only ranks what the other sources found, because its vectors have no index.
        others: Further vectors that are asked for; the source's ranking is made of theirs and the query vector's.
        best: Whether the best similarity to any of these vectors ranks, instead of a fusion of their rankings.
        missing: Why expansions of the query are not in it; None where all are.
    """

    source: str
    using: str | None
    vector: Any
    threshold: float | None = None
    depth: int = 100
    params: models.SearchParams | None = None
    ranks: bool = False
    others: tuple[Any, ...] = ()
    best: bool = False
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Which hits of the ranking are wanted."""

    offset: int
    limit: int

    @property
    def end(self) -> int:
        """The position after the last wanted hit."""
        return self.offset + self.limit


@dataclass(frozen=True, slots=True)
class Part:
    """Which stretch of a ranking a request asks for, and how much of each point."""

    limit: int
    offset: int = 0
    payload: bool = True
    vectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Level:
    """One ranking inside a request: what is ranked, and by what.

    Attributes:
        query: What ranks.
        using: By which vector, where it is one.
        prefetch: Whose candidates are ranked; None for all points.
        params: Qdrant's search parameters.
        threshold: The worst score that counts.
    """

    query: Any
    using: str | None = None
    prefetch: list[models.Prefetch] | None = None
    params: models.SearchParams | None = None
    threshold: float | None = None


# How the rankings by several vectors of one source become one.
_FUSED = Rrf().query()


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """Builds the requests of one search; every part of each carries the whole filter.

    What goes in was checked on the way here, so pydantic does not check it again: that took longer than the rest of a
    query outside encoder and engine; and every field is given, because defaults are looked up slowly.

    Attributes:
        asks: What each source is asked.
        condition: The caller's filter with the tenant's condition in it.
        rescore: What ranks the candidates of all sources, instead of a fusion; by its own query vector alone, like a
            reranker.
        following: What ranks the result after that, one after the other: boosts, diversity.
    """

    asks: Sequence[Ask]
    condition: models.Filter | None
    rescore: Ask | None = None
    following: Sequence[Level] = field(default_factory=tuple)

    def deeper(self, times: int, at_least: int) -> RequestBuilder:
        """The same with deeper lists: so many times as deep, and never less than a page has hits."""
        asks = [replace(ask, depth=max(ask.depth, at_least) * times) for ask in self.asks]
        return replace(self, asks=asks)

    @property
    def depth(self) -> int:
        """How many candidates all sources together can contribute."""
        return sum(ask.depth for ask in self.asks)

    @property
    def ranking(self) -> Sequence[Ask]:
        """What is asked of every source that ranks, that of the one that rescores last."""
        return self.asks if self.rescore is None else (*self.asks, self.rescore)

    def scores_anew(self, source: str) -> bool:
        """Whether a source's scores are of Qdrant's or the fusion's making, so that they are no distances.

        They are where several vectors make its ranking, and where a relevance feedback query does.
        """
        return any(
            ask.source == source
            and (
                isinstance(ask.vector, models.RelevanceFeedbackQuery)
                or (ask.others and ask is not self.rescore)
            )
            for ask in self.ranking
        )

    def alone(self, ask: Ask, part: Part) -> models.QueryRequest:
        """One source by itself."""
        return self._request(self._of(ask), part)

    def ranked(self, fusion: models.Query | None, threshold: float | None, part: Part) -> models.QueryRequest:
        """The candidates of every source, ranked by all there is.

        Args:
            fusion: How Qdrant makes one ranking of several; None for a single source or where one source rescores.
            threshold: The worst fused score that counts.
            part: The stretch that is wanted.
        """
        level = self._first(fusion, threshold)
        for step in self.following:
            level = replace(step, prefetch=[self._prefetch(level, self.depth)])
        return self._request(level, part)

    def _first(self, fusion: models.Query | None, threshold: float | None) -> Level:
        if self.rescore is not None:
            ask = self.rescore
            return Level(ask.vector, ask.using, self._candidates(self.asks), ask.params, ask.threshold)
        if fusion is None:
            return self._of(self.asks[0])
        return Level(fusion, prefetch=self._candidates(self.asks), threshold=threshold)

    def _of(self, ask: Ask) -> Level:
        finders = [other for other in self.asks if not other.ranks] if ask.ranks else []
        prefetch = self._candidates(finders) if finders else None
        if not ask.others:
            return Level(ask.vector, ask.using, prefetch, ask.params, ask.threshold)
        vectors = (ask.vector, *ask.others)
        if ask.best and ask.threshold is None:
            return Level(_best_of(vectors), ask.using, prefetch, ask.params)
        levels = [Level(vector, ask.using, prefetch, ask.params, ask.threshold) for vector in vectors]
        lists = [self._prefetch(level, ask.depth) for level in levels]
        # Whatever any of the vectors finds above the threshold has a best similarity above it.
        return (
            Level(_best_of(vectors), ask.using, lists, ask.params)
            if ask.best
            else Level(_FUSED, prefetch=lists)
        )

    def _candidates(self, asks: Sequence[Ask]) -> list[models.Prefetch]:
        return [self._prefetch(self._of(ask), ask.depth) for ask in asks]

    def _prefetch(self, level: Level, limit: int) -> models.Prefetch:
        return models.Prefetch.model_construct(
            prefetch=level.prefetch,
            lookup_from=None,
            query=level.query,
            using=level.using,
            filter=self.condition,
            params=level.params,
            score_threshold=level.threshold,
            limit=limit,
        )

    def _request(self, level: Level, part: Part) -> models.QueryRequest:
        return models.QueryRequest.model_construct(
            shard_key=None,
            prefetch=level.prefetch,
            lookup_from=None,
            query=level.query,
            using=level.using,
            filter=self.condition,
            params=level.params,
            score_threshold=level.threshold,
            limit=part.limit,
            offset=part.offset,
            with_payload=part.payload,
            with_vector=list(part.vectors) if part.vectors else None,
        )


def _best_of(vectors: Sequence[Any]) -> models.RecommendQuery:
    """Ranks by the best similarity to any of the vectors; the scores are on a scale of Qdrant's own."""
    return models.RecommendQuery.model_construct(
        recommend=models.RecommendInput.model_construct(
            positive=list(vectors), negative=None, strategy=models.RecommendStrategy.BEST_SCORE
        )
    )
