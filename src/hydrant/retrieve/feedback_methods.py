"""How a query follows from what a first search found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from hydrant.errors import ConfigurationError
from hydrant.retrieve.feedback_math import average, rocchio
from hydrant.retrieve.numbers import check_count, check_weight


@dataclass(frozen=True, slots=True)
class Example:
    """A hit that the query is moved towards or away from.

    Attributes:
        id: The point's id.
        score: Its score in the ranking it was taken from.
        vector: Its vector of the source in question.
    """

    id: Any
    score: float
    vector: Any


class FeedbackMethod(ABC):
    """How a source's query follows from what was found.

    Attributes:
        depth: How many of the best hits count as relevant.
        negatives: How many of the last hits count as not relevant.
        sparse: Whether it works on sparse vectors too.
    """

    depth: int
    negatives: int = 0
    sparse: bool = True

    @abstractmethod
    def moved(self, query: Any, found: Sequence[Example], rest: Sequence[Example], *, normalize: bool) -> Any:
        """The new query.

        Args:
            query: The vector that was asked.
            found: The relevant ones, best first.
            rest: The others.
            normalize: Whether the collection compares by cosine.
        """


@dataclass(frozen=True, slots=True)
class Average(FeedbackMethod):
    """The mean of the query and the best hits, each counting the same.

    Li, Mourad, Zhuang, Koopman and Zuccon, "Pseudo Relevance Feedback with Deep Language Models and Dense Retrievers", TOIS
    2023.

    Attributes:
        depth: How many of the best hits count.
        terms: How many terms of a sparse query are kept.
    """

    depth: int = 3
    terms: int | None = 64

    def __post_init__(self) -> None:
        check_count("depth of Average", self.depth)
        if self.terms is not None:
            check_count("terms of Average", self.terms)

    def moved(self, query: Any, found: Sequence[Example], rest: Sequence[Example], *, normalize: bool) -> Any:
        """See `FeedbackMethod.moved`."""
        vectors = [example.vector for example in found]
        if isinstance(query, models.SparseVector):
            return average(query, vectors, normalize=normalize, top_terms=self.terms)
        return average(query, vectors, normalize=normalize)


@dataclass(frozen=True, slots=True)
class Rocchio(FeedbackMethod):
    """alpha * query + beta * mean of the best hits - gamma * mean of the last ones.

    Rocchio, "Relevance feedback in information retrieval", 1971; the numbers for dense vectors are those of Li et al. 2023.

    Attributes:
        alpha: How much the query counts.
        beta: How much the best hits count.
        gamma: How much the last hits are held against it.
        depth: How many of the best hits count.
        negatives: How many of the last hits, where gamma is above 0.
        terms: How many terms of a sparse query are kept.
    """

    alpha: float = 0.4
    beta: float = 0.6
    gamma: float = 0.0
    depth: int = 5
    negatives: int = 5
    terms: int | None = 64

    def __post_init__(self) -> None:
        check_count("depth of Rocchio", self.depth)
        if self.terms is not None:
            check_count("terms of Rocchio", self.terms)
        check_count("negatives of Rocchio", self.negatives)
        for name in ("alpha", "beta", "gamma"):
            check_weight(f"{name} of Rocchio", getattr(self, name))
        if self.alpha + self.beta == 0:
            msg = "alpha and beta of Rocchio may not both be 0: nothing would be left of the query"
            raise ConfigurationError(msg)

    def moved(self, query: Any, found: Sequence[Example], rest: Sequence[Example], *, normalize: bool) -> Any:
        """See `FeedbackMethod.moved`."""
        positive = [example.vector for example in found]
        negative = [example.vector for example in rest] if self.gamma else []
        numbers = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        if isinstance(query, models.SparseVector):
            return rocchio(query, positive, negative, **numbers, normalize=normalize, top_terms=self.terms)
        return rocchio(query, positive, negative, **numbers, normalize=normalize)


@dataclass(frozen=True, slots=True)
class QdrantFeedback(FeedbackMethod):
    """Qdrant's own relevance feedback query, which ranks by the query and by the examples' scores; dense sources only.

    Attributes:
        a: How much nearness to the query counts.
        b: The power that a difference of scores is raised to.
        c: How much nearness to one example rather than to a worse one counts.
        depth: How many of the best hits are examples.
    """

    a: float = 0.5
    b: float = 1.0
    c: float = 0.5
    depth: int = 5

    sparse = False

    def __post_init__(self) -> None:
        check_count("depth of QdrantFeedback", self.depth)
        for name in ("a", "b", "c"):
            check_weight(f"{name} of QdrantFeedback", getattr(self, name))

    def moved(
        self, query: Any, found: Sequence[Example], rest: Sequence[Example], *, normalize: bool
    ) -> models.RelevanceFeedbackQuery:
        """See `FeedbackMethod.moved`."""
        items = [models.FeedbackItem(example=example.vector, score=example.score) for example in found]
        naive = models.NaiveFeedbackStrategyParams(a=self.a, b=self.b, c=self.c)
        return models.RelevanceFeedbackQuery(
            relevance_feedback=models.RelevanceFeedbackInput(
                target=query, feedback=items, strategy=models.NaiveFeedbackStrategy(naive=naive)
            )
        )
