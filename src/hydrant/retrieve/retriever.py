"""The retriever: dense, sparse or both, asked of Qdrant together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hydrant.collection.base import CollectionBase
from hydrant.encode.base import Encode
from hydrant.errors import ConfigurationError, InputError, PayloadUnmapped
from hydrant.flow import Flow
from hydrant.pipeline import Stage
from hydrant.retrieve.fusion import Convex, Fusion
from hydrant.retrieve.ranking import Found, Search
from hydrant.retrieve.request import Ask, Page, RequestBuilder
from hydrant.retrieve.vectors import checked_dense, checked_sparse
from hydrant.types import Degradation, Hit, Passage, Query, SearchState, StageScore

if TYPE_CHECKING:
    from qdrant_client import models

# How many candidates each source contributes at least; chosen in benchmarks/README.md ("Default fusion").
DEFAULT_DEPTH = 100
DEFAULT_FUSION = Convex()
FUSION = "fusion"


@dataclass(frozen=True, slots=True, eq=True)
class Retriever(Stage):
    """Finds passages. Made by `Collection.retriever`.

    Attributes:
        collection: Where to search.
        limit: How many hits, where the query does not say.
        sources: Which ways in to use, by name; empty for every one the collection has.
        fusion: How the rankings of several sources become one.
        depth: How many candidates each source contributes to the fusion; never less than a page has hits.
        thresholds: The worst score that counts, by the name of the source, or "fusion" for the fused score.
        params: Qdrant's own search parameters, such as `SearchParams(exact=True)`.
        explain: Whether every hit carries each source's own rank and score too; costs a search more per source,
            in the same request.
    """

    collection: CollectionBase
    limit: int = 10
    sources: tuple[str, ...] = ()
    fusion: Fusion = DEFAULT_FUSION
    depth: int = DEFAULT_DEPTH
    thresholds: Mapping[str, float] = field(default_factory=dict, hash=False)
    params: models.SearchParams | None = field(default=None, hash=False)
    explain: bool = False

    name = "retrieve"
    required = True

    def __post_init__(self) -> None:
        for name in ("limit", "depth"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                msg = f"{name} must be a whole number of at least 1, got {value!r}"
                raise InputError(msg)
        have = tuple(self.collection.sources)
        sources = self.sources or have
        unknown = sorted(set(sources) - set(have))
        if unknown:
            msg = f"collection {self.collection.name!r} has the sources {sorted(have)}; got {unknown}"
            raise ConfigurationError(msg)
        if len(set(sources)) < len(sources):
            msg = f"a source can be asked once, got {list(sources)}"
            raise ConfigurationError(msg)
        self._check_thresholds(sources)
        if not isinstance(self.fusion, Fusion):
            msg = (
                f"fusion must be one of hydrant's, such as Rrf(k=60), Dbsf() or Convex(), got {self.fusion!r}"
            )
            raise ConfigurationError(msg)
        self.fusion.check(sources)
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "thresholds", dict(self.thresholds))

    def _check_thresholds(self, sources: Sequence[str]) -> None:
        if not isinstance(self.thresholds, Mapping):
            msg = f"thresholds must be a mapping such as {{'dense': 0.3}}, got {self.thresholds!r}"
            raise ConfigurationError(msg)
        stages = sources if len(sources) == 1 else (*sources, FUSION)
        idle = sorted(set(self.thresholds) - set(stages))
        if idle:
            msg = f"thresholds may name {sorted(stages)} here; got {idle}"
            raise ConfigurationError(msg)
        for name, value in self.thresholds.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                msg = f"threshold of {name!r} must be a finite number, got {value!r}"
                raise ConfigurationError(msg)

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Encode the query, ask Qdrant once, read the passages.

        Raises:
            TenantRequired: The collection has tenants and the query names none.
            FilterError: The filter cannot become a Qdrant condition.
            VectorMismatch: A query vector does not fit the collection.
        """
        query = state.query
        owner = self.collection.owner(query.tenant)
        condition = self.collection.condition(query.filter, query.tenant)
        asks = yield from self._asks(query)
        for silent in sorted(set(self.sources) - {ask.source for ask in asks}):
            reason = "the query has no words that this source could look for"
            state = state.with_degradation(Degradation(silent, reason))
        if not asks:
            return state.with_hits(())
        page = Page(query.offset, self.limit if query.limit is None else query.limit)
        found: Found = yield from self._search(asks, condition).run(page)
        try:
            passages = self.collection.passages(found.points, owner)
        except PayloadUnmapped as error:
            # One point without a text, put there by somebody else, must not cost the others; if none has one, the layout
            # is wrong.
            fits = self.collection.payload.fits
            readable = [point for point in found.points if fits(point.payload or {})]
            if not readable:
                raise
            state = state.with_degradation(
                Degradation(self.name, f"left out {len(found.points) - len(readable)}: {error}")
            )
            found = Found(readable, found.sources)
            passages = self.collection.passages(readable, owner)
        return state.with_hits(self._hits(found, passages, page))

    def warm_up(self) -> None:
        """Load the encoders' models."""
        for name in self.sources:
            self.collection.sources[name].encoder.warm_up()

    def _asks(self, query: Query) -> Flow[list[Ask]]:
        have = self.collection.sources
        unknown = sorted(set(query.vectors) - set(have))
        if unknown:
            msg = f"collection {self.collection.name!r} has the sources {sorted(have)}; got query vectors for {unknown}"
            raise InputError(msg)
        asks = []
        for name in self.sources:
            source = self.collection.sources[name]
            vector = query.vectors.get(name)
            if vector is None:
                vector = (yield Encode(source.encoder, [query.text], "query"))[0]
            if source.encoder.kind == "dense":
                vector = checked_dense(vector, self.collection.profile.dense[source.vector].size, name)
            else:
                vector = checked_sparse(vector, name)
                if not vector.indices:
                    continue
            asks.append(Ask(name, source.vector or None, vector, self.thresholds.get(name)))
        return asks

    def _search(self, asks: Sequence[Ask], condition: models.Filter | None) -> Search:
        single = len(self.sources) == 1
        dense = self.collection.profile.dense.get(self.collection.sources[self.sources[0]].vector)
        return Search(
            collection=self.collection,
            builder=RequestBuilder(asks, condition, self.params),
            fusion=None if single else self.fusion,
            depth=self.depth,
            threshold=self.thresholds.get(FUSION),
            explain=self.explain,
            descending=not single or dense is None or dense.more_is_better,
        )

    def _hits(self, found: Found, passages: Sequence[Passage], page: Page) -> list[Hit]:
        stage = self.sources[0] if len(self.sources) == 1 else FUSION
        hits = []
        for rank, (point, passage) in enumerate(zip(found.points, passages, strict=True), page.offset + 1):
            score = float(point.score)
            own = {name: ranks[point.id] for name, ranks in found.sources.items() if point.id in ranks}
            point_id = point.id if isinstance(point.id, int) else str(point.id)
            hits.append(Hit(passage, score, {**own, stage: StageScore(score, rank)}, point_id))
        return hits
