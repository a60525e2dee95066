"""One search: which requests go out together, and the ranking they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from hydrant.collection.base import CollectionBase
from hydrant.collection.calls import QdrantCall
from hydrant.errors import CollectionError
from hydrant.flow import Flow
from hydrant.retrieve.after import GroupBy
from hydrant.retrieve.fusion import Fusion
from hydrant.retrieve.paging import Window, concatenated, depths, groups_in_order, pairs_in_order
from hydrant.retrieve.request import Page, Part, RequestBuilder
from hydrant.types import PassageId, StageScore

Points = list[models.ScoredPoint]
Pairs = list[tuple[Any, float]]
_BAD_REQUEST = 400


class Candidate(NamedTuple):
    """A point that was ranked here and read after it: what a `ScoredPoint` says of it."""

    id: PassageId
    score: float
    payload: dict[str, Any] | None
    vector: Any = None


@dataclass(frozen=True, slots=True)
class Found:
    """The page's points, best first, and what each source said of those that it returned too."""

    points: Sequence[Candidate | models.ScoredPoint]
    sources: Mapping[str, Mapping[Any, StageScore]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """A search that is ready to run.

    Attributes:
        collection: Where.
        builder: Makes the requests.
        fusion: How several sources become one; None for a single source, or where one source rescores.
        threshold: The worst fused score that counts.
        explain: Whether each source's own ranking is wanted too.
        descending: Whether a higher score is better; a single source may measure distances.
        diverse: Whether hits come in an order that their scores do not tell.
        group: How many hits of a group are shown; None without groups.
    """

    collection: CollectionBase
    builder: RequestBuilder
    fusion: Fusion | None
    threshold: float | None
    explain: bool
    descending: bool
    diverse: bool = False
    group: GroupBy | None = None

    def run(self, page: Page) -> Flow[Found]:
        """The page's points."""
        if self.group is not None:
            return self._grouped(self.group, page)
        query = None if self.fusion is None else self._there()
        if self.fusion is not None and query is None:
            return self._fused_here(self.fusion, page)
        plain = not any(ask.others for ask in self.builder.asks)
        if self.fusion is None and self.builder.rescore is None and not self.builder.following and plain:
            # One source finds as many as are wanted: nothing depends on a depth.
            return self._ranked_there(query, 1, page)
        levels = depths(page, max(self._depth, page.limit))
        # Among more candidates diversity makes another order: its pages are those of one depth, and end with it.
        if len(levels) == 1 or self.diverse:
            return self._ranked_there(query, 1, page)
        return self._ranked_there_deep(query, len(levels), page)

    def _there(self) -> models.Query | None:
        """The fusion as Qdrant does it, None where it does not."""
        fusion = self.fusion
        # Qdrant's score fusion takes the larger distance for the better score.
        if fusion is None or (self._measure_distances() and not fusion.by_rank):
            return None
        return fusion.query()

    @property
    def _depth(self) -> int:
        return min(ask.depth for ask in self.builder.asks)

    def _at(self, level: int, page: Page) -> RequestBuilder:
        """The requests of a level: each level's lists are twice as deep as those of the one before."""
        return self.builder.deeper(2**level, page.limit)

    def _ranked_there(self, query: models.Query | None, levels: int, page: Page) -> Flow[Found]:
        builder = self._at(levels - 1, page)
        window = Window(page, slack=0 if self.diverse else 2 * len(builder.asks))
        while True:
            part = replace(window.part, vectors=self._explained_vectors())
            points, *own = yield from self._ask(
                [builder.ranked(query, self.threshold, part), *self._explaining(builder)]
            )
            if self.diverse:
                return Found(points, self._ranks(list(map(_pairs, own)), [point.id for point in points]))
            if window.closed(points):
                found = window.cut(points, descending=self.descending)
                return Found(found, self._ranks(list(map(_pairs, own)), [point.id for point in found]))
            window = window.wider()

    def _ranked_there_deep(self, query: models.Query | None, levels: int, page: Page) -> Flow[Found]:
        builders = [self._at(level, page) for level in range(levels)]
        requests = [
            builder.ranked(query, self.threshold, Part(builder.depth, payload=False)) for builder in builders
        ]
        answers = yield from self._ask_scores([*requests, *self._explaining(builders[-1])])
        rankings = [pairs_in_order(pairs, descending=self.descending) for pairs in answers[:levels]]
        ranking = concatenated(rankings)[page.offset : page.end]
        ranks = self._ranks(answers[levels:], [each for each, _ in ranking])
        return (yield from self._with_payloads(ranking, ranks))

    def _grouped(self, group: GroupBy, page: Page) -> Flow[Found]:
        # Qdrant gives groups no offset, and how many are asked for changes how deep it looks, and so a fused ranking: as
        # with hits, the pages within a depth are cut from one answer, and what twice the depth adds comes after them.
        shown: dict[Any, Sequence[models.ScoredPoint]] = {}
        builder = self.builder
        for size in depths(page, page.limit):
            builder = self.builder.deeper(1, size * group.hits)
            groups = yield from self._groups(builder, group, size)
            for each in groups if self.diverse else groups_in_order(groups, descending=self.descending):
                shown.setdefault((type(each.id), each.id), each.hits)
            if len(groups) < size:
                break
        ranking = [
            (point.id, point.score) for hits in [*shown.values()][page.offset : page.end] for point in hits
        ]
        own = (yield from self._ask_scores(self._explaining(builder))) if self.explain else []
        return (yield from self._with_payloads(ranking, self._ranks(own, [each for each, _ in ranking])))

    def _groups(self, builder: RequestBuilder, group: GroupBy, size: int) -> Flow[list[models.PointGroup]]:
        query = None if self.fusion is None else self._there()
        request = builder.ranked(query, self.threshold, Part(size))
        call = self.collection.call(
            "query_points_groups",
            query=request.query,
            using=request.using,
            prefetch=request.prefetch,
            query_filter=request.filter,
            search_params=request.params,
            score_threshold=request.score_threshold,
            limit=size,
            group_size=group.hits,
            group_by=self.collection.payload.key(group.field),
            with_payload=False,
        )
        groups: list[models.PointGroup] = (yield from self._answer(call, [request])).groups
        return groups

    def _fused_here(self, fusion: Fusion, page: Page) -> Flow[Found]:
        # Every depth in a request of its own: which of several equal scores come within it is the engine's choice, and
        # the same choice only where the same number is asked for. Ids and scores alone: the payloads of every candidate
        # would take longer than asking again for those of the page.
        levels = len(depths(page, max(self._depth, page.limit)))
        builders = [self._at(level, page) for level in range(levels)]
        requests = [request for builder in builders for request in self._alone(builder)]
        answers = iter((yield from self._ask_scores(requests)))
        fused = []
        own: dict[str, Pairs] = {}
        for builder in builders:
            own = {ask.source: self._source_order(ask.source, next(answers)) for ask in builder.asks}
            higher_is_better = {name: self._negated(name, pairs) for name, pairs in own.items()}
            fused.append(pairs_in_order(fusion.fuse(higher_is_better, _depth_by_source(builder))))
        ranking = fused[0] if len(fused) == 1 else concatenated(fused)
        if self.threshold is not None:
            ranking = [pair for pair in ranking if pair[1] >= self.threshold]
        shown = ranking[page.offset : page.end]
        return (yield from self._with_payloads(shown, _stage_scores(own, [each for each, _ in shown])))

    def _is_distance(self, name: str) -> bool:
        if self.builder.scores_anew(name):
            return False
        vector = self.collection.profile.dense.get(self.collection.sources[name].vector)
        return vector is not None and not vector.more_is_better

    def _measure_distances(self) -> bool:
        return any(self._is_distance(ask.source) for ask in self.builder.asks)

    def _source_order(self, name: str, pairs: Pairs) -> Pairs:
        return pairs_in_order(pairs, descending=not self._is_distance(name))

    def _negated(self, name: str, pairs: Pairs) -> Pairs:
        # Fusion formulas want higher to be better: a distance counts as its negative.
        return [(each, -score) for each, score in pairs] if self._is_distance(name) else pairs

    def _alone(self, builder: RequestBuilder) -> list[models.QueryRequest]:
        return [builder.alone(ask, Part(ask.depth, payload=False)) for ask in builder.asks]

    def _explaining(self, builder: RequestBuilder) -> list[models.QueryRequest]:
        # A single source that nothing follows is its own explanation.
        whole = len(builder.asks) > 1 or builder.rescore is not None or builder.following
        return self._alone(builder) if self.explain and whole else []

    def _explained_vectors(self) -> tuple[str, ...]:
        """The sparse vectors in which matching terms are looked for."""
        if not self.explain:
            return ()
        return tuple(
            str(ask.using) for ask in self.builder.ranking if isinstance(ask.vector, models.SparseVector)
        )

    def _ranks(self, answers: Sequence[Pairs], shown: Iterable[Any]) -> dict[str, dict[Any, StageScore]]:
        if not answers:
            return {}
        names = [ask.source for ask in self.builder.asks]
        rankings = {name: self._source_order(name, pairs) for name, pairs in zip(names, answers, strict=True)}
        return _stage_scores(rankings, shown)

    def _ask(self, requests: Sequence[models.QueryRequest]) -> Flow[list[Points]]:
        call = self.collection.call("query_batch_points", requests=list(requests))
        responses = yield from self._answer(call, requests)
        return [response.points for response in responses]

    def _ask_scores(self, requests: Sequence[models.QueryRequest]) -> Flow[list[Pairs]]:
        scores: list[Pairs] = yield from self._answer(self.collection.scores(requests), requests)
        return scores

    def _answer(self, call: QdrantCall[Any], requests: Sequence[models.QueryRequest]) -> Flow[Any]:
        try:
            return (yield call)
        except UnexpectedResponse as error:
            if error.status_code != _BAD_REQUEST:
                raise
            version = yield from self._version()
            msg = f"Qdrant{version} refused the search in collection {self.collection.name!r}: {error}"
            if any(isinstance(request.query, models.RrfQuery) for request in requests):
                msg += "; an RRF constant needs a server of version 1.16 or later, other fusions run on any: fusion=Dbsf()"
            raise CollectionError(msg) from error

    def _version(self) -> Flow[str]:
        try:
            return f" {(yield QdrantCall(self.collection.clients, 'info', repeatable=True)).version}"
        except Exception:  # noqa: BLE001  the refusal is what matters, whoever stands between us and the server
            return ""

    def _with_payloads(
        self, ranking: Sequence[tuple[Any, float]], ranks: Mapping[str, Mapping[Any, StageScore]]
    ) -> Flow[Found]:
        if not ranking:
            return Found([], ranks)
        ids = list(dict.fromkeys(each for each, _ in ranking))
        vectors = list(self._explained_vectors())
        records = yield self.collection.call(
            "retrieve", ids=ids, with_payload=True, with_vectors=vectors or False
        )
        stored = {record.id: record for record in records}
        # A point that was deleted between the two requests is left out rather than shown empty.
        points = [
            Candidate(each, score, stored[each].payload, stored[each].vector)
            for each, score in ranking
            if each in stored
        ]
        return Found(points, ranks)


def _depth_by_source(builder: RequestBuilder) -> int | dict[str, int]:
    """How many hits every source was asked for, by source where they differ."""
    asked = {ask.depth for ask in builder.asks}
    return asked.pop() if len(asked) == 1 else {ask.source: ask.depth for ask in builder.asks}


def _pairs(points: Points) -> Pairs:
    return [(point.id, point.score) for point in points]


def _stage_scores(rankings: Mapping[str, Pairs], shown: Iterable[Any]) -> dict[str, dict[Any, StageScore]]:
    wanted = set(shown)
    return {
        name: {
            each: StageScore(float(score), rank)
            for rank, (each, score) in enumerate(pairs, 1)
            if each in wanted
        }
        for name, pairs in rankings.items()
    }
