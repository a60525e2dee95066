"""Plain mappings to Qdrant conditions.

    {"lang": "en"}                                      the field has this value
    {"tags": ["red", "blue"]}                           any of these; also {"tags": {"any": [...]}}
    {"tags": {"none": ["old"]}}                         has none of these values
    {"year": {"gte": 2020, "lt": 2024}}                 a range; of dates too (datetime, date or ISO 8601 text);
                                                        a day without a time means the whole day
    {"body": {"text": "all these words"}}               words; {"phrase": ...} in this order
    {"author": {"exists": True}}                        has a value
    {"place": {"near": {"lat": 52.5, "lon": 13.4, "meters": 1000}}}
    {"tags": {"count": {"gte": 2}}}                     how many values
    {"lang": {"not": "en"}}
    {"or": [{...}, {...}]}, {"and": [...]}, {"not": {...}}

Several keys, and several operators of one key, must all hold. A `models.Filter` passes as it is. Both are checked against
the collection's payload indexes, because a misspelt field would silently find nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from hydrant.collection.conditions import BOUNDS, OPERATORS, Condition, any_of, in_range, match, shown
from hydrant.collection.payload import BOOKKEEPING
from hydrant.errors import FilterError
from hydrant.types import FilterLike

# What each type of payload index can answer, by the condition's attribute.
_ANSWERS: Mapping[str, frozenset[str]] = {
    "keyword": frozenset({"match str"}),
    "uuid": frozenset({"match str"}),
    "integer": frozenset({"match int", "range"}),
    "float": frozenset({"range"}),
    "bool": frozenset({"match bool"}),
    "datetime": frozenset({"datetime"}),
    "text": frozenset({"text", "match str"}),
    "geo": frozenset({"geo"}),
}


@dataclass(frozen=True, slots=True)
class FilterCompiler:
    """Turns filters into `models.Filter` for one collection.

    Attributes:
        where: The collection's name, for messages.
        key: From a field as the caller names it to the payload key.
        indexes: The payload indexes: key and type.
        allow_unindexed: Whether a field without an index may be filtered by, at the cost of a scan.
    """

    where: str
    key: Callable[[str], str]
    indexes: Mapping[str, str]
    allow_unindexed: bool = False

    def compile(self, given: FilterLike | None) -> models.Filter | None:
        """The Qdrant filter.

        Raises:
            FilterError: An unknown operator, a value of the wrong type, or a field without an index.
        """
        if given is None:
            return None
        if isinstance(given, models.Filter):
            compiled = given
        elif isinstance(given, Mapping):
            compiled = self._all(given)
        else:
            msg = f"filter must be a models.Filter or a mapping of fields to values, got {shown(given)}"
            raise FilterError(msg)
        self._check(compiled)
        return compiled

    def payload_key(self, field: str) -> str:
        """The payload key of a field; a name that is itself an indexed key is taken at its word."""
        return field if field in self.indexes else self.key(field)

    # ---- mappings ------------------------------------------------------------------------------------------------

    def _all(self, mapping: Mapping[str, Any]) -> models.Filter:
        must: list[Condition] = []
        for field, wanted in mapping.items():
            if not isinstance(field, str):
                msg = f"a filter's fields must be strings, got {shown(field)}"
                raise FilterError(msg)
            must.extend(self._entry(field, wanted))
        return models.Filter(must=must)

    def _entry(self, field: str, wanted: Any) -> Iterator[Condition]:
        if field in {"and", "or"}:
            yield self._combined(field, wanted)
        elif field == "not":
            yield models.Filter(must_not=[self._nested(field, wanted)])
        elif isinstance(wanted, Mapping):
            yield from self._operators(field, wanted)
        else:
            yield self._equals(field, wanted)

    def _combined(self, word: str, branches: Any) -> models.Filter:
        if (
            isinstance(branches, Mapping)
            or not isinstance(branches, Sequence)
            or isinstance(branches, str)
            or not branches
        ):
            msg = f"{word!r} takes a list of at least one filter, got {shown(branches)}"
            raise FilterError(msg)
        filters: list[Condition] = [self._nested(word, branch) for branch in branches]
        return models.Filter(should=filters) if word == "or" else models.Filter(must=filters)

    def _nested(self, word: str, branch: Any) -> models.Filter:
        if isinstance(branch, models.Filter):
            return branch
        if not isinstance(branch, Mapping) or not branch:
            msg = f"{word!r} takes filters such as {{'lang': 'en'}}, got {shown(branch)}"
            raise FilterError(msg)
        return self._all(branch)

    def _operators(self, field: str, operators: Mapping[str, Any]) -> Iterator[Condition]:
        if not operators:
            msg = f"filter on {field!r} is an empty mapping; give a value or an operator such as {{'gte': 2020}}"
            raise FilterError(msg)
        key = self.payload_key(field)
        bounds = {name: value for name, value in operators.items() if name in BOUNDS}
        if bounds:
            yield in_range(key, field, bounds)
        for name, value in operators.items():
            if name == "not":
                yield models.Filter(must_not=list(self._entry(field, value)))
            elif name == "is":
                yield self._is(field, value)
            elif name in OPERATORS:
                yield OPERATORS[name](key, field, value)
            elif name not in BOUNDS:
                known = sorted({*OPERATORS, *BOUNDS, "is", "not"})
                msg = f"filter on {field!r} has the operator {name!r}; expected one of {known}"
                raise FilterError(msg)

    def _equals(self, field: str, value: Any) -> Condition:
        if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
            return any_of(self.payload_key(field), field, value)
        return self._is(field, value)

    def _is(self, field: str, value: Any) -> Condition:
        key = self.payload_key(field)
        # Qdrant matches neither floats nor dates by value: there a range of one point says the same.
        if self.indexes.get(key) in {"float", "datetime"} and value is not None:
            return in_range(key, field, {"gte": value, "lte": value})
        return match(key, field, value)

    # ---- the check against the indexes ---------------------------------------------------------------------------

    def _check(self, condition: Any, prefix: str = "") -> None:
        if isinstance(condition, models.Filter):
            for branch in _branches(condition):
                self._check(branch, prefix)
        elif isinstance(condition, models.NestedCondition):
            self._check(condition.nested.filter, f"{prefix}{condition.nested.key.removesuffix('[]')}[].")
        elif isinstance(condition, models.FieldCondition):
            self._check_field(condition, prefix + condition.key)
        elif isinstance(condition, models.IsEmptyCondition):
            self._index_of(prefix + condition.is_empty.key)
        elif isinstance(condition, models.IsNullCondition):
            self._index_of(prefix + condition.is_null.key)

    def _check_field(self, condition: models.FieldCondition, key: str) -> None:
        indexed = self._index_of(key)
        asked = _asked(condition)
        if (
            indexed is not None
            and asked is not None
            and asked not in _ANSWERS.get(indexed, frozenset({asked}))
        ):
            msg = f"field {key!r} of collection {self.where!r} has an index of type {indexed!r}, which cannot answer {shown(condition)}"
            raise FilterError(msg)

    def _index_of(self, key: str) -> str | None:
        """The type of a key's index, None where it has none and needs none."""
        indexed = self.indexes.get(key, self.indexes.get(key.replace("[]", "")))
        if indexed is None and not self.allow_unindexed:
            have = ", ".join(
                f"{name} ({kind})"
                for name, kind in sorted(self.indexes.items())
                if not name.startswith(BOOKKEEPING)
            )
            msg = (
                f"collection {self.where!r} has no payload index on {key!r} (it has: {have or 'none'}), so "
                "this filter would scan every point or, misspelt, find none; create one with "
                "index_field(...), or open the collection with allow_unindexed=True"
            )
            raise FilterError(msg)
        return indexed


