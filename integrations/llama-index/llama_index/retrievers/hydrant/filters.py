"""LlamaIndex's metadata filters as Hydrant's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)

from hydrant.errors import FilterError

if TYPE_CHECKING:
    from qdrant_client import models

Wanted: TypeAlias = "models.Filter | Mapping[str, Any]"
FiltersLike: TypeAlias = "MetadataFilters | MetadataFilter | models.Filter | Mapping[str, Any]"

_BOUNDS = {
    FilterOperator.GT: "gt",
    FilterOperator.GTE: "gte",
    FilterOperator.LT: "lt",
    FilterOperator.LTE: "lte",
}


def to_filter(filters: FiltersLike | None) -> Wanted | None:
    """A filter as `hydrant` takes it; None where there is nothing to fulfil.

    Every operator has its meaning in LlamaIndex, with Qdrant's ways with text: TEXT_MATCH and TEXT_MATCH_INSENSITIVE look for
    the words of the value, in any order and case where the field has a text index. NE and NIN find nodes without the
    field too. NOT means that none of the filters is fulfilled.

    Args:
        filters: LlamaIndex's, or what `hydrant` takes anyway: a `models.Filter`, or a mapping such as `{"lang": "en"}`.

    Raises:
        FilterError: It is something else, or an operator cannot be used with its value.
    """
    if filters is None or isinstance(filters, Mapping):
        return filters
    if isinstance(filters, MetadataFilter):
        return _single(filters)
    if isinstance(filters, MetadataFilters):
        return _group(filters)
    from qdrant_client import models

    if isinstance(filters, models.Filter):
        return filters
    msg = (
        "filters must be MetadataFilters, a models.Filter or a mapping such as {'lang': 'en'}, got "
        f"{filters!r} that is a {type(filters).__name__}"
    )
    raise FilterError(msg)


def both(first: FiltersLike | None, second: FiltersLike | None) -> Wanted | None:
    """Filters that must both hold; None where there is none."""
    present = [each for each in (to_filter(first), to_filter(second)) if each is not None and each != {}]
    return {"and": present} if len(present) > 1 else next(iter(present), None)


def _group(filters: MetadataFilters) -> Wanted | None:
    parts = [part for part in map(to_filter, filters.filters) if part is not None]
    if not parts:
        return None
    condition = filters.condition
    if condition is None or condition == FilterCondition.AND:
        return {"and": parts}
    if condition == FilterCondition.OR:
        return {"or": parts}
    if condition == FilterCondition.NOT:
        return {"not": {"or": parts}}
    msg = f"the condition of MetadataFilters must be and, or or not, got {condition!r}"
    raise FilterError(msg)


def _single(given: MetadataFilter) -> Wanted:
    operator, key, value = given.operator, given.key, given.value
    if operator in _BOUNDS:
        return {key: {_BOUNDS[operator]: _one(given)}}
    if operator in _OPERATORS:
        return _OPERATORS[operator](key, given)
    msg = f"filter on {key!r} has the operator {operator!r} with {value!r}, which Hydrant does not know; it knows {_known()}"
    raise FilterError(msg)


def _any(key: str, given: MetadataFilter) -> Wanted:
    values = _several(given)
    # Qdrant's "any" takes strings and whole numbers; equality works for every type.
    if any(isinstance(value, float) for value in values):
        return {"or": [{key: value} for value in values]}
    return {key: {"any": values}}


def _not_any(key: str, given: MetadataFilter) -> Wanted:
    return {"not": _any(key, given)}


def _all(key: str, given: MetadataFilter) -> Wanted:
    return {"and": [{key: value} for value in _several(given)]}


def _equal(key: str, given: MetadataFilter) -> Wanted:
    return {key: _one(given)}


def _unequal(key: str, given: MetadataFilter) -> Wanted:
    return {key: {"not": _one(given)}}


def _words(key: str, given: MetadataFilter) -> Wanted:
    return {key: {"text": _one(given)}}


def _empty(key: str, _: MetadataFilter) -> Wanted:
    return {key: {"exists": False}}


def _one(given: MetadataFilter) -> Any:
    if given.value is None or isinstance(given.value, list):
        hint = "; for nodes without the field use IS_EMPTY" if given.value is None else "; use IN, ANY or ALL"
        msg = f"filter on {given.key!r} with {given.operator.name} takes a single value, got {given.value!r}{hint}"
        raise FilterError(msg)
    return given.value


def _several(given: MetadataFilter) -> Sequence[Any]:
    if isinstance(given.value, list) and given.value:
        return given.value
    msg = f"filter on {given.key!r} with {given.operator.name} takes a list of at least one value, got {given.value!r}"
    raise FilterError(msg)


def _known() -> list[str]:
    return sorted(operator.name for operator in {*_BOUNDS, *_OPERATORS})


_OPERATORS: Mapping[FilterOperator, Callable[[str, MetadataFilter], Wanted]] = {
    FilterOperator.EQ: _equal,
    FilterOperator.CONTAINS: _equal,
    FilterOperator.NE: _unequal,
    FilterOperator.IN: _any,
    FilterOperator.ANY: _any,
    FilterOperator.NIN: _not_any,
    FilterOperator.ALL: _all,
    FilterOperator.TEXT_MATCH: _words,
    FilterOperator.TEXT_MATCH_INSENSITIVE: _words,
    FilterOperator.IS_EMPTY: _empty,
}
