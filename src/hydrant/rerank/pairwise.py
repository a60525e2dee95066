"""A language model compares two passages at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.rerank.base import Ranking, by_position
from hydrant.rerank.ledger import Ledger
from hydrant.rerank.llm import LlmReranker, Orders
from hydrant.rerank.merging import merge_sorted
from hydrant.rerank.prompts import PAIR_PROMPT, RankPrompt, rank_prompt
from hydrant.rerank.selection import Group, Plan, Tournament, with_rest
from hydrant.types import Hit, Query

_METHODS = ("auto", "sort", "select")


@dataclass(kw_only=True, unsafe_hash=True)
class PairwiseReranker(LlmReranker):
    """Ranks by comparisons of two passages, each asked in both orders, so that a liking for one side cancels out.

    Qin et al., "Large Language Models are Effective Text Rankers with Pairwise Ranking Prompting", 2023. Where the two answers
    contradict each other, the two passages keep the order they had. Comparisons that do not depend on each other are asked
    side by side. Scores are reciprocal ranks.

    Attributes:
        method: "sort" is a merge sort of all candidates, about n·log2(n) comparisons of two calls each; "select" finds only the places
            that can be seen (the query's limit, else `top_n`), about n + places·log2(n) comparisons, and leaves the others in
            the order they had. "auto" takes the one that asks less.
        prompt: A `RankPrompt`, or a template with the slots `{query}` and `{passages}`.

    For the others see `LlmReranker`.
    """

    method: Literal["auto", "sort", "select"] = "auto"
    prompt: str | RankPrompt = PAIR_PROMPT
    name: str = "pairwise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in _METHODS:
            msg = f"method must be one of {list(_METHODS)}, got {self.method!r}"
            raise ConfigurationError(msg)
        if self.max_calls == 1:
            msg = "max_calls must be 2 or more, for a comparison takes two calls; got 1"
            raise ConfigurationError(msg)
        rank_prompt(self.prompt)

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Sort, or select."""
        count = len(hits)
        places = self.places(query, count)
        ledger = self.ledger()
        duels = _Duels(Orders(self, rank_prompt(self.prompt), query, hits, ledger), ledger)
        if self._selects(count, places):
            tournament = Tournament(count, Plan(group=2, winners=1))
            best = yield from tournament.best(count if places is None else places, duels.orders)
            order = with_rest(best, count)
        else:
            order = yield from merge_sorted(count, duels.prefer_second)
        return ledger.ranking(by_position(order))

    def _selects(self, count: int, places: int | None) -> bool:
        if self.method != "auto":
            return self.method == "select"
        levels = (count - 1).bit_length()
        return places is not None and count + places * levels < count * levels


@dataclass(frozen=True, slots=True)
class _Duels:
    """Comparisons asked in both orders."""

    asking: Orders
    ledger: Ledger

    def orders(self, groups: Sequence[Group]) -> Flow[list[Group | None]]:
        """Each pair, the better one first."""
        swapped = yield from self.prefer_second([(first, second) for first, second in groups])
        return [(pair[1], pair[0]) if swap else pair for pair, swap in zip(groups, swapped, strict=True)]

    def prefer_second(self, pairs: Sequence[tuple[int, int]]) -> Flow[list[bool]]:
        """Whether the second of a pair is clearly the better one; what is not asked any more is not."""
        asked = pairs[: self.ledger.affords(len(pairs), each=2)]
        turns = [turn for first, second in asked for turn in ((first, second), (second, first))]
        replies = yield from self.asking.of(turns)
        clearly = [
            one is not None and other is not None and one[0] == other[0] == second
            for (_, second), one, other in zip(asked, replies[::2], replies[1::2], strict=True)
        ]
        return clearly + [False] * (len(pairs) - len(asked))
