"""Single Qdrant conditions: what each operator of a mapping filter stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, TypeAlias

from qdrant_client import models

from hydrant.errors import FilterError

Condition: TypeAlias = models.Condition

BOUNDS = frozenset({"gt", "gte", "lt", "lte"})
_CHARACTERS_SHOWN = 80
_ISO_DAY = len("2024-01-31")
_SURROGATE = re.compile("[\ud800-\udfff]")


def match(key: str, field: str, value: Any) -> Condition:
    """The field has this value."""
    _check_value(field, value)
    if isinstance(value, bool | int | str):
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    if isinstance(value, float):
        return models.FieldCondition(key=key, range=models.Range(gte=value, lte=value))
    if isinstance(value, datetime | date):
        return in_range(key, field, {"gte": value, "lte": value})
    hint = "; to ask for fields without a value use {'exists': False}" if value is None else ""
    msg = f"filter on {field!r} must be a string, a number, a bool, a date, a list or a mapping, got {shown(value)}{hint}"
    raise FilterError(msg)


def _check_value(field: str, value: Any) -> None:
    """Refuse what no index holds and no request can carry."""
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"filter on {field!r} must be a finite number, got {value!r}"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        msg = f"filter on {field!r} must be a whole number of at most 64 bits, got {value!r}"
    elif isinstance(value, str) and _SURROGATE.search(value):
        msg = f"filter on {field!r} has a lone surrogate, which is no character: got {shown(value)}"
    else:
        return
    raise FilterError(msg)


def _values(field: str, values: Any) -> list[Any]:
    if isinstance(values, Sequence | set | frozenset) and not isinstance(values, str):
        listed = sorted(values, key=str) if isinstance(values, set | frozenset) else list(values)
        kinds = {type(value) for value in listed}
        for value in listed:
            _check_value(field, value)
        if kinds in ({str}, {int}):
            return listed
    msg = f"filter on {field!r} takes a list of strings or a list of whole numbers, at least one, got {shown(values)}"
    raise FilterError(msg)


def any_of(key: str, field: str, values: Any) -> Condition:
    """The field has one of these values."""
    return models.FieldCondition(key=key, match=models.MatchAny(any=_values(field, values)))


def _none(key: str, field: str, values: Any) -> Condition:
    # Not Qdrant's "except", which finds whatever has one other value besides.
    return models.Filter(must_not=[any_of(key, field, values)])


def _words(match: Callable[[str], Any]) -> Callable[[str, str, Any], Condition]:
    def build(key: str, field: str, value: Any) -> Condition:
        if not isinstance(value, str) or not value.strip():
            msg = f"filter on {field!r} takes words to look for, got {shown(value)}"
            raise FilterError(msg)
        _check_value(field, value)
        return models.FieldCondition(key=key, match=match(value))

    return build


def _exists(key: str, field: str, value: Any) -> Condition:
    if not isinstance(value, bool):
        msg = f"'exists' on {field!r} takes True or False, got {shown(value)}"
        raise FilterError(msg)
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
    return models.Filter(must_not=[empty]) if value else empty


def _near(key: str, field: str, value: Any) -> Condition:
    try:
        center = models.GeoPoint(lat=value["lat"], lon=value["lon"])
        return models.FieldCondition(
            key=key, geo_radius=models.GeoRadius(center=center, radius=value["meters"])
        )
    except (TypeError, KeyError, ValueError) as error:
        msg = f"'near' on {field!r} takes {{'lat': degrees, 'lon': degrees, 'meters': radius}}, got {shown(value)}"
        raise FilterError(msg) from error


def _count(key: str, field: str, value: Any) -> Condition:
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"gte": value, "lte": value}
    whole = isinstance(value, Mapping) and all(type(bound) is int and bound >= 0 for bound in value.values())
    if not whole or not value or not set(value) <= BOUNDS:
        msg = f"'count' on {field!r} takes a whole number or bounds such as {{'gte': 2}}, got {shown(value)}"
        raise FilterError(msg)
    return models.FieldCondition(key=key, values_count=models.ValuesCount(**value))


def in_range(key: str, field: str, bounds: Mapping[str, Any]) -> Condition:
    """The field lies within these bounds, of numbers or of dates."""
    values = list(bounds.values())
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        for value in values:
            _check_value(field, float(value))
        return models.FieldCondition(key=key, range=models.Range(**bounds))
    try:
        moments = _instants(bounds)
    except ValueError as error:
        msg = f"filter on {field!r} takes numbers or dates as bounds, got {shown(dict(bounds))}"
        raise FilterError(msg) from error
    return models.FieldCondition(key=key, range=models.DatetimeRange(**moments))


def _instants(bounds: Mapping[str, Any]) -> dict[str, datetime]:
    moments: dict[str, datetime] = {}
    for name, value in bounds.items():
        bound, moment = _instant(name, value)
        if bound in moments:
            msg = f"{name} of a whole day says {bound} of another moment than the one given"
            raise ValueError(msg)
        moments[bound] = moment
    return moments


def _instant(bound: str, value: Any) -> tuple[str, datetime]:
    """A bound as an instant. A day without a time is the whole of it: up to and after a day mean its end."""
    if isinstance(value, datetime):
        return bound, value
    if isinstance(value, str):
        if len(value) > _ISO_DAY:
            return bound, datetime.fromisoformat(value)
        value = date.fromisoformat(value)
    if not isinstance(value, date):
        msg = f"not a date: {value!r}"
        raise ValueError(msg)  # noqa: TRY004  told apart from other values by the caller
    begins = datetime.combine(value, time.min)
    if bound == "lte":
        return "lt", begins + timedelta(days=1)
    if bound == "gt":
        return "gte", begins + timedelta(days=1)
    return bound, begins


OPERATORS: Mapping[str, Callable[[str, str, Any], Condition]] = {
    "any": any_of,
    "none": _none,
    "text": _words(lambda words: models.MatchText(text=words)),
    "phrase": _words(lambda words: models.MatchPhrase(phrase=words)),
    "exists": _exists,
    "near": _near,
    "count": _count,
}


def shown(value: Any) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= _CHARACTERS_SHOWN else text[: _CHARACTERS_SHOWN - 1] + "…"
