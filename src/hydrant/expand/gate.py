"""Whether a query is worth expanding, judged from a first, cheap search."""

from __future__ import annotations

import re
import statistics
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from hydrant.errors import ConfigurationError
from hydrant.types import Hit, Query

Predictor: TypeAlias = Callable[[Query, Sequence[Hit]], float]
GateLike: TypeAlias = "Literal['always', 'never', 'auto'] | Gate | Callable[[Query, Sequence[Hit]], bool]"

# How many hits of the first search are looked at.
LOOKED_AT = 10
# How many of them are read.
_READ = 3
_WORD = re.compile(r"\w+")
# A shorter word is likely to be in every text; and a longer one may have an ending of so many letters.
_LONG_ENOUGH = 4
_ENDING = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """What a gate says.

    Attributes:
        expand: Whether to expand.
        reason: Why, for `Expansion.decision`.
    """

    expand: bool
    reason: str


class Gate(ABC):
    """Decides whether a query is expanded. Immutable and comparable."""

    looks_at_hits: bool = True

    @abstractmethod
    def decide(self, query: Query, hits: Sequence[Hit]) -> Decision:
        """Whether to expand.

        Args:
            query: The query.
            hits: What the first search found, best first; empty where there was none.
        """


@dataclass(frozen=True, slots=True)
class Fixed(Gate):
    """The same for every query."""

    expand: bool

    looks_at_hits = False

    def decide(self, query: Query, hits: Sequence[Hit]) -> Decision:
        """Always the same."""
        return Decision(self.expand, "always" if self.expand else "never")


@dataclass(frozen=True, slots=True)
class PredictorGate(Gate):
    """Expands where a predictor says that the first search is not sure of itself.

    Attributes:
        predictor: From the query and the hits to a number that is high where the first search is good already.
        threshold: Below it, the query is expanded.
    """

    predictor: Predictor
    threshold: float

    def decide(self, query: Query, hits: Sequence[Hit]) -> Decision:
        """See `Gate.decide`; without a first search there is nothing to judge by, and the query is expanded."""
        if not hits:
            return Decision(expand=True, reason="nothing was found before to judge by")
        value = self.predictor(query, hits)
        sign = "<" if value < self.threshold else ">="
        name = getattr(self.predictor, "__name__", type(self.predictor).__name__)
        return Decision(value < self.threshold, f"{name} {value:.4g} {sign} {self.threshold:.4g}")


@dataclass(frozen=True, slots=True)
class FunctionGate(Gate):
    """A function of the query and the hits that says whether to expand."""

    function: Callable[[Query, Sequence[Hit]], bool]

    def decide(self, query: Query, hits: Sequence[Hit]) -> Decision:
        """What the function says."""
        said: object = self.function(query, hits)
        if isinstance(said, Decision):
            return said
        # Comparisons of numpy's numbers have a truth value of their own.
        if not isinstance(said, bool | np.bool_):
            msg = f"a gate must return True to expand or False not to, got {said!r}"
            raise ConfigurationError(msg)
        return Decision(bool(said), "the gate expands" if said else "the gate does not expand")


def score_margin(query: Query, hits: Sequence[Hit]) -> float:  # noqa: ARG001  a predictor is given both
    """How far the best hit is ahead of the tenth, as a share of its score. A clear winner has a large one."""
    scores = _scores(hits)
    return (scores[0] - scores[-1]) / _scale(scores) if scores else 0.0


def score_deviation(query: Query, hits: Sequence[Hit]) -> float:  # noqa: ARG001  a predictor is given both
    """The standard deviation of the first ten scores, as a share of the best.

    Shtok et al., "Predicting Query Performance by Query-Drift Estimation" (NQC), TOIS 2012, with the best score in place of
    the corpus' own.
    """
    scores = _scores(hits)
    return statistics.pstdev(scores) / _scale(scores) if scores else 0.0


def source_agreement(query: Query, hits: Sequence[Hit]) -> float:  # noqa: ARG001  a predictor is given both
    """The share of the first ten hits that every source has among its own first ten.

    It needs hits that tell their sources' ranks (`explain=True`, or a fusion that is computed here); where none does, it is 0.
    """
    shown = list(hits[:LOOKED_AT])
    sources = {name for hit in shown for name in hit.stages} - {"fusion"}
    if len(sources) < 2:  # noqa: PLR2004  one source cannot agree with another
        return 0.0
    agreed = [
        hit
        for hit in shown
        if all(name in hit.stages and hit.stages[name].rank <= LOOKED_AT for name in sources)
    ]
    return len(agreed) / len(shown)


def word_coverage(query: Query, hits: Sequence[Hit]) -> float:
    """The share of the query's words that a hit contains, on the average of the first three.

    A word is there where another that begins like it is: "diets" in a text about a diet. Words of one to three letters, which
    every text has, count only where the query has no others. In languages that write without spaces nothing is found.
    """
    every = dict.fromkeys(_WORD.findall(query.text.casefold()))
    words = [word for word in every if len(word) >= _LONG_ENOUGH] or list(every)
    shown = hits[:_READ]
    if not words or not shown:
        return 0.0
    beginnings = tuple(word[: max(_LONG_ENOUGH, len(word) - _ENDING)] for word in words)
    found = 0
    for hit in shown:
        text = sorted(set(_WORD.findall(hit.passage.content.casefold())))
        found += sum(_begins(beginning, text) for beginning in beginnings)
    return found / (len(words) * len(shown))


def confidence(query: Query, hits: Sequence[Hit]) -> float:
    """The mean of `word_coverage` and `score_margin`: high where the words are found and one hit stands out."""
    return (word_coverage(query, hits) + score_margin(query, hits)) / 2


def best_score(query: Query, hits: Sequence[Hit]) -> float:  # noqa: ARG001  a predictor is given both
    """The best hit's score: with one dense source, its similarity; thresholds hold for one encoder or fusion only."""
    return hits[0].score if hits else 0.0


def query_words(query: Query, hits: Sequence[Hit]) -> float:  # noqa: ARG001  a predictor is given both
    """How many words the query has: a long one says by itself what is wanted."""
    return float(len(query.text.split()))


# The mean of the medians over the questions of four judged sets, so that about half of the calls are saved; see docs/hyde.md.
AUTO = PredictorGate(confidence, 0.47)
# The gates that a word stands for.
GATE_WORDS: Mapping[str, Gate] = {"always": Fixed(expand=True), "never": Fixed(expand=False), "auto": AUTO}


def as_gate(gate: object) -> Gate:
    """What was given as a gate.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(gate, Gate):
        return gate
    if isinstance(gate, str):
        if gate in GATE_WORDS:
            return GATE_WORDS[gate]
    elif callable(gate):
        return FunctionGate(gate)
    msg = f"gate must be 'always', 'never', 'auto', a Gate, or a function of query and hits; got {gate!r}"
    raise ConfigurationError(msg)


def _begins(beginning: str, words: Sequence[str]) -> bool:
    """Whether one of the words, which are sorted, begins so."""
    place = bisect_left(words, beginning)
    return place < len(words) and words[place].startswith(beginning)


def _scores(hits: Sequence[Hit]) -> list[float]:
    return [hit.score for hit in hits[:LOOKED_AT]]


def _scale(scores: Sequence[float]) -> float:
    return abs(scores[0]) or 1.0
