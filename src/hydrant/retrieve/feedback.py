"""Vector feedback: a second search with a query moved towards what the first one found. No language model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from qdrant_client import models

from hydrant.collection.sources import Source
from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.pipeline import Stage
from hydrant.retrieve.asking import Asking
from hydrant.retrieve.checks import measures_distance
from hydrant.retrieve.feedback_methods import Example, FeedbackMethod, Rocchio
from hydrant.retrieve.fusion import interpolate
from hydrant.retrieve.numbers import check_weight
from hydrant.retrieve.retriever import Retriever
from hydrant.types import Hit, SearchState, StageScore

if TYPE_CHECKING:
    from hydrant.types import PassageId

FEEDBACK = "feedback"


@dataclass(frozen=True, slots=True, eq=True)
class Feedback(Stage):
    """Searches again with every source's query moved towards the hits that came in.

    Put it behind whatever ranks best: `docs.retriever() >> Feedback(docs.retriever())`, or behind a reranker, whose order
    then says what is relevant. Later pages learn from the retriever's own first page. Where it fails, the search goes on
    with the hits that came in.

    What moves is one vector a source: the query's, or its mean with hypotheses (`Hyde(mode="mean")`). Texts that stages before
    asked for beside the query (`Hyde` in the modes "fuse" and "max", `MultiQuery`, `StepBack`, `ReasonFirst`) decide what is
    found first, and so where the query moves to; the second search asks for the moved vector alone.

    Attributes:
        retriever: What searches again.
        method: How a query follows from the hits.
        scope: "fused" takes the hits' own order for every source; "source" takes for each source those that it ranked best
            itself (it needs `explain=True`, or a fusion that is computed here, in the stage before).
        share: How much the second ranking counts against the first, from 0 to 1; 1 leaves the first out. Both are
            scaled to their best and worst score before they are mixed.
    """

    retriever: Retriever
    method: FeedbackMethod = field(default_factory=Rocchio)
    scope: Literal["fused", "source"] = "fused"
    share: float = 1.0

    name = FEEDBACK

    def __post_init__(self) -> None:
        if not isinstance(self.retriever, Retriever):
            msg = f"retriever must be a Retriever such as docs.retriever(), got {self.retriever!r}"
            raise ConfigurationError(msg)
        if not isinstance(self.method, FeedbackMethod):
            msg = f"method must be Rocchio(), Average() or QdrantFeedback(), got {self.method!r}"
            raise ConfigurationError(msg)
        if self.scope not in ("fused", "source"):
            msg = f"scope must be 'fused' or 'source', got {self.scope!r}"
            raise ConfigurationError(msg)
        check_weight("share", self.share)
        if self.share > 1:
            msg = (
                f"share must be from 0 (the first ranking alone) to 1 (the second alone), got {self.share!r}"
            )
            raise ConfigurationError(msg)
        collection, sources = self.retriever.collection, self.retriever.sources
        ranks = self.retriever.after.rescore or (sources[0] if len(sources) == 1 else None)
        if self.share < 1 and ranks is not None and measures_distance(collection, ranks):
            msg = (
                f"share={self.share!r} would mix distances, of which less is better; leave it at 1 for the source "
                f"{ranks!r}"
            )
            raise ConfigurationError(msg)

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Fetch the hits' vectors, move the queries, search again.

        Raises:
            ConfigurationError: The scope is "source" and the hits do not say how the sources ranked them.
        """
        if not state.hits:
            return state
        sources = [source for source in map(self._source, self.retriever.sources) if self._moves(source)]
        examples = yield from self._examples(state)
        stored = yield from self._vectors(examples, sources, state.query.tenant)
        vectors = dict(state.query.vectors)
        again_by = self.retriever
        asking = Asking(again_by.collection, again_by.depth, again_by.thresholds, again_by.params)
        for source in sources:
            asked = vectors.get(source.name)
            if asked is None:
                # What moves is the query as it is asked, with its expansions.
                asked = (yield from asking.ask(state.query, source.name)).vector
            vectors[source.name] = self._moved(asked, source, examples, stored)
        again = SearchState(replace(state.query, vectors=vectors))
        found: SearchState = yield self.retriever.flow(again)
        degraded = (*state.degraded, *found.degraded)
        hits = self._mixed(state, found.hits)
        return replace(state, hits=hits, degraded=degraded)

    def without(self, state: SearchState) -> SearchState:
        """The hits that came in, as many as the second search would have given."""
        return state.with_hits(state.hits[: self.retriever.wanted(state.query)])

    def warm_up(self) -> None:
        """Load the encoders' models."""
        self.retriever.warm_up()

    def _examples(self, state: SearchState) -> Flow[Sequence[Hit]]:
        """The hits that move the queries: those of the first page on every page, or each would rank by another query."""
        if state.query.offset == 0:
            return state.hits
        first = replace(self.retriever, explain=True) if self.scope == "source" else self.retriever
        found: SearchState = yield first.flow(SearchState(replace(state.query, offset=0)))
        return found.hits

    def _source(self, name: str) -> Source:
        return self.retriever.collection.sources[name]

    def _moves(self, source: Source) -> bool:
        return source.encoder.kind == "dense" or (source.encoder.kind == "sparse" and self.method.sparse)

    def _vectors(
        self, hits: Sequence[Hit], sources: Sequence[Source], tenant: PassageId | None
    ) -> Flow[dict[Any, Any]]:
        """The hits' vectors by the point's id."""
        collection = self.retriever.collection
        ids: list[Any] = list(dict.fromkeys(hit.point_id for hit in hits if hit.point_id is not None))
        if not ids or not sources:
            return {}
        # A stage before may have brought hits from anywhere: only the tenant's own may move the query.
        condition = collection.condition(models.Filter(must=[models.HasIdCondition(has_id=ids)]), tenant)
        unnamed = any(not source.vector for source in sources)
        wanted: Any = True if unnamed else [source.vector for source in sources]
        records, _ = yield collection.call(
            "scroll", scroll_filter=condition, limit=len(ids), with_payload=False, with_vectors=wanted
        )
        return {record.id: record.vector for record in records}

    def _moved(self, asked: Any, source: Source, hits: Sequence[Hit], stored: Mapping[Any, Any]) -> Any:
        ranked = self._ranked(source, hits)
        # They come best first, so scores that rise are distances; methods want a higher one to be better.
        sign = -1.0 if ranked and ranked[-1][1] > ranked[0][1] else 1.0
        examples = [
            Example(hit.point_id, sign * score, vector)
            for hit, score in ranked
            if (vector := _vector(stored.get(hit.point_id), source.vector)) is not None
        ]
        found = examples[: self.method.depth]
        rest = examples[self.method.depth :][-self.method.negatives :] if self.method.negatives else []
        if not found:
            return asked
        dense = self.retriever.collection.profile.dense.get(source.vector)
        cosine = dense is not None and dense.distance is models.Distance.COSINE
        return self.method.moved(asked, found, rest, normalize=cosine)

    def _ranked(self, source: Source, hits: Sequence[Hit]) -> list[tuple[Hit, float]]:
        """The hits that count for a source, best first, each with the score that says so."""
        if self.scope == "fused":
            return [(hit, hit.score) for hit in hits]
        ranked = [(hit, hit.stages[source.name]) for hit in hits if source.name in hit.stages]
        if not ranked and not any(name in hit.stages for hit in hits for name in self.retriever.sources):
            msg = "scope='source' needs hits with their sources' ranks: let the retriever before it explain (explain=True)"
            raise ConfigurationError(msg)
        return [(hit, own.score) for hit, own in sorted(ranked, key=lambda pair: pair[1].rank)]

    def _mixed(self, state: SearchState, found: Sequence[Hit]) -> tuple[Hit, ...]:
        first = {hit.point_id: hit for hit in state.hits}
        second = {hit.point_id: hit for hit in found}
        if self.share == 1:
            ranking = [(each, hit.score) for each, hit in second.items()]
        else:
            ranking = interpolate(
                [(each, hit.score) for each, hit in first.items()],
                [(each, hit.score) for each, hit in second.items()],
                1 - self.share,
            )
        hits = []
        for rank, (each, score) in enumerate(
            ranking[: self.retriever.wanted(state.query)], state.query.offset + 1
        ):
            known = {**first, **second}[each]
            stages = {**known.stages, FEEDBACK: StageScore(float(score), rank)}
            hits.append(replace(known, score=float(score), stages=stages))
        return tuple(hits)


def _vector(stored: Any, name: str) -> Any:
    """One named vector of a point; None where it has none."""
    if isinstance(stored, Mapping):
        return stored.get(name)
    return stored if not name else None
