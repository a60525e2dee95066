"""Other ways in which a language model helps a query: rewrites, sub-questions, steps back, reasoning, keywords, context."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from hydrant.errors import ConfigurationError
from hydrant.expand.base import LlmExpansion
from hydrant.expand.hyde import check_query_weight
from hydrant.expand.prompts import Prompt, one_line
from hydrant.expand.repair import Repair, Repaired, lines
from hydrant.generate.requests import Generation, GenerationRequest, check_whole
from hydrant.types import Expansion, Query, Turn

_EVERY_KIND = ("dense", "sparse", "multi")
_LIST = "Answer with a plain list, one entry a line, without numbers and without comments."
_SLOTS = ("count",)


@dataclass(frozen=True, kw_only=True)
class _Listed(LlmExpansion):
    """A stage whose model answers once, with a list.

    Attributes:
        prompt: A template with the slots `{query}` and, if wanted, `{count}`; None for the stage's own.
    """

    prompt: str | Prompt | None = None

    system: ClassVar[str] = _LIST

    def __post_init__(self) -> None:
        check_whole(self._counted, self.count)
        if isinstance(self.prompt, str):
            object.__setattr__(self, "prompt", Prompt(self.prompt, _SLOTS))
        elif not isinstance(self.prompt, Prompt | None):
            msg = f"prompt must be a template with the slot {{query}}, got {self.prompt!r}"
            raise ConfigurationError(msg)
        super().__post_init__()

    _counted: ClassVar[str] = "count"

    @property
    def count(self) -> int:
        """How many entries are wanted."""
        value: int = getattr(self, self._counted)
        return value

    @property
    @abstractmethod
    def template(self) -> str:
        """The stage's own prompt."""

    def request(self, query: Query) -> GenerationRequest | None:
        """One answer with all entries."""
        prompt = self.prompt if isinstance(self.prompt, Prompt) else Prompt(self.template, _SLOTS)
        return GenerationRequest(
            self.messages(prompt.filled(query.text, count=str(self.count)), self.system),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )

    def texts(self, generation: Generation, query: Query) -> Repaired:
        """The entries of the list, as many as were wanted."""
        entries = [entry for text in generation.texts for entry in lines(text)]
        repaired = self.repair(entries, query.text)
        return replace(repaired, texts=repaired.texts[: self.count])

    def expanded(self, query: Query, expansion: Expansion) -> Query:
        """The query with the entries, each of them a query beside it in the same request."""
        return query.with_expansion(replace(expansion, kinds=_EVERY_KIND, mode="fuse"))


@dataclass(frozen=True, kw_only=True)
class MultiQuery(_Listed):
    """Searches with the query and with others in its place, fused inside every source.

    Attributes:
        queries: How many others.
        style: "rewrite" says the same in other words; "decompose" takes a question of several parts into simple ones.
        prompt: A template of your own with the slots `{query}` and, if wanted, `{count}`.

    For the others see `LlmExpansion`.
    """

    queries: int = 4
    style: Literal["rewrite", "decompose"] = "rewrite"

    name: str = field(default="multi-query", init=False)
    _counted: ClassVar[str] = "queries"

    def __post_init__(self) -> None:
        if self.style not in {"rewrite", "decompose"}:
            msg = f"style must be 'rewrite' or 'decompose', got {self.style!r}"
            raise ConfigurationError(msg)
        super().__post_init__()

    @property
    def template(self) -> str:
        """The prompt of the style."""
        if self.style == "decompose":
            return (
                "Take this question apart into at most {count} simple questions, each of which can be looked up by itself. "
                "A question that is simple already stays one.\nQuestion: {query}"
            )
        return (
            "Write {count} search queries that look for the same thing as this question, each in different words."
            "\nQuestion: {query}"
        )


@dataclass(frozen=True, kw_only=True)
class StepBack(_Listed):
    """Searches also for the more general question behind the query.

    Zheng et al., "Take a Step Back: Evoking Reasoning via Abstraction in Large Language Models", ICLR 2024.

    Attributes:
        questions: How many general questions.
        prompt: A template of your own with the slots `{query}` and, if wanted, `{count}`.

    For the others see `LlmExpansion`.
    """

    questions: int = 1

    name: str = field(default="step-back", init=False)
    _counted: ClassVar[str] = "questions"

    @property
    def template(self) -> str:
        """The prompt."""
        return (
            "To answer a special question it helps to know what holds in general. Write {count} more general question(s) whose "
            "answer is the background of this one.\nQuestion: {query}"
        )


