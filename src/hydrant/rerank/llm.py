"""What all rerankers share that ask a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from hydrant.flow import Flow
from hydrant.generate.base import TextGenerator
from hydrant.generate.cache import ExpansionCache, MemoryCache, as_cache
from hydrant.generate.function import TextFunction, as_generator
from hydrant.generate.requests import Generation, GenerationRequest, Message, check_whole
from hydrant.rerank.base import Reranker
from hydrant.rerank.ledger import Ledger, Question, Terms, Unranked
from hydrant.rerank.passages import Cut, TokenCount
from hydrant.rerank.permutation import read_order
from hydrant.rerank.prompts import RankPrompt
from hydrant.types import Degradation, Hit, Query, SearchState

# What "[12] > " takes, and room for a few words before it.
_TOKENS_A_NUMBER = 8
_TOKENS_BESIDE = 24


@dataclass(kw_only=True, unsafe_hash=True)
class LlmReranker(Reranker):
    """A reranker that asks a language model.

    Where single answers fail or cannot be read, what they were about keeps the order it had; where all do, everything does.
    Either way `result.degraded` says so, and `result.usage` what was asked.

    Attributes:
        llm: A `TextGenerator`, or a function from prompt to text.
        top_n: How many hits go on, where the query does not say; None for all.
        candidates: How many hits are looked at, from the best one down; None for as many as come.
        passage_tokens: The most tokens that a passage may take in a prompt; what is longer is cut, and the cut marked.
        prompt_tokens: The most that all passages of a prompt may take together; what short ones leave is shared by the long
            ones. None for no such limit.
        count_tokens: Counts a text's tokens as the model does, such as `lambda text: len(tokenizer.encode(text))`. None for an
            estimate that lies a little above what tokenizers of large vocabularies count; older ones need up to twice as many
            for scripts other than Latin.
        answer_tokens: How long an answer may be; None for what an answer takes. Models that reason before they answer need
            more.
        temperature: How freely the model draws.
        seed: Makes the draws repeatable, where the model allows it.
        max_calls: How many answers a query may ask for; with that many the best order known so far is the ranking. Answers that
            the cache knows count too, so that the ranking is the same with it and without. None for no limit.
        at_once: How many calls may be under way at a time.
        cache: Where answers are kept that could be read: a `MemoryCache`, a `DiskCache` or the path of one, None for nowhere.
        threshold: The worst score that goes on; most of these rerankers score by rank.
        name: What the stage is called in `hit.stages`, `result.usage` and `result.degraded`.
        on_error: "raise" makes it the caller's when no answer can be used.
        timeout: Seconds that the stage may take; what is known by then is the ranking.
    """

    llm: TextGenerator | TextFunction = field(kw_only=False)
    top_n: int | None = None
    candidates: int | None = None
    passage_tokens: int = 300
    prompt_tokens: int | None = None
    count_tokens: TokenCount | None = None
    answer_tokens: int | None = None
    temperature: float = 0.0
    seed: int | None = None
    max_calls: int | None = None
    at_once: int = 8
    cache: ExpansionCache | str | Path | None = field(
        default_factory=lambda: MemoryCache(10_000), compare=False
    )
    threshold: float | None = None
    name: str = "llm"
    on_error: Literal["continue", "raise"] = "continue"
    timeout: float | None = None

    _owns_cache: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__init__(
            top_n=self.top_n,
            candidates=self.candidates,
            threshold=self.threshold,
            name=self.name,
            on_error=self.on_error,
            timeout=self.timeout,
        )
        self.__dict__["_owns_cache"] = not isinstance(self.cache, ExpansionCache)
        self.llm = as_generator(self.llm)
        self.cache = as_cache(self.cache)
        check_whole("at_once", self.at_once)
        for name in ("max_calls", "answer_tokens"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name))
        # Numbers that cannot be are found here, and not at the first query.
        self.cut([])
        self.request((Message("user", "a question"),), 1)

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Rank; where no answer can be used, go on in the order there is, and say what was asked all the same."""
        try:
            return (yield from super().flow(state))
        except Unranked as nothing:
            if self.on_error == "raise":
                raise nothing.cause or nothing from None
            state = self.without(state).with_usage(self.name, nothing.usage)
            return state.with_degradation(Degradation(self.name, str(nothing)))

    def warm_up(self) -> None:
        """Load the model, or open the connection."""
        as_generator(self.llm).warm_up()

    def close(self) -> None:
        """Close a cache that was given as a path. The model was given, and other stages may use it."""
        cache = as_cache(self.cache)
        if cache is not None and self._owns_cache:
            cache.close()

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Passages as a prompt shows them."""
        return Cut(self.passage_tokens, self.prompt_tokens, self.count_tokens)(texts)

    def request(
        self,
        messages: tuple[Message, ...],
        answer_tokens: int,
        samples: int = 1,
        choices: tuple[str, ...] = (),
    ) -> GenerationRequest:
        """What the model is asked.

        Args:
            messages: The conversation.
            answer_tokens: What an answer takes, where the reranker's settings do not say otherwise.
            samples: How many answers are wanted.
            choices: The words of which the answer is to be one.
        """
        return GenerationRequest(
            messages,
            samples=samples,
            temperature=self.temperature,
            max_tokens=answer_tokens if self.answer_tokens is None else self.answer_tokens,
            seed=self.seed,
            choices=choices,
        )

    def ledger(self) -> Ledger:
        """An account for a query."""
        terms = Terms(as_generator(self.llm), self.max_calls, self.at_once, as_cache(self.cache))
        return Ledger(terms, type(self).__name__)

    def places(self, query: Query, there: int) -> int | None:
        """How many places from the first on can be seen of the ranking; None where all can."""
        shown = self._shown(query)
        return None if shown is None else min(there, query.offset + shown)


@dataclass(frozen=True, slots=True)
class Orders:
    """Has a model put passages in order, several groups of them side by side.

    Attributes:
        reranker: Whose settings count.
        prompt: What is asked.
        query: What the passages are to answer.
        hits: The candidates; groups are of their positions.
        ledger: The query's account.
    """

    reranker: LlmReranker
    prompt: RankPrompt
    query: Query
    hits: Sequence[Hit]
    ledger: Ledger
    _lines: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def of(self, groups: Sequence[Sequence[int]]) -> Flow[list[tuple[int, ...] | None]]:
        """Each group in the model's order, None where it gave none.

        Args:
            groups: The candidates' positions, as they are shown.
        """
        return (yield from self.ledger.ask([self._question(group) for group in groups]))

    def _question(self, group: Sequence[int]) -> Question[tuple[int, ...]]:
        messages = self.prompt.messages(self.query.text, self._shown(group))
        request = self.reranker.request(messages, _TOKENS_A_NUMBER * len(group) + _TOKENS_BESIDE)

        def read(generation: Generation) -> tuple[int, ...] | None:
            text = next(iter(generation.texts), "")
            permutation = read_order(text, len(group))
            return tuple(group[place] for place in permutation.order) if permutation.read else None

        return Question(request, read)

    def _shown(self, group: Sequence[int]) -> list[str]:
        """The passages as the prompt shows them."""
        if self.reranker.prompt_tokens is not None:
            # What each is left depends on the others.
            return self.reranker.cut([self.hits[position].passage.content for position in group])
        for position in group:
            if position not in self._lines:
                (self._lines[position],) = self.reranker.cut([self.hits[position].passage.content])
        return [self._lines[position] for position in group]
