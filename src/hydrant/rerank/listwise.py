"""A language model ranks whole lists, in windows from the end to the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.generate.requests import check_whole
from hydrant.rerank.base import Ranking, by_position
from hydrant.rerank.llm import LlmReranker, Orders
from hydrant.rerank.prompts import RankPrompt, rank_prompt
from hydrant.rerank.windows import windows
from hydrant.types import Hit, Query


@dataclass(kw_only=True, unsafe_hash=True)
class ListwiseReranker(LlmReranker):
    """Ranks by windows that slide from the end of the list to its head; what is good travels up from window to window.

    Sun et al., "Is ChatGPT Good at Search?", EMNLP 2023 (RankGPT); Ma et al., "Zero-Shot Listwise Document Reranking with a Large
    Language Model", 2023 (LRL). 100 candidates are 9 calls, one after the other, for each needs what the one before found.
    Scores are reciprocal ranks.

    Attributes:
        window: How many passages a call ranks.
        step: How far the window moves on; less than `window`, so that its best can travel.
        passes: How often the whole list is gone through, at most; one that changes nothing is the last.
        prompt: "rankgpt", "lrl", a `RankPrompt`, or a template with the slots `{query}`, `{passages}` and if wanted `{count}`.

    With `max_calls` below what a pass takes, the windows nearest the head are ranked. For the others see `LlmReranker`.
    """

    window: int = 20
    step: int = 10
    passes: int = 1
    prompt: str | RankPrompt = "rankgpt"
    name: str = "listwise"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("window", self.window, at_least=2)
        check_whole("step", self.step)
        check_whole("passes", self.passes)
        if self.step >= self.window:
            msg = f"step must be below window={self.window}, or nothing can travel from one window to the next; got {self.step}"
            raise ConfigurationError(msg)
        rank_prompt(self.prompt)

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Rank window after window."""
        ledger = self.ledger()
        orders = Orders(self, rank_prompt(self.prompt), query, hits, ledger)
        order = list(range(len(hits)))
        for _ in range(self.passes if len(hits) > 1 else 0):
            before = tuple(order)
            spans = windows(len(order), self.window, self.step)
            # Where they do not suffice for a whole pass, the calls go to where it counts.
            spans = spans[len(spans) - ledger.affords(len(spans)) :]
            for start, end in spans:
                (ranked,) = yield from orders.of([order[start:end]])
                if ranked is not None:
                    order[start:end] = ranked
            if tuple(order) == before:
                break
        return ledger.ranking(by_position(order))
