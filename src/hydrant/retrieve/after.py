"""What happens to the candidates after they were found, still inside the one request."""

from __future__ import annotations

from dataclasses import dataclass

from hydrant.errors import ConfigurationError
from hydrant.retrieve.boosts import Boost
from hydrant.retrieve.numbers import check_count


@dataclass(frozen=True, slots=True)
class Mmr:
    """Maximal marginal relevance: each next hit is near to the query and unlike those before it.

    Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries",
    SIGIR 1998. Relevance and likeness are both measured by one dense source. Their lambda is 1 - `diversity`.

    Attributes:
        diversity: 0 for relevance alone, 1 for difference alone.
        candidates: Among how many of the best candidates to choose; None for as many as the retriever's depth, and never
            less than a page has hits. Pages end with them.
        source: The dense source that measures; None for the collection's first one.
    """

    diversity: float = 0.5
    candidates: int | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if (
            isinstance(self.diversity, bool)
            or not isinstance(self.diversity, int | float)
            or not 0 <= self.diversity <= 1
        ):
            msg = f"diversity of Mmr must be from 0 (relevance alone) to 1 (difference alone), got {self.diversity!r}"
            raise ConfigurationError(msg)
        if self.candidates is not None:
            check_count("candidates of Mmr", self.candidates)
        if self.source is not None and not isinstance(self.source, str):
            msg = f"source of Mmr must be the name of a dense source, or None for the first one; got {self.source!r}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class GroupBy:
    """At most so many hits with the same value of a field: one passage a document, for instance.

    Attributes:
        field: A payload field with keywords or whole numbers, such as "source". Hits without it are left out.
        hits: How many hits of each group are shown; `limit` and `offset` then count groups.
    """

    field: str
    hits: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.field, str) or not self.field:
            msg = f"field of GroupBy must be the name of a payload field, got {self.field!r}"
            raise ConfigurationError(msg)
        check_count("hits of GroupBy", self.hits)


@dataclass(frozen=True, slots=True)
class After:
    """The steps after the candidates are found, in this order.

    Attributes:
        rescore: The source that ranks all candidates anew, instead of a fusion: token vectors by MaxSim.
        boosts: What raises scores.
        mmr: How hits are kept apart from each other.
        group: How many hits of a group are shown.
    """

    rescore: str | None = None
    boosts: tuple[Boost, ...] = ()
    mmr: Mmr | None = None
    group: GroupBy | None = None

    def __post_init__(self) -> None:
        strangers = [boost for boost in self.boosts if not isinstance(boost, Boost)]
        if strangers:
            msg = (
                f"boosts must be hydrant's, such as Recency('date', timedelta(days=30)); got {strangers[0]!r}"
            )
            raise ConfigurationError(msg)
        if self.mmr is not None and not isinstance(self.mmr, Mmr):
            msg = f"mmr must be an Mmr such as Mmr(diversity=0.3), got {self.mmr!r}"
            raise ConfigurationError(msg)
        if self.group is not None and not isinstance(self.group, GroupBy):
            msg = f"group must be a GroupBy such as GroupBy('source'), got {self.group!r}"
            raise ConfigurationError(msg)

    @property
    def in_qdrant(self) -> bool:
        """Whether there is a step that Qdrant does with the fused ranking."""
        return bool(self.boosts) or self.mmr is not None or self.group is not None
