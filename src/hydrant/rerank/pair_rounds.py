"""Scoring documents in rounds, until the page can no longer change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydrant.encode.pair_effects import ReadPairs, ScorePairs
from hydrant.encode.pairs import PairScorer
from hydrant.flow import Flow

# How many pairs a first round has at least, where scoring may stop early; each further one has twice as many as the last.
_FIRST_ROUND = 16


def scores_of(
    scorer: PairScorer, query: str, texts: Sequence[str], known: Mapping[str, float], enough: int
) -> Flow[dict[str, float]]:
    """The scores of the texts that are not known; of none that cannot come among the first `enough`.

    Args:
        scorer: The model.
        query: The query.
        texts: The candidates in their order; equal ones are scored once.
        known: Scores of some of them.
        enough: How many are shown, at most.
    """
    missing = [text for text in dict.fromkeys(texts) if text not in known]
    if not missing:
        return {}
    pieces = yield ReadPairs(scorer, query, missing)
    work = _Work(dict(zip(missing, pieces.documents, strict=True)), scorer.bound)
    size = max(_FIRST_ROUND, enough) if scorer.bound is not None and enough < len(texts) else None
    while work.left and not work.settled(texts, known, enough):
        part = work.take(size)
        values = yield ScorePairs(scorer, [(pieces.query, piece) for _, piece in part])
        work.learn(part, values)
        size = None if size is None else 2 * size
    return work.finished


class _Work:
    """Which pieces of which documents are still to be scored.

    Args:
        pieces: The pieces of each document, in the documents' order.
        bound: The highest score there is, None where there is none.
    """

    def __init__(self, pieces: Mapping[str, Sequence[str]], bound: float | None) -> None:
        self._left = {text: list(parts) for text, parts in pieces.items()}
        self._best: dict[str, float] = {}
        self._bound = bound

    @property
    def left(self) -> bool:
        """Whether there is anything to score."""
        return bool(self._left)

    @property
    def finished(self) -> dict[str, float]:
        """The scores of the documents that are done with."""
        return {text: score for text, score in self._best.items() if text not in self._left}

    def take(self, size: int | None) -> list[tuple[str, str]]:
        """The next pieces, each with its document, about so many; all of them for None.

        Where there is a highest score only the first piece of each document is taken, as it may be enough.
        """
        part: list[tuple[str, str]] = []
        for text, pieces in self._left.items():
            if size is not None and len(part) >= size:
                break
            part += [(text, piece) for piece in (pieces if self._bound is None else pieces[:1])]
        return part

    def learn(self, part: Sequence[tuple[str, str]], values: Sequence[float]) -> None:
        """What the pieces that were taken scored."""
        for (text, _), value in zip(part, values, strict=True):
            self._best[text] = max(value, self._best.get(text, value))
        for text in dict.fromkeys(text for text, _ in part):
            done = self._bound is None or self._best[text] >= self._bound
            rest = [] if done else self._left[text][1:]
            if rest:
                self._left[text] = rest
            else:
                del self._left[text]

    def settled(self, texts: Sequence[str], known: Mapping[str, float], enough: int) -> bool:
        """Whether the first `enough` are certain: they have the highest score, and nobody before them can reach it."""
        if self._bound is None:
            return False
        at_bound = 0
        for text in texts:
            if text in self._left:
                return False
            score = known[text] if text in known else self._best[text]
            at_bound += score >= self._bound
            if at_bound >= enough:
                return True
        return False
