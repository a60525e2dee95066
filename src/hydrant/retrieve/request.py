"""From query vectors to Qdrant requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models


@dataclass(frozen=True, slots=True)
class Ask:
    """One source's part of a search.

    Attributes:
        source: The source's name.
        using: Its vector's name in Qdrant; None for the unnamed one.
        vector: The query vector.
        threshold: The worst score a candidate of this source may have.
    """

    source: str
    using: str | None
    vector: Any
    threshold: float | None = None


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
class RequestBuilder:
    """Builds the requests of one search; every part of each carries the whole filter.

    What goes in was checked on the way here, so pydantic does not check it again: that took longer than the rest of a
    query outside encoder and engine; and every field is given, because defaults are looked up slowly.

    Attributes:
        asks: What each source is asked.
        condition: The caller's filter with the tenant's condition in it.
        params: Qdrant's search parameters, such as `hnsw_ef` or `exact`.
    """

    asks: Sequence[Ask]
    condition: models.Filter | None
    params: models.SearchParams | None = None

    def fused(
        self, fusion: models.Query, depth: int, threshold: float | None, part: Part
    ) -> models.QueryRequest:
        """Every source as a prefetch of `depth` candidates, fused by Qdrant."""
        prefetch = [
            models.Prefetch.model_construct(
                prefetch=None,
                lookup_from=None,
                query=ask.vector,
                using=ask.using,
                filter=self.condition,
                params=self.params,
                score_threshold=ask.threshold,
                limit=depth,
            )
            for ask in self.asks
        ]
        return models.QueryRequest.model_construct(
            shard_key=None,
            using=None,
            params=None,
            lookup_from=None,
            with_vector=None,
            prefetch=prefetch,
            query=fusion,
            filter=self.condition,
            score_threshold=threshold,
            limit=part.limit,
            offset=part.offset,
            with_payload=part.payload,
        )

    def alone(self, ask: Ask, part: Part) -> models.QueryRequest:
        """One source by itself."""
        return models.QueryRequest.model_construct(
            shard_key=None,
            prefetch=None,
            lookup_from=None,
            with_vector=None,
            query=ask.vector,
            using=ask.using,
            filter=self.condition,
            params=self.params,
            score_threshold=ask.threshold,
            limit=part.limit,
            offset=part.offset,
            with_payload=part.payload,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Which stretch of a ranking a request asks for, and whether with payloads."""

    limit: int
    offset: int = 0
    payload: bool = True
