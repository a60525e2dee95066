"""What every reranker has in common: which hits it looks at, what becomes of the others, and what it leaves on a hit.

A subclass ranks candidates and nothing else; that no hit is lost, doubled or changed, that earlier scores stay, that ties
keep their order and that pages fit together is decided here, once.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hydrant.errors import ConfigurationError, RankingError
from hydrant.flow import Flow
from hydrant.pipeline import Stage
from hydrant.types import Degradation, Hit, Query, SearchState, StageScore, Usage


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a reranker says of its candidates.

    Attributes:
        scores: One for each candidate, in the candidates' order; a higher one is better. Candidates of equal score keep the
            order they came in.
        usage: What language models were asked.
        degraded: What went wrong on the way, where there is an order all the same.
    """

    scores: Sequence[float]
    usage: Usage | None = None
    degraded: Sequence[str] = ()


def by_position(order: Sequence[int]) -> list[float]:
    """Scores for a ranking that has none of its own: the reciprocal of the rank, for each candidate in its order.

    Args:
        order: The candidates' positions, best first; each exactly once.

    Raises:
        RankingError: A position is missing, doubled or unknown.
    """
    if sorted(order) != list(range(len(order))):
        msg = f"a ranking must hold each of the positions 0 to {len(order) - 1} once, got {list(order)!r}"
        raise RankingError(msg)
    scores = [0.0] * len(order)
    for rank, position in enumerate(order, 1):
        scores[position] = 1 / rank
    return scores


