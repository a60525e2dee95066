"""A language model ranks small groups, and the best of each meet again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.generate.requests import check_whole
from hydrant.rerank.base import Ranking, by_position
from hydrant.rerank.llm import LlmReranker, Orders
from hydrant.rerank.prompts import RankPrompt, rank_prompt
from hydrant.rerank.selection import Plan, Tournament, with_rest
from hydrant.types import Hit, Query

_TRUST = ("winners", "order")
# How many are played for where nobody says how many can be seen; a whole ranking costs as much as sorting.
_PLACES = 10


@dataclass(kw_only=True, unsafe_hash=True)
class TournamentReranker(LlmReranker):
    """Finds the best few by a tournament of small groups; the groups of a level are asked side by side.

    Yoon et al., "ListT5: Listwise Reranking with Fusion-in-Decoder Improves Zero-shot Retrieval", ACL 2024, with any language
    model in the place of theirs. After each place only the groups meet again from which somebody has left, and groups that met
    before are not asked again. 100 candidates in groups of 5 are 25 calls for the first place, 20 and 4 of them side by
    side, and about 3 for each further one.

    As many places are played as can be seen: the query's limit, else `top_n`, else 10. The others follow in the order they
    had. Scores are reciprocal ranks.

    Attributes:
        group: How many passages a call ranks.
        winners: How many of them go on to the next level; 2 forgives the model an error.
        trust: "winners" believes an answer about the winners alone, as published: the others of the group meet again when a
            winner has been placed. "order" believes the whole order, which saves about a fifth of the calls.
        prompt: "rankgpt", "lrl", a `RankPrompt`, or a template with the slots `{query}`, `{passages}` and if wanted `{count}`.

    For the others see `LlmReranker`.
    """

    group: int = 5
    winners: int = 1
    trust: Literal["winners", "order"] = "winners"
    prompt: str | RankPrompt = "rankgpt"
    name: str = "tournament"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("group", self.group, at_least=2)
        check_whole("winners", self.winners)
        if self.winners >= self.group:
            msg = f"winners must be below group={self.group}, or nobody drops out; got {self.winners}"
            raise ConfigurationError(msg)
        if self.trust not in _TRUST:
            msg = f"trust must be one of {list(_TRUST)}, got {self.trust!r}"
            raise ConfigurationError(msg)
        rank_prompt(self.prompt)

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Play for the places that can be seen."""
        ledger = self.ledger()
        orders = Orders(self, rank_prompt(self.prompt), query, hits, ledger)
        tournament = Tournament(len(hits), Plan(self.group, self.winners, self.trust))
        places = self.places(query, len(hits))
        best = yield from tournament.best(query.offset + _PLACES if places is None else places, orders.of)
        return ledger.ranking(by_position(with_rest(best, len(hits))))
