"""The retriever: every source of a collection, asked of Qdrant together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hydrant.collection.base import CollectionBase
from hydrant.collection.compression import check_params
from hydrant.errors import ConfigurationError, PayloadUnmapped
from hydrant.flow import Flow
from hydrant.pipeline import Stage
from hydrant.retrieve.after import After
from hydrant.retrieve.asking import DEFAULT_DEPTH, Asking, says_nothing
from hydrant.retrieve.checks import (
    FUSION,
    check_after,
    check_depth,
    check_thresholds,
    diversity_source,
    known_sources,
    measures_distance,
)
from hydrant.retrieve.fusion import Convex, Fusion, Rrf
from hydrant.retrieve.numbers import check_count
from hydrant.retrieve.ranking import Found, Search
from hydrant.retrieve.request import Ask, Page, RequestBuilder
from hydrant.retrieve.terms import with_terms
from hydrant.types import Degradation, Hit, Passage, Query, SearchState, StageScore

if TYPE_CHECKING:
    from qdrant_client import models

    from hydrant.types import PassageId

DEFAULT_FUSION = Convex()
BOOST = "boost"
DIVERSITY = "diversity"
EXPANSION = "expansion"
NO_WORDS = "the query has no words that this source could look for"


@dataclass(frozen=True, slots=True, eq=True)
class Retriever(Stage):
    """Finds passages. Made by `Collection.retriever`.

    Attributes:
        collection: Where to search.
        limit: How many hits, where the query does not say.
        sources: Which ways in to use, by name; empty for every one the collection has.
        fusion: How the rankings of several sources become one; None for `Convex()`, or for `Rrf()` where boosts, diversity
            or groups follow, which Qdrant does with a ranking of its own.
        depth: How many candidates each source contributes, or how many each by name; never less than a page has hits.
        thresholds: The worst score that counts, by the name of the source, or "fusion" for the fused score.
        params: Qdrant's own search parameters, such as `SearchParams(exact=True)`. None searches quantized vectors with
            the oversampling and rescoring that suit their compression, and others as Qdrant does.
        explain: Whether every hit carries each source's own rank and score too, and for sparse sources the terms that
            matched; costs a search more per source, in the same request.
        after: What ranks the candidates further: rescoring, boosts, diversity, groups.
    """

    collection: CollectionBase
    limit: int = 10
    sources: tuple[str, ...] = ()
    fusion: Fusion | None = None
    depth: int | Mapping[str, int] = field(default=DEFAULT_DEPTH, hash=False)
    thresholds: Mapping[str, float] = field(default_factory=dict, hash=False)
    params: models.SearchParams | None = field(default=None, hash=False)
    explain: bool = False
    after: After = field(default_factory=After)

    name = "retrieve"
    required = True

    def __post_init__(self) -> None:
        check_count("limit", self.limit)
        check_params(self.params)
        check_depth(self.collection, self.depth)
        rescore = self.after.rescore
        sources = known_sources(self.collection, self.sources, rescore)
        check_thresholds(self.thresholds, sources, rescore)
        if self.fusion is not None and not isinstance(self.fusion, Fusion):
            msg = (
                f"fusion must be one of hydrant's, such as Rrf(k=60), Dbsf() or Convex(), got {self.fusion!r}"
            )
            raise ConfigurationError(msg)
        fusion = (Rrf() if self.after.in_qdrant else DEFAULT_FUSION) if self.fusion is None else self.fusion
        fusion.check(sources)
        check_after(self.collection, self.after, fusion, sources)
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "fusion", fusion)
        object.__setattr__(self, "thresholds", dict(self.thresholds))

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
        asking = Asking(self.collection, self.depth, self.thresholds, self.params)
        asks = yield from asking.asks(query, self.sources)
        for silent in sorted(set(self.sources) - {ask.source for ask in asks}):
            state = state.with_degradation(Degradation(silent, NO_WORDS))
        for ask in asks:
            if ask.missing is not None:
                state = state.with_degradation(Degradation(EXPANSION, ask.missing))
        if not asks:
            return state.with_hits(())
        builder = yield from self._builder(asking, query, asks, condition)
        if builder.rescore is not None and says_nothing(builder.rescore):
            state = state.with_degradation(Degradation(builder.rescore.source, NO_WORDS))
        page = Page(query.offset, self.wanted(query))
        found: Found = yield from self._search(builder).run(page)
        found, passages, missing = self._read(found, owner)
        if missing is not None:
            state = state.with_degradation(missing)
        hits = self._hits(found, passages, page)
        if self.explain:
            encoders = {name: source.encoder for name, source in self.collection.sources.items()}
            hits = [
                with_terms(hit, point.vector, builder.ranking, encoders, query.text)
                for hit, point in zip(hits, found.points, strict=True)
            ]
        return state.with_hits(hits)

    def wanted(self, query: Query) -> int:
        """How many hits a query is answered with: what it says, else the retriever's own limit or what a reranker needs."""
        return max(self.limit, query.candidates) if query.limit is None else query.limit

    def _read(
        self, found: Found, owner: PassageId | None
    ) -> tuple[Found, Sequence[Passage], Degradation | None]:
        """What can be shown, its passages, and what could not be read."""
        try:
            return found, self.collection.passages(found.points, owner), None
        except PayloadUnmapped as error:
            # One point without a text, put there by somebody else, must not cost the others; if none has one, the layout
            # is wrong.
            fits = self.collection.payload.fits
            readable = [point for point in found.points if fits(point.payload or {})]
            if not readable:
                raise
            missing = Degradation(self.name, f"left out {len(found.points) - len(readable)}: {error}")
            return Found(readable, found.sources), self.collection.passages(readable, owner), missing

    def warm_up(self) -> None:
        """Load the encoders' models."""
        rescore = self.after.rescore
        for name in (*self.sources, *(() if rescore is None else (rescore,))):
            self.collection.sources[name].encoder.warm_up()

    def _builder(
        self, asking: Asking, query: Query, asks: Sequence[Ask], condition: models.Filter | None
    ) -> Flow[RequestBuilder]:
        after = self.after
        rescore = None if after.rescore is None else (yield from asking.ask(query, after.rescore))
        following = [asking.boosted(after.boosts, query)] if after.boosts else []
        if after.mmr is not None:
            source = diversity_source(self.collection, after.mmr)
            following.append(
                (yield from asking.diverse(after.mmr, source, replace(query, limit=self.wanted(query)), asks))
            )
        return RequestBuilder(asks, condition, rescore, following)

    def _search(self, builder: RequestBuilder) -> Search:
        fuses = len(self.sources) > 1 and self.after.rescore is None
        ranks = self.after.rescore or self.sources[0]
        return Search(
            collection=self.collection,
            builder=builder,
            fusion=self.fusion if fuses else None,
            threshold=self.thresholds.get(FUSION),
            explain=self.explain,
            descending=(
                fuses
                or self.after.mmr is not None
                or builder.scores_anew(ranks)
                or not measures_distance(self.collection, ranks)
            ),
            diverse=self.after.mmr is not None,
            group=self.after.group,
        )

    def _stage(self) -> str:
        """What the last ranking is called."""
        after = self.after
        if after.mmr is not None:
            return DIVERSITY
        if after.boosts:
            return BOOST
        if after.rescore is not None:
            return after.rescore
        return self.sources[0] if len(self.sources) == 1 else FUSION

    def _hits(self, found: Found, passages: Sequence[Passage], page: Page) -> list[Hit]:
        stage = self._stage()
        hits = []
        for rank, (point, passage) in enumerate(zip(found.points, passages, strict=True), page.offset + 1):
            score = float(point.score)
            own = {name: ranks[point.id] for name, ranks in found.sources.items() if point.id in ranks}
            point_id = point.id if isinstance(point.id, int) else str(point.id)
            hits.append(Hit(passage, score, {**own, stage: StageScore(score, rank)}, point_id))
        return hits
