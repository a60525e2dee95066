"""Filters, from `models.Filter` to the engine's."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.convert.ids import to_engine_ids
from hydrant.edge.faults import checked
from hydrant.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@checked
def to_engine_filter(value: models.Filter | dict[str, Any] | None) -> engine.Filter | None:
    """A filter as the engine takes it; None stays None.

    Raises:
        FilterError: Something in it is no condition.
        InputError: An id in it is neither an unsigned integer nor a UUID.
    """
    if value is None:
        return None
    if isinstance(value, dict):
        value = models.Filter.model_validate(value)
    if not isinstance(value, models.Filter):
        message = f"expected a qdrant_client.models.Filter, got {value!r}"
        raise FilterError(message)
    min_should = None
    if value.min_should is not None:
        conditions = [to_engine_condition(item) for item in value.min_should.conditions]
        min_should = engine.MinShould(conditions, value.min_should.min_count)
    return engine.Filter(
        must=_clause(value.must),
        should=_clause(value.should),
        must_not=_clause(value.must_not),
        min_should=min_should,
    )


def to_engine_condition(condition: Any) -> Any:
    """One condition as the engine takes it; raises as `to_engine_filter` does."""
    convert = _CONDITIONS.get(type(condition))
    if convert is None:
        message = f"expected a condition of qdrant_client.models, got {condition!r}"
        raise FilterError(message)
    return convert(condition)


def excluding(filter_: engine.Filter | None, ids: list[Any]) -> engine.Filter | None:
    """A filter that also leaves out some points; nothing changes where there are none."""
    if not ids:
        return filter_
    must_not: list[Any] = [engine.HasIdCondition(set(ids))]
    if filter_ is None:
        return engine.Filter(must_not=must_not)
    return engine.Filter(must=[filter_], must_not=must_not)


def to_engine_geo_point(point: models.GeoPoint) -> engine.GeoPoint:
    """A geographic point as the engine takes it."""
    return engine.GeoPoint(point.lon, point.lat)


def to_engine_datetime(value: datetime | date | None) -> str | None:
    """A moment in RFC 3339; one without a time zone is UTC, as for a server."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.isoformat()


def _clause(value: Any) -> list[Any] | None:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [to_engine_condition(item) for item in value]
    return [to_engine_condition(value)]


def _field(condition: models.FieldCondition) -> engine.FieldCondition:
    match, box, values = condition.match, condition.geo_bounding_box, condition.values_count
    radius, polygon = condition.geo_radius, condition.geo_polygon
    return engine.FieldCondition(
        condition.key,
        match=_match(match) if match is not None else None,
        range=_range(condition.range) if condition.range is not None else None,
        geo_bounding_box=_box(box) if box is not None else None,
        geo_radius=_radius(radius) if radius is not None else None,
        geo_polygon=_polygon(polygon) if polygon is not None else None,
        values_count=_values_count(values) if values is not None else None,
        is_empty=condition.is_empty,
        is_null=condition.is_null,
    )


def _match(match: Any) -> engine.MatchType:
    convert = _MATCHES.get(type(match))
    if convert is None:
        message = f"expected a match of qdrant_client.models, got {match!r}"
        raise FilterError(message)
    return convert(match)


def _value(match: models.MatchValue) -> engine.MatchValue:
    # Python's True is an int to the engine, and no bool equals one; numpy's is not.
    value: Any = np.bool_(match.value) if isinstance(match.value, bool) else match.value
    return engine.MatchValue(value)


def _range(value: models.Range | models.DatetimeRange) -> engine.RangeType:
    if isinstance(value, models.DatetimeRange):
        return engine.RangeDateTime(
            gte=to_engine_datetime(value.gte),
            gt=to_engine_datetime(value.gt),
            lte=to_engine_datetime(value.lte),
            lt=to_engine_datetime(value.lt),
        )
    if any(bound is not None and math.isnan(bound) for bound in (value.gte, value.gt, value.lte, value.lt)):
        message = f"the bounds of a range must be numbers, got {value!r}"
        raise FilterError(message)
    return engine.RangeFloat(gte=value.gte, gt=value.gt, lte=value.lte, lt=value.lt)


def _values_count(value: models.ValuesCount) -> engine.ValuesCount:
    return engine.ValuesCount(lt=value.lt, gt=value.gt, lte=value.lte, gte=value.gte)


def _box(box: models.GeoBoundingBox) -> engine.GeoBoundingBox:
    return engine.GeoBoundingBox(to_engine_geo_point(box.top_left), to_engine_geo_point(box.bottom_right))


def _radius(circle: models.GeoRadius) -> engine.GeoRadius:
    return engine.GeoRadius(to_engine_geo_point(circle.center), circle.radius)


def _polygon(polygon: models.GeoPolygon) -> engine.GeoPolygon:
    exterior = [to_engine_geo_point(point) for point in polygon.exterior.points]
    interiors = None
    if polygon.interiors is not None:
        interiors = [[to_engine_geo_point(point) for point in ring.points] for ring in polygon.interiors]
    return engine.GeoPolygon(exterior, interiors)


def _nested(condition: models.NestedCondition) -> engine.NestedCondition:
    inner = to_engine_filter(condition.nested.filter)
    return engine.NestedCondition(condition.nested.key, inner if inner is not None else engine.Filter())


def _slice(condition: models.SliceCondition) -> Any:
    return engine.SliceCondition(  # type: ignore[attr-defined]  # the stubs lack this class, the engine has it
        condition.slice.total, condition.slice.index
    )


_MATCHES: Mapping[type, Callable[[Any], engine.MatchType]] = {
    models.MatchValue: _value,
    models.MatchText: lambda match: engine.MatchText(match.text),
    models.MatchTextAny: lambda match: engine.MatchTextAny(match.text_any),
    models.MatchPhrase: lambda match: engine.MatchPhrase(match.phrase),
    models.MatchPrefix: lambda match: engine.MatchPrefix(match.prefix),
    models.MatchSubstring: lambda match: engine.MatchSubstring(match.substring),
    models.MatchAny: lambda match: engine.MatchAny(match.any),
    models.MatchExcept: lambda match: engine.MatchExcept(match.except_),
}

_CONDITIONS: Mapping[type, Callable[[Any], Any]] = {
    models.FieldCondition: _field,
    models.IsEmptyCondition: lambda condition: engine.IsEmptyCondition(condition.is_empty.key),
    models.IsNullCondition: lambda condition: engine.IsNullCondition(condition.is_null.key),
    models.HasIdCondition: lambda condition: engine.HasIdCondition(set(to_engine_ids(condition.has_id))),
    models.HasVectorCondition: lambda condition: engine.HasVectorCondition(condition.has_vector),
    models.NestedCondition: _nested,
    models.SliceCondition: _slice,
    models.Filter: to_engine_filter,
}