class Reranker(Stage):
    """A stage that ranks the hits that came in once more.

    Every hit that comes in goes out, unless `top_n`, the query's limit or `threshold` cut it off. Hits behind the
    candidates follow in the order they had, with scores that go on below the candidates' own. Where the reranker fails or
    runs out of time, the hits go on in the order they had, cut to the same size, and `result.degraded` says so.

    Args:
        top_n: How many hits go on, where the query does not say; None for all. Of a reranker that another one follows it is
            the last word: what comes after can choose from no more than these.
        candidates: How many hits are looked at, from the best one down. The stage before is asked for that many. None for
            as many as come.
        threshold: The worst score that goes on, on this reranker's own scale; hits behind the candidates have none and stay
            behind. None for any.
        name: What the stage is called in `hit.stages` and `result.degraded`.
        on_error: "raise" makes a failure the caller's.
        timeout: Seconds it may take at most.
    """

    name = "rerank"

    def __init__(
        self,
        *,
        top_n: int | None = None,
        candidates: int | None = None,
        threshold: float | None = None,
        name: str | None = None,
        on_error: Literal["continue", "raise"] = "continue",
        timeout: float | None = None,
    ) -> None:
        _check_count("top_n", top_n)
        _check_count("candidates", candidates)
        _check_number("threshold", threshold)
        _check_number("timeout", timeout)
        if timeout is not None and timeout <= 0:
            msg = f"timeout must be a number of seconds above 0, or None for no limit of its own; got {timeout!r}"
            raise ConfigurationError(msg)
        if on_error not in ("continue", "raise"):
            msg = f"on_error must be 'continue' or 'raise', got {on_error!r}"
            raise ConfigurationError(msg)
        if name is not None and not (isinstance(name, str) and name.strip()):
            msg = f"name must be a text that is not blank, or None for {type(self).name!r}; got {name!r}"
            raise ConfigurationError(msg)
        self.top_n = top_n
        self.candidates = candidates
        self.threshold = threshold
        self.name = type(self).name if name is None else name
        self.on_error = on_error
        self.timeout = timeout

    @abstractmethod
    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Rank the candidates; there is at least one.

        Args:
            query: What was asked; its `limit` and `offset` are this stage's page.
            hits: The candidates, best first.
        """

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Rank the candidates, put the rest behind them, cut the page.

        Raises:
            RankingError: There is not one finite score for each candidate.
        """
        hits = state.hits
        if not hits:
            return state
        looked_at = len(hits) if self.candidates is None else self.candidates
        ranking = yield from self.rank(state.query, hits[:looked_at])
        ranked = self._ranked(hits[:looked_at], self._scores(ranking, len(hits[:looked_at])))
        if ranking.usage is not None:
            state = state.with_usage(self.name, ranking.usage)
        for reason in ranking.degraded:
            state = state.with_degradation(Degradation(self.name, reason))
        if self.threshold is None:
            ranked += _behind(ranked, hits[looked_at:])
        else:
            # What was not looked at has not shown that it is good enough.
            ranked = [hit for hit in ranked if hit.score >= self.threshold]
        return state.with_hits(self._page(ranked, state.query))

    def without(self, state: SearchState) -> SearchState:
        """The hits in the order they had, cut to this stage's size."""
        return state.with_hits(self._page(state.hits, state.query))

    def before(self, query: Query) -> Query:
        """The candidates, from the first hit on: exactly those where no others can be shown, else at least those."""
        shown = self._shown(query)
        if shown is None:
            candidates = max(query.candidates, self.candidates or 0)
            return replace(query, limit=None, offset=0, candidates=candidates)
        end = query.offset + shown
        if self.candidates is None:
            return replace(query, limit=None, offset=0, candidates=end)
        return replace(query, limit=max(self.candidates, end), offset=0, candidates=0)

    def _shown(self, query: Query) -> int | None:
        """How many hits go on; None for all."""
        return self.top_n if query.limit is None else query.limit

    def _page(self, hits: Sequence[Hit], query: Query) -> tuple[Hit, ...]:
        shown = self._shown(query)
        return tuple(hits[query.offset : None if shown is None else query.offset + shown])

    def _scores(self, ranking: Ranking, wanted: int) -> list[float]:
        scores = [float(score) for score in ranking.scores]
        if len(scores) != wanted:
            msg = (
                f"{self.name} must give one score for each of the {wanted} candidates, it gave {len(scores)}"
            )
            raise RankingError(msg)
        bad = next((position for position, score in enumerate(scores) if not math.isfinite(score)), None)
        if bad is not None:
            msg = f"{self.name} must give finite scores; that of candidate {bad + 1} of {wanted} is {scores[bad]!r}"
            raise RankingError(msg)
        return scores

    def _ranked(self, hits: Sequence[Hit], scores: Sequence[float]) -> list[Hit]:
        order = sorted(range(len(hits)), key=lambda position: -scores[position])
        return [
            replace(
                hits[position],
                score=scores[position],
                stages={**hits[position].stages, self._key(hits): StageScore(scores[position], rank)},
            )
            for rank, position in enumerate(order, 1)
        ]

    def _key(self, hits: Sequence[Hit]) -> str:
        """The name under which the score is kept, so that no stage before loses its own."""
        taken = {name for hit in hits for name in hit.stages}
        key, number = self.name, 1
        while key in taken:
            number += 1
            key = f"{self.name} {number}"
        return key


class Top(Stage):
    """Lets the best hits through, and asks the stages before for no more than those.

    Args:
        n: How many hits.
    """

    name = "top"
    required = True

    def __init__(self, n: int) -> None:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            msg = f"n must be a whole number of at least 1, got {n!r}"
            raise ConfigurationError(msg)
        self.n = n

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Cut."""
        yield from ()
        return state.with_hits(state.hits[: self.n])

    def before(self, query: Query) -> Query:
        """No more than lie within the best."""
        left = max(1, self.n - query.offset)
        return replace(query, limit=left if query.limit is None else min(left, query.limit), candidates=0)


def _behind(ranked: Sequence[Hit], rest: Sequence[Hit]) -> list[Hit]:
    """The hits that were not looked at, their scores as far apart as they were, moved below those of the others."""
    if not rest:
        return []
    floor, first = ranked[-1].score, rest[0].score
    return [replace(hit, score=floor - abs(first - hit.score)) for hit in rest]


def _check_count(name: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        msg = f"{name} must be a whole number of at least 1, or None; got {value!r}"
        raise ConfigurationError(msg)


def _check_number(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and math.isfinite(value)):  # type: ignore[arg-type]
        msg = f"{name} must be a finite number, or None; got {value!r}"
        raise ConfigurationError(msg)
