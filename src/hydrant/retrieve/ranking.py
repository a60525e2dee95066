"""One search: which requests go out together, and the ranking they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from hydrant.collection.base import CollectionBase
from hydrant.collection.calls import QdrantCall
from hydrant.errors import CollectionError
from hydrant.flow import Flow
from hydrant.retrieve.fusion import Fusion
from hydrant.retrieve.paging import Window, concatenated, depths, pairs_in_order
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
        fusion: How several sources become one; None for a single source.
        depth: How many candidates each source contributes.
        threshold: The worst fused score that counts.
        explain: Whether each source's own ranking is wanted too.
        descending: Whether a higher score is better; a single source may measure distances.
    """

    collection: CollectionBase
    builder: RequestBuilder
    fusion: Fusion | None
    depth: int
    threshold: float | None
    explain: bool
    descending: bool

    def run(self, page: Page) -> Flow[Found]:
        """The page's points."""
        if self.fusion is None:
            return self._single(page)
        levels = depths(page, max(self.depth, page.limit))
        query = self.fusion.query()
        # Qdrant's score fusion takes the larger distance for the better score.
        if query is None or (self._measure_distances() and not self.fusion.by_rank):
            return self._fused_here(self.fusion, levels, page)
        if len(levels) == 1:
            return self._fused_there(query, levels[0], page)
        return self._fused_there_deep(query, levels, page)

    def _single(self, page: Page) -> Flow[Found]:
        ask = self.builder.asks[0]
        window = Window(page, slack=2)
        while True:
            points = (yield from self._ask([self.builder.alone(ask, window.part)]))[0]
            if window.closed(points):
                return Found(window.cut(points, descending=self.descending))
            window = window.wider()

    def _fused_there(self, query: models.Query, depth: int, page: Page) -> Flow[Found]:
        window = Window(page, slack=2 * len(self.builder.asks))
        while True:
            fused = self.builder.fused(query, depth, self.threshold, window.part)
            points, *own = yield from self._ask([fused, *self._explaining(depth)])
            if window.closed(points):
                found = window.cut(points, descending=True)
                return Found(found, self._ranks(list(map(_pairs, own)), [point.id for point in found]))
            window = window.wider()

    def _fused_there_deep(self, query: models.Query, levels: Sequence[int], page: Page) -> Flow[Found]:
        sources = len(self.builder.asks)
        requests = [
            self.builder.fused(query, depth, self.threshold, Part(sources * depth, payload=False))
            for depth in levels
        ]
        answers = yield from self._ask_scores([*requests, *self._explaining(levels[-1])])
        rankings = [pairs_in_order(pairs) for pairs in answers[: len(levels)]]
        ranking = concatenated(rankings)[page.offset : page.end]
        ranks = self._ranks(answers[len(levels) :], [each for each, _ in ranking])
        return (yield from self._with_payloads(ranking, ranks))

    def _fused_here(self, fusion: Fusion, levels: Sequence[int], page: Page) -> Flow[Found]:
        # Every depth in a request of its own: which of several equal scores come within it is the engine's choice, and
        # the same choice only where the same number is asked for. Ids and scores alone: the payloads of every candidate
        # would take longer than asking again for those of the page.
        asks = self.builder.asks
        requests = [self.builder.alone(ask, Part(depth, payload=False)) for depth in levels for ask in asks]
        answers = iter((yield from self._ask_scores(requests)))
        fused = []
        own: dict[str, Pairs] = {}
        for depth in levels:
            own = {ask.source: self._source_order(ask.source, next(answers)) for ask in asks}
            higher_is_better = {name: self._negated(name, pairs) for name, pairs in own.items()}
            fused.append(pairs_in_order(fusion.fuse(higher_is_better, depth)))
        ranking = fused[0] if len(fused) == 1 else concatenated(fused)
        if self.threshold is not None:
            ranking = [pair for pair in ranking if pair[1] >= self.threshold]
        shown = ranking[page.offset : page.end]
        return (yield from self._with_payloads(shown, _stage_scores(own, [each for each, _ in shown])))

    def _is_distance(self, name: str) -> bool:
        vector = self.collection.profile.dense.get(self.collection.sources[name].vector)
        return vector is not None and not vector.more_is_better

    def _measure_distances(self) -> bool:
        return any(self._is_distance(ask.source) for ask in self.builder.asks)

    def _source_order(self, name: str, pairs: Pairs) -> Pairs:
        return pairs_in_order(pairs, descending=not self._is_distance(name))

    def _negated(self, name: str, pairs: Pairs) -> Pairs:
        # Fusion formulas want higher to be better: a distance counts as its negative.
        return [(each, -score) for each, score in pairs] if self._is_distance(name) else pairs

    def _explaining(self, depth: int) -> list[models.QueryRequest]:
        if not self.explain:
            return []
        return [self.builder.alone(ask, Part(depth, payload=False)) for ask in self.builder.asks]

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
        ids = [each for each, _ in ranking]
        records = yield self.collection.call("retrieve", ids=ids, with_payload=True)
        payloads = {record.id: record.payload for record in records}
        # A point that was deleted between the two requests is left out rather than shown empty.
        points = [Candidate(each, score, payloads[each]) for each, score in ranking if each in payloads]
        return Found(points, ranks)


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
