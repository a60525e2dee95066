"""What one query asks of a language model to be ranked: calls within a budget, side by side, what came of them, what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hydrant.errors import ConfigurationError, DeadlineExceeded, InputError, RankingError, StorageError
from hydrant.flow import Flow, Together
from hydrant.generate.base import Generate, TextGenerator
from hydrant.generate.cache import CacheGet, CachePut, ExpansionCache, kept_under
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.generate.sampling import said
from hydrant.rerank.base import Ranking
from hydrant.types import Usage

T = TypeVar("T")
_SHOWN = 60
# What a cache keeps of an answer whose probabilities are known.
_WITH_PROBABILITIES = ("text", "probabilities")


class Unranked(RankingError):
    """Not one answer could be used, so that there is no ranking.

    Attributes:
        usage: What was asked all the same.
        cause: What the model failed with, where it was that.
    """

    def __init__(self, message: str, usage: Usage, cause: Exception | None = None) -> None:
        super().__init__(message)
        self.usage = usage
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """Something to ask, and how to read the answer.

    Attributes:
        request: What is asked.
        read: What is made of an answer; None where it says nothing.
    """

    request: GenerationRequest
    read: Callable[[Generation], T | None]


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a model is asked.

    Attributes:
        llm: The model.
        max_calls: How many answers one query may ask for; None for no limit. Those that the cache knows count too, so that the
            ranking is the same with it and without.
        at_once: How many calls may be under way at a time.
        cache: Where answers are kept that could be read; None for nowhere.
    """

    llm: TextGenerator
    max_calls: int | None = None
    at_once: int = 8
    cache: ExpansionCache | None = None


class Ledger:
    """The account of one query.

    Args:
        terms: On which terms the model is asked.
        reading: What decides how answers are read, beside the request; part of a cache's keys.
    """

    def __init__(self, terms: Terms, reading: str = "") -> None:
        self._terms = terms
        self._reading = reading
        self._cache = terms.cache
        self._asked = 0
        self._useful = 0
        self._failed = 0
        self._failures: list[str] = []
        self._notes: list[str] = []
        self._error: Exception | None = None
        self._over = False
        self.usage = Usage()

    def affords(self, wanted: int, each: int = 1) -> int:
        """How many of the wanted questions may still be asked; that it stops there is on record where they are fewer.

        Args:
            wanted: How many there are.
            each: How many answers each of them takes.
        """
        if self._over:
            return 0
        most = self._terms.max_calls
        if most is None or self._asked + wanted * each <= most:
            return wanted
        self._stop(f"stopped asking at max_calls={most}; the rest stays in the order it had")
        return (most - self._asked) // each

    def ask(self, questions: Sequence[Question[T]]) -> Flow[list[T | None]]:
        """What the answers say, asked side by side; None where there is no answer that can be read.

        Args:
            questions: What is asked; those the budget does not cover are not, from the last one on.

        Raises:
            ConfigurationError: The model cannot be used as it is set up.
        """
        replies: list[T | None] = [None] * len(questions)
        covered = self._covered([question.request.samples for question in questions])
        self._asked += sum(question.request.samples for question in questions[:covered])
        waiting = []
        for position, known in enumerate((yield from self._known(questions[:covered]))):
            replies[position] = None if known is None else questions[position].read(known)
            if replies[position] is None:
                waiting.append(position)
        self._useful += covered - len(waiting)
        if not waiting:
            return replies
        steps = [Generate(self._terms.llm, questions[position].request) for position in waiting]
        outcomes = yield Together(steps, keep_errors=True, at_once=self._terms.at_once)
        for position, outcome in zip(waiting, outcomes, strict=True):
            question = questions[position]
            replies[position] = self._reply(outcome, question.read)
            if replies[position] is None:
                self._failed += question.request.samples
            else:
                yield from self._keep(question.request, _kept(outcome))
        return replies

    def ranking(self, scores: Sequence[float]) -> Ranking:
        """The ranking with what is on record.

        Args:
            scores: The candidates' scores.

        Raises:
            Unranked: Something was asked, and not one answer could be used.
        """
        reasons = self._reasons()
        if self._asked and not self._useful:
            raise Unranked("; ".join(reasons) or "no answer could be used", self.usage, self._error)
        return Ranking(scores, self.usage, reasons)

    def _covered(self, costs: Sequence[int]) -> int:
        """How many of the requests the budget covers."""
        if self._over:
            return 0
        spent, number = 0, 0
        for cost in costs:
            if not self.affords(1, spent + cost):
                break
            spent, number = spent + cost, number + 1
        return number

    def _reply(self, outcome: object, read: Callable[[Generation], T | None]) -> T | None:
        if isinstance(outcome, InputError | ConfigurationError):
            raise outcome
        if isinstance(outcome, Exception):
            self.usage += Usage(calls=1)
            self._failures.append(
                str(outcome)
                if isinstance(outcome, DeadlineExceeded)
                else f"{type(outcome).__name__}: {outcome}"
            )
            self._error = outcome if self._error is None else self._error
            # The time was its limit: who asks on has none left.
            if isinstance(outcome, DeadlineExceeded):
                self._over = True
            return None
        generation: Any = outcome
        self.usage += generation.usage
        reply = read(generation)
        if reply is None:
            shown = " ".join((generation.texts or ("",))[0].split())[:_SHOWN]
            self._failures.append(f"nothing to read in {shown!r}")
        else:
            self._useful += 1
        return reply

    def _reasons(self) -> tuple[str, ...]:
        if not self._failed:
            return tuple(self._notes)
        few = f"{self._failed} of {self._asked} answers could not be used: {said(self._failures)}"
        return (few, *self._notes)

    def _stop(self, reason: str) -> None:
        if reason not in self._notes:
            self._notes.append(reason)

    def _known(self, questions: Sequence[Question[T]]) -> Flow[list[Generation | None]]:
        """What the cache knows."""
        known: list[Generation | None] = []
        for question in questions:
            cache, key = self._kept_under(question.request)
            if cache is None:
                known.append(None)
                continue
            try:
                texts = (yield CacheGet(cache, key)) if cache.on_disk else cache.get(key)
                known.append(None if texts is None else _again(texts, question.request))
            except (StorageError, DeadlineExceeded) as error:
                self._without_cache(error)
                known.append(None)
        return known

    def _keep(self, request: GenerationRequest, texts: tuple[str, ...]) -> Flow[None]:
        cache, key = self._kept_under(request)
        if cache is None:
            return
        try:
            if cache.on_disk:
                yield CachePut(cache, key, texts)
            else:
                cache.put(key, texts)
        except Exception as error:  # noqa: BLE001  the answer is there: neither a full disk nor the time may cost it
            self._without_cache(error)

    def _without_cache(self, error: Exception) -> None:
        self._cache = None
        self._stop(f"without its cache: {error}")

    def _kept_under(self, request: GenerationRequest) -> tuple[ExpansionCache | None, str]:
        cache = self._cache
        key = None if cache is None else kept_under(cache, self._terms.llm, request, self._reading)
        return (None, "") if key is None else (cache, key)


def _kept(generation: Generation) -> tuple[str, ...]:
    """An answer as a cache keeps it: probabilities are a further text."""
    said = generation.probabilities
    return generation.texts if said is None else (*generation.texts[:1], json.dumps(dict(said)))


def _again(texts: tuple[str, ...], request: GenerationRequest) -> Generation:
    """An answer that a cache kept."""
    if not request.choices or len(texts) < len(_WITH_PROBABILITIES):
        return Generation(texts)
    return Generation(texts[:1], probabilities=json.loads(texts[-1]))