@dataclass(frozen=True, kw_only=True)
class ReasonFirst(_Listed):
    """Has the model reason about the query first, and searches for what each step needs.

    For questions that share few words with what answers them; Su et al., "BRIGHT: A Realistic and Challenging Benchmark for
    Reasoning-Intensive Retrieval", ICLR 2025, found reasoning steps to be better queries than the question there.

    Attributes:
        steps: How many steps at most.
        prompt: A template of your own with the slots `{query}` and, if wanted, `{count}`.

    For the others see `LlmExpansion`.
    """

    steps: int = 4
    max_tokens: int = 320

    name: str = field(default="reason-first", init=False)
    _counted: ClassVar[str] = "steps"

    @property
    def template(self) -> str:
        """The prompt."""
        return (
            "Think about what is really asked here and what one must know to answer it. Write your reasoning as at most {count} "
            "steps; each is one sentence that names the facts, methods or terms to look up.\nQuestion: {query}"
        )


@dataclass(frozen=True, kw_only=True)
class Keywords(_Listed):
    """Adds words to the query of sparse sources: synonyms and terms that an answer would use.

    Attributes:
        keywords: How many at most.
        query_weight: How much more the query's own words count than the added ones.
        prompt: A template of your own with the slots `{query}` and, if wanted, `{count}`.

    For the others see `LlmExpansion`.
    """

    keywords: int = 8
    query_weight: float = 2.0

    name: str = field(default="keywords", init=False)
    _counted: ClassVar[str] = "keywords"

    def __post_init__(self) -> None:
        check_query_weight(self.query_weight)
        super().__post_init__()

    @property
    def template(self) -> str:
        """The prompt."""
        return (
            "Write up to {count} keywords that a text would contain which answers this question: technical terms, synonyms "
            "and names.\nQuestion: {query}"
        )

    @property
    def repair(self) -> Repair:
        """How keywords are made fit: names and terms keep their letters in every language."""
        return replace(super().repair, same_language=False)

    def expanded(self, query: Query, expansion: Expansion) -> Query:
        """The query with all keywords as one text for the sparse sources."""
        joined = " ".join(expansion.texts)
        return query.with_expansion(
            replace(
                expansion,
                texts=(joined,),
                kinds=("sparse",),
                mode="mean",
                query_weight=float(self.query_weight),
            )
        )


@dataclass(frozen=True, kw_only=True)
class ContextQuery(LlmExpansion):
    """Puts a question that leans on the conversation before it into words that stand alone.

    The conversation is `Query.history`; without one the query passes as it is, and no model is asked. Everything behind the
    stage, rerankers too, sees the new text.

    Attributes:
        turns: How many of the last turns the model is shown.

    For the others see `LlmExpansion`.
    """

    turns: int = 6
    max_tokens: int = 96

    name: str = field(default="context", init=False)

    def __post_init__(self) -> None:
        check_whole("turns", self.turns)
        super().__post_init__()
        # Without a conversation nothing is asked, and no setting looked at.
        self.request(Query("a question", history=(Turn("user", "before"),)))

    def request(self, query: Query) -> GenerationRequest | None:
        """The last turns and the question, to be answered with one question."""
        if not query.history:
            return None
        spoken = "\n".join(
            f"{'User' if turn.role == 'user' else 'Assistant'}: {one_line(turn.text)}"
            for turn in query.history[-self.turns :]
        )
        prompt = Prompt(
            "Conversation:\n{history}\nQuestion: {query}\nWrite the question so that it can be understood without the "
            "conversation.",
            ("history",),
        )
        return GenerationRequest(
            self.messages(
                prompt.filled(query.text, history=spoken), "Answer with the one question, and nothing else."
            ),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )

    def texts(self, generation: Generation, query: Query) -> Repaired:
        """The first line of the answer."""
        repaired = self.repair([entry for text in generation.texts for entry in lines(text)[:1]], query.text)
        if not repaired.texts and repaired.dropped == ("an echo of the query",):
            # It stood alone already.
            return Repaired((query.text,))
        return repaired

    def expanded(self, query: Query, expansion: Expansion) -> Query:
        """The query with the new text."""
        return replace(query.with_expansion(replace(expansion, mode="none")), text=expansion.texts[0])
