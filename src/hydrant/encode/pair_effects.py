"""The effects with which a flow asks a model of pairs."""

from __future__ import annotations

from collections.abc import Sequence

from hydrant.encode.microbatch import Limits, dispatcher_for
from hydrant.encode.pair_backends import Pair
from hydrant.encode.pair_window import Pieces
from hydrant.encode.pairs import PairScorer
from hydrant.flow import Effect

# What concurrent queries send through the model together, at most, and how long one waits for a pass that hangs. A pass
# over a hundred passages takes about a second on a CPU, and another one beside it would only slow down both.
_TOGETHER = Limits(items=512, patience=3.0)


class ReadPairs(Effect[Pieces]):
    """Load the model and cut a query and documents for it."""

    name = "read pairs"

    def __init__(self, scorer: PairScorer, query: str, documents: Sequence[str]) -> None:
        self._scorer = scorer
        self._query = query
        self._documents = documents

    def call(self, timeout: float | None) -> Pieces:
        """The pieces."""
        return self._scorer.pieces(self._query, self._documents)


class LoadPairs(Effect[str]):
    """Load the model; the reply is its identity."""

    name = "load pair model"

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer

    def call(self, timeout: float | None) -> str:
        """The identity."""
        return self._scorer.identity


class ScorePairs(Effect[list[float]]):
    """Ask for the scores of pairs. Those that are asked for at the same time in event loops are computed together."""

    name = "score pairs"

    def __init__(self, scorer: PairScorer, pairs: Sequence[Pair]) -> None:
        self._scorer = scorer
        self._pairs = pairs

    def call(self, timeout: float | None) -> list[float]:
        """The scores. A model that runs cannot be stopped, so the time left is the driver's to watch."""
        return self._scorer.score(self._pairs)

    async def acall(self, timeout: float | None) -> list[float]:
        """The scores, without blocking the event loop."""
        answer: list[float] = await dispatcher_for(self._scorer, "score", _TOGETHER).results(self._pairs)
        return answer
