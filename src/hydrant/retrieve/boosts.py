"""Scores raised by what a payload says: how new a passage is, how popular, or whether it matches.

Boosts are a formula that Qdrant computes inside the request. The score is multiplied, never added to, so that a boost
means the same whether scores are cosines or the hundredths of reciprocal rank fusion:

    score * (1 + weight_1 * boost_1 + weight_2 * boost_2 + ...),   every boost between 0 and 1
"""

from __future__ import annotations

import datetime as dt
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, TypeAlias

from qdrant_client import models

from hydrant.errors import ConfigurationError
from hydrant.retrieve.numbers import check_weight
from hydrant.types import FilterLike

Key: TypeAlias = Callable[[str], str]
Compile: TypeAlias = Callable[[FilterLike], "models.Filter | None"]
# A passage without a date is older than any.
_BEFORE_ALL = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Context:
    """What a boost must know of a collection.

    Attributes:
        key: The payload key of a field as callers name it.
        compile: Qdrant's filter for a filter as callers write it.
    """

    key: Key
    compile: Compile


class Boost(ABC):
    """Something between 0 and 1 that raises a score by up to its weight.

    Attributes:
        weight: By how much of itself the score grows where the boost is 1.
    """

    weight: float

    @abstractmethod
    def expression(self, context: Context) -> models.Expression:
        """The boost as Qdrant computes it."""

    def defaults(self, context: Context) -> dict[str, Any]:
        """What counts for a point without the field, by payload key."""
        return {}


@dataclass(frozen=True, slots=True)
class Recency(Boost):
    """New passages first: 1 for the present moment, half of it for every half-life of age.

    Attributes:
        field: A payload field with dates (RFC 3339). A passage without one counts as very old.
        half_life: After how long half of the boost is left.
        weight: By how much of itself the score of a brand-new passage grows.
        now: The present moment; None for the time of the request.
    """

    field: str
    half_life: dt.timedelta
    weight: float = 0.5
    now: dt.datetime | None = None

    def __post_init__(self) -> None:
        check_weight(f"weight of {type(self).__name__}", self.weight)
        if not isinstance(self.half_life, dt.timedelta) or self.half_life <= dt.timedelta(0):
            msg = f"half_life of Recency must be a timedelta above 0, got {self.half_life!r}"
            raise ConfigurationError(msg)
        if self.now is not None and not isinstance(self.now, dt.datetime):
            msg = f"now of Recency must be a datetime or None, got {self.now!r}"
            raise ConfigurationError(msg)
        _check_field(self)

    def expression(self, context: Context) -> models.Expression:
        """See `Boost.expression`."""
        now = dt.datetime.now(dt.UTC) if self.now is None else self.now
        return models.ExpDecayExpression(
            exp_decay=models.DecayParamsExpression(
                x=models.DatetimeKeyExpression(datetime_key=context.key(self.field)),
                target=models.DatetimeExpression(datetime=now.isoformat()),
                scale=self.half_life.total_seconds(),
                midpoint=0.5,
            )
        )

    def defaults(self, context: Context) -> dict[str, Any]:
        """See `Boost.defaults`."""
        return {context.key(self.field): _BEFORE_ALL}


@dataclass(frozen=True, slots=True)
class Popularity(Boost):
    """Much-used passages first: count / (count + half), so that the first thousand counts for more than the next.

    Attributes:
        field: A payload field with a number of at least 0: views, votes, citations. Without one it counts as 0.
        half: The number at which half of the boost is reached.
        weight: By how much of itself the score of a passage with an endless count would grow.
    """

    field: str
    half: float
    weight: float = 0.5

    def __post_init__(self) -> None:
        check_weight(f"weight of {type(self).__name__}", self.weight)
        if (
            isinstance(self.half, bool)
            or not isinstance(self.half, int | float)
            or not 0 < self.half < math.inf
        ):
            msg = f"half of Popularity must be a number above 0, got {self.half!r}"
            raise ConfigurationError(msg)
        _check_field(self)

    def expression(self, context: Context) -> models.Expression:
        """See `Boost.expression`."""
        count = models.MaxExpression(max=[context.key(self.field), 0.0])
        return models.DivExpression(
            div=models.DivParams(left=count, right=models.SumExpression(sum=[count, float(self.half)]))
        )

    def defaults(self, context: Context) -> dict[str, Any]:
        """See `Boost.defaults`."""
        return {context.key(self.field): 0.0}


@dataclass(frozen=True, slots=True)
class Matching(Boost):
    """Passages that match a filter first, without leaving the others out.

    Attributes:
        filter: A `models.Filter` or a mapping, as in a search.
        weight: By how much of itself the score of one that matches grows.
    """

    filter: FilterLike = dataclass_field(hash=False)
    weight: float = 0.5

    def __post_init__(self) -> None:
        check_weight(f"weight of {type(self).__name__}", self.weight)
        if not isinstance(self.filter, Mapping | models.Filter):
            msg = (
                "filter of Matching must be a mapping such as {'lang': 'en'} or a qdrant_client.models.Filter, "
                f"got {self.filter!r}"
            )
            raise ConfigurationError(msg)

    def expression(self, context: Context) -> models.Expression:
        """See `Boost.expression`."""
        condition = context.compile(self.filter)
        if condition is None:
            msg = f"filter of Matching must have a condition, got {self.filter!r}"
            raise ConfigurationError(msg)
        return condition


def _check_field(boost: Recency | Popularity) -> None:
    if not isinstance(boost.field, str) or not boost.field:
        msg = f"field of {type(boost).__name__} must be the name of a payload field, got {boost.field!r}"
        raise ConfigurationError(msg)


def formula(boosts: Sequence[Boost], context: Context) -> models.FormulaQuery:
    """Qdrant's query for the score with all boosts."""
    parts: list[Any] = [1.0]
    defaults: dict[str, Any] = {}
    for boost in boosts:
        parts.append(models.MultExpression(mult=[float(boost.weight), boost.expression(context)]))
        defaults.update(boost.defaults(context))
    boosted = models.MultExpression(mult=["$score", models.SumExpression(sum=parts)])
    return models.FormulaQuery(formula=boosted, defaults=defaults)
