"""Random filters: every kind of condition, nested to a small depth."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from qdrant_client import models
from world import SIZES, SPARSE, WORDS

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

words = st.sampled_from(WORDS)
small = st.integers(-6, 21)
moments = st.datetimes(dt.datetime(2009, 1, 1), dt.datetime(2031, 1, 1))  # noqa: DTZ001 -- naive on purpose: UTC


def field(key: str, **condition: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, **condition)


def ranges(values: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(("gt", "gte", "lt", "lte")), values, min_size=1, max_size=2)


def points() -> SearchStrategy[models.GeoPoint]:
    return st.builds(models.GeoPoint, lon=st.floats(-170, 170), lat=st.floats(-80, 80))


def boxes() -> SearchStrategy[models.GeoBoundingBox]:
    def box(a: models.GeoPoint, b: models.GeoPoint) -> models.GeoBoundingBox:
        return models.GeoBoundingBox(
            top_left=models.GeoPoint(lon=min(a.lon, b.lon), lat=max(a.lat, b.lat)),
            bottom_right=models.GeoPoint(lon=max(a.lon, b.lon), lat=min(a.lat, b.lat)),
        )

    return st.builds(box, points(), points())


def polygons() -> SearchStrategy[models.GeoPolygon]:
    def square(center: models.GeoPoint, size: float) -> models.GeoPolygon:
        corners = ((-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1))
        ring = [
            models.GeoPoint(
                lon=max(-179.0, min(179.0, center.lon + dx * size)),
                lat=max(-85.0, min(85.0, center.lat + dy * size)),
            )
            for dx, dy in corners
        ]
        return models.GeoPolygon(exterior=models.GeoLineString(points=ring))

    return st.builds(square, points(), st.floats(20, 60))


def matches() -> SearchStrategy[models.FieldCondition]:
    return st.one_of(
        words.map(lambda value: field("word", match=models.MatchValue(value=value))),
        small.map(lambda value: field("num", match=models.MatchValue(value=value))),
        st.booleans().map(lambda value: field("flag", match=models.MatchValue(value=value))),
        st.integers(1, 6).map(
            lambda value: field("uid", match=models.MatchValue(value=str(uuid.UUID(int=value))))
        ),
        st.lists(words, min_size=1, max_size=3).map(lambda v: field("word", match=models.MatchAny(any=v))),
        st.lists(small, min_size=1, max_size=4).map(lambda v: field("num", match=models.MatchAny(any=v))),
        st.lists(words, min_size=1, max_size=3).map(
            lambda v: field("word", match=models.MatchExcept(**{"except": v}))
        ),
        words.map(lambda value: field("text", match=models.MatchText(text=value))),
        st.lists(words, min_size=2, max_size=2).map(
            lambda v: field("text", match=models.MatchText(text=" ".join(v)))
        ),
        st.lists(words, min_size=2, max_size=2).map(
            lambda v: field("text", match=models.MatchPhrase(phrase=" ".join(v)))
        ),
        st.lists(words, min_size=1, max_size=2).map(
            lambda v: field("text", match=models.MatchTextAny(text_any=" ".join(v)))
        ),
        st.integers(0, 4).map(lambda value: field("deep.x.y", match=models.MatchValue(value=value))),
        words.map(lambda value: field("nest[].b", match=models.MatchValue(value=value))),
    )


def fields() -> SearchStrategy[models.FieldCondition]:
    return st.one_of(
        matches(),
        ranges(small).map(lambda v: field("num", range=models.Range(**v))),
        ranges(st.floats(-2, 2)).map(lambda v: field("flt", range=models.Range(**v))),
        ranges(moments).map(lambda v: field("when", range=models.DatetimeRange(**v))),
        ranges(st.integers(0, 3)).map(lambda v: field("word", values_count=models.ValuesCount(**v))),
        boxes().map(lambda v: field("place", geo_bounding_box=v)),
        polygons().map(lambda v: field("place", geo_polygon=v)),
        st.builds(
            lambda c, r: field("place", geo_radius=models.GeoRadius(center=c, radius=r)),
            points(),
            st.floats(1e5, 1e7),
        ),
        st.tuples(st.sampled_from(("word", "num", "none", "nest", "absent")), st.booleans()).map(
            lambda v: field(v[0], is_empty=v[1])
        ),
        st.tuples(st.sampled_from(("word", "none", "absent")), st.booleans()).map(
            lambda v: field(v[0], is_null=v[1])
        ),
    )


def conditions() -> SearchStrategy[Any]:
    keys = st.sampled_from(("word", "num", "none", "nest", "deep.x", "absent"))
    return st.one_of(
        fields(),
        keys.map(lambda key: models.IsEmptyCondition(is_empty=models.PayloadField(key=key))),
        keys.map(lambda key: models.IsNullCondition(is_null=models.PayloadField(key=key))),
        st.lists(st.integers(0, 40), min_size=1, max_size=8).map(
            lambda ids: models.HasIdCondition(has_id=ids)
        ),
        st.sampled_from((*SIZES, *SPARSE)).map(lambda name: models.HasVectorCondition(has_vector=name)),
        nested(),
    )


def nested() -> SearchStrategy[models.NestedCondition]:
    def both(value: int, text: str) -> models.NestedCondition:
        inner = models.Filter(
            must=[field("a", match=models.MatchValue(value=value))],
            must_not=[field("b", match=models.MatchValue(value=text))],
        )
        return models.NestedCondition(nested=models.Nested(key="nest", filter=inner))

    return st.builds(both, st.integers(0, 3), words)


def filters() -> SearchStrategy[models.Filter]:
    def clauses(inner: SearchStrategy[Any]) -> SearchStrategy[models.Filter]:
        some = st.one_of(st.none(), inner, st.lists(inner, min_size=1, max_size=3))
        at_least = st.one_of(
            st.none(),
            st.builds(
                models.MinShould,
                conditions=st.lists(inner, min_size=2, max_size=4),
                min_count=st.integers(1, 2),
            ),
        )
        return st.builds(models.Filter, must=some, should=some, must_not=some, min_should=at_least)

    return clauses(st.recursive(conditions(), clauses, max_leaves=4))
