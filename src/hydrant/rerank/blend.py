"""A reranker's opinion mixed with that of the stage before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.rerank.base import Ranking, Reranker
from hydrant.types import Hit, Query


class Blend(Reranker):
    """Ranks by a mean of a reranker's score and the score that came in, each scaled to its lowest and highest one.

    What a weak reranker knows adds to what the search knew, where on its own it would replace it by something worse. The
    interpolation is the usual one of monoBERT and its successors.

    Args:
        reranker: The reranker; its own `top_n`, `threshold` and `candidates` do not count.
        share: How much its score counts, from 0 to 1, against what came in.
        top_n: How many hits go on, where the query does not say; None for all.
        candidates: How many hits are looked at, from the best one down; None for as many as come.
        threshold: The worst mean that goes on, from 0 to 1.
        name: What the stage is called in `hit.stages` and `result.degraded`; the reranker's name unless given.
        on_error: "raise" makes a failure the caller's.
        timeout: Seconds it may take at most.

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    def __init__(
        self,
        reranker: Reranker,
        share: float = 0.5,
        *,
        top_n: int | None = None,
        candidates: int | None = None,
        threshold: float | None = None,
        name: str | None = None,
        on_error: Literal["continue", "raise"] = "continue",
        timeout: float | None = None,
    ) -> None:
        if not isinstance(reranker, Reranker):
            msg = f"reranker must be a Reranker such as LateInteractionReranker(docs), got {reranker!r}"
            raise ConfigurationError(msg)
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            msg = (
                f"share must be a number from 0 (what came in alone) to 1 (the reranker alone), got {share!r}"
            )
            raise ConfigurationError(msg)
        super().__init__(
            top_n=top_n,
            candidates=candidates,
            threshold=threshold,
            name=reranker.name if name is None else name,
            on_error=on_error,
            timeout=timeout,
        )
        self.reranker = reranker
        self.share = share

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Rank by both."""
        # Every candidate's score counts here, so that of none may be left open by a page.
        ranking = yield from self.reranker.rank(replace(query, limit=len(hits), offset=0), hits)
        own = _scaled(self._scores(ranking, len(hits)))
        came_in = [hit.score for hit in hits]
        # They come best first, so scores that rise are distances.
        given = _scaled(came_in if came_in[0] >= came_in[-1] else [-score for score in came_in])
        mixed = [self.share * new + (1 - self.share) * old for new, old in zip(own, given, strict=True)]
        return replace(ranking, scores=mixed)

    def warm_up(self) -> None:
        """Warm up the reranker."""
        self.reranker.warm_up()

    def close(self) -> None:
        """Close the reranker."""
        self.reranker.close()


def _scaled(scores: Sequence[float]) -> list[float]:
    """From 0 for the lowest to 1 for the highest; 0 for all where they are equal."""
    low, high = min(scores), max(scores)
    return [(score - low) / (high - low) if high > low else 0.0 for score in scores]