def both(*filters: models.Filter | None) -> models.Filter | None:
    """Filters that must all hold; None where there is none."""
    present: list[Condition] = [each for each in filters if each is not None]
    if len(present) <= 1:
        return next((each for each in filters if each is not None), None)
    return models.Filter(must=present)


def _branches(filter_: models.Filter) -> Iterator[Any]:
    for group in (filter_.must, filter_.should, filter_.must_not):
        if group is not None:
            yield from group if isinstance(group, list) else [group]
    if filter_.min_should is not None:
        yield from filter_.min_should.conditions


def _asked(condition: models.FieldCondition) -> str | None:
    """The kind of question a condition asks of an index, None for those that every index answers."""
    if isinstance(condition.range, models.DatetimeRange):
        return "datetime"
    if condition.range is not None:
        return "range"
    if condition.geo_radius or condition.geo_bounding_box or condition.geo_polygon:
        return "geo"
    return _asked_match(condition.match)


def _asked_match(match: Any) -> str | None:
    if isinstance(match, models.MatchValue):
        value: Any = match.value
    elif isinstance(match, models.MatchAny) and match.any:
        value = next(iter(match.any))
    elif isinstance(match, models.MatchExcept) and match.except_:
        value = next(iter(match.except_))
    else:
        return (
            "text"
            if match is not None and not isinstance(match, models.MatchAny | models.MatchExcept)
            else None
        )
    return f"match {type(value).__name__}"
