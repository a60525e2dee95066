"""Several rankings as votes: interleaved with their duplicates, and ranked once more by a language model or by the votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Literal

from hydrant.errors import ConfigurationError, InputError
from hydrant.flow import Flow
from hydrant.generate.base import TextGenerator
from hydrant.generate.function import TextFunction
from hydrant.generate.requests import check_whole
from hydrant.rerank.base import Ranking, Reranker, by_position
from hydrant.rerank.ledger import Unranked
from hydrant.rerank.listwise import ListwiseReranker
from hydrant.rerank.selection import with_rest
from hydrant.types import Hit, Query

# What a retriever calls the ranking that it made of its sources'.
_FUSED = "fusion"
# As in reciprocal rank fusion; the bare reciprocal lets a first place outweigh any agreement, and ranks worse on every set.
_SMOOTHING = 60


@dataclass(kw_only=True, unsafe_hash=True)
class VoteReranker(Reranker):
    """Fuses several sources' rankings by a list in which a passage stands as often as sources found it.

    The rankings are interleaved, each cut to its share of `size`, duplicates kept: where a passage stands says how well it was
    ranked, how often says how many agree. A listwise model ranks that list once; a passage's place is the best of its
    places. "Vote-in-Context" (arXiv 2511.01617). Without a model the votes alone rank: by the sum over a passage's places in the
    list of 1 / (60 + place). Passages outside the list follow in the order they had. Scores are reciprocal ranks.

    The rankings are those that earlier stages left on the hits (`hit.stages`): of a retriever with `explain=True`, or whose fusion
    keeps them, and of rerankers. Hits without any are taken as one ranking, in the order they have.

    Attributes:
        ranker: What ranks the list: a text generator or a function from prompt to text, which is asked once, or a
            reranker such as `ListwiseReranker(llm, window=10)`, whose own `top_n` does not count; None for the votes alone.
        size: How long the list may be.
        sources: Whose rankings vote; () for all there are but the fused one.

    For the others see `Reranker`. When the model fails, the votes alone rank.
    """

    ranker: TextGenerator | TextFunction | Reranker | None = field(default=None, kw_only=False)
    size: int = 20
    sources: tuple[str, ...] = ()
    top_n: int | None = None
    candidates: int | None = None
    threshold: float | None = None
    name: str = "vote"
    on_error: Literal["continue", "raise"] = "continue"
    timeout: float | None = None

    def __post_init__(self) -> None:
        super().__init__(
            top_n=self.top_n,
            candidates=self.candidates,
            threshold=self.threshold,
            name=self.name,
            on_error=self.on_error,
            timeout=self.timeout,
        )
        check_whole("size", self.size)
        if not isinstance(self.sources, tuple | list) or not all(
            isinstance(name, str) and name for name in self.sources
        ):
            msg = f"sources must be the names of stages, such as ('dense', 'sparse'); got {self.sources!r}"
            raise ConfigurationError(msg)
        self.sources = tuple(self.sources)
        if self.ranker is not None and not isinstance(self.ranker, Reranker):
            window = max(2, self.size)
            self.ranker = ListwiseReranker(self.ranker, window=window, step=window // 2)

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Interleave, and rank the list.

        Raises:
            ConfigurationError: No hit has a rank of any of the sources that were named.
        """
        ballot = interleaved(self._rankings(hits), self.size)
        by_votes = Ranking(by_position(with_rest(_first_places(_by_votes(ballot)), len(hits))))
        if not isinstance(self.ranker, Reranker) or len(set(ballot)) == 1:
            return by_votes
        try:
            ranked = [hits[position] for position in ballot]
            ranking = yield from self.ranker.rank(self._asked(query, ballot), ranked)
            scores = self._scores(ranking, len(ballot))
        except Unranked as nothing:
            if self.on_error == "raise":
                raise nothing.cause or nothing from None
            return replace(by_votes, usage=nothing.usage, degraded=(f"by votes alone: {nothing}",))
        except Exception as error:
            # A ranker may fail in any way; the votes are counted already.
            if self.on_error == "raise" or isinstance(error, InputError | ConfigurationError):
                raise
            return replace(by_votes, degraded=(f"by votes alone: {type(error).__name__}: {error}",))
        places = sorted(range(len(ballot)), key=lambda place: -scores[place])
        order = with_rest(_first_places([ballot[place] for place in places]), len(hits))
        return Ranking(by_position(order), ranking.usage, ranking.degraded)

    def warm_up(self) -> None:
        """Warm up what ranks."""
        if isinstance(self.ranker, Reranker):
            self.ranker.warm_up()

    def close(self) -> None:
        """Close what ranks."""
        if isinstance(self.ranker, Reranker):
            self.ranker.close()

    def _asked(self, query: Query, ballot: Sequence[int]) -> Query:
        """The query to rank the list with: on its page stand as many different passages as can be seen.

        Rankers stop early where a page is certain, and in the list a passage takes as many places as it has votes.
        """
        shown = self._shown(query)
        votes = max(Counter(ballot).values())
        places = len(ballot) if shown is None else (query.offset + shown) * votes
        return replace(query, limit=min(len(ballot), places), offset=0)

    def _rankings(self, hits: Sequence[Hit]) -> list[list[int]]:
        """Each source's ranking, as positions of hits."""
        there = dict.fromkeys(name for hit in hits for name in hit.stages)
        names = self.sources or tuple(name for name in there if name != _FUSED)
        rankings = [
            sorted(
                (at for at, hit in enumerate(hits) if name in hit.stages),
                key=lambda at: hits[at].stages[name].rank,
            )
            for name in names
        ]
        rankings = [ranking for ranking in rankings if ranking]
        if self.sources and not rankings:
            msg = (
                f"no hit has a rank of sources={list(self.sources)}, there are ranks of {list(there)}; have the retriever "
                "keep them with explain=True"
            )
            raise ConfigurationError(msg)
        return rankings or [list(range(len(hits)))]


def interleaved(rankings: Sequence[Sequence[int]], size: int) -> list[int]:
    """One list of several, turn by turn and with its duplicates.

    Args:
        rankings: The lists, best first.
        size: How long the whole may be; each list is cut to its share of it, rounded up.
    """
    share = -(-size // len(rankings))
    turns = zip_longest(*(ranking[:share] for ranking in rankings))
    return [each for turn in turns for each in turn if each is not None][:size]


def _by_votes(ballot: Sequence[int]) -> list[int]:
    """Those in the list, by the sum of their votes: each counts a little less the further down it stands."""
    votes: dict[int, float] = {}
    for place, each in enumerate(ballot, 1):
        votes[each] = votes.get(each, 0.0) + 1 / (_SMOOTHING + place)
    return sorted(votes, key=lambda each: -votes[each])


def _first_places(order: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(order))
