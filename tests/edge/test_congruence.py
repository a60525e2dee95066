"""The embedded engine gives what qdrant-client's Python-local mode gives, for random data and queries.

Where the two differ by design the reason stands at the test.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os

import pytest
from conditions import filters
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from qdrant_client import models
from shapes import SHAPES
from world import NAME, OTHER, assert_same_ranking, assert_same_records, world

FEW = 100 if os.environ.get("HYDRANT_LONG") == "1" else 3
# A seed does not shrink to a simpler world, and trying takes minutes.
PHASES = [Phase.generate]
seeds = st.integers(0, 2**32 - 1)
counts = st.integers(8, 40)


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts)
def test_query_gives_what_local_mode_gives(name: str, seed: int, count: int) -> None:
    with world(seed, count) as both:
        request = SHAPES[name](both)
        found = both.edge.query_points(NAME, **request).points
        wanted = both.local.query_points(NAME, **request).points
        whole = both.local.query_points(NAME, **{**request, "limit": 10_000, "offset": None}).points
        assert_same_ranking(found, wanted, whole)


@settings(max_examples=FEW * 30, phases=PHASES)
@given(filter_=filters(), seed=st.integers(0, 7), indexed=st.booleans())
def test_filter_keeps_what_it_keeps_in_local_mode(filter_: models.Filter, seed: int, indexed: bool) -> None:
    with world(seed, 40, indexes=indexed) as both:
        found, _ = both.edge.scroll(NAME, filter_, limit=100)
        wanted, _ = both.local.scroll(NAME, filter_, limit=100)
        assert_same_records(found, wanted)
        assert both.edge.count(NAME, filter_).count == len(wanted)


@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts, page=st.integers(1, 9))
def test_scroll_pages_through_all_points_in_order(seed: int, count: int, page: int) -> None:
    with world(seed, count) as both:
        offset, found = None, []
        while True:
            records, offset = both.edge.scroll(NAME, limit=page, offset=offset, with_vectors=["cos", "bow"])
            found.extend(records)
            if offset is None:
                break
        wanted, _ = both.local.scroll(NAME, limit=1000, with_vectors=["cos", "bow"])
        assert_same_records(found, wanted)


@pytest.mark.parametrize("key", ["num", "flt", "when"])
@pytest.mark.parametrize("direction", list(models.Direction))
@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts, started=st.booleans())
def test_scroll_orders_by_a_field(
    key: str, direction: models.Direction, seed: int, count: int, started: bool
) -> None:
    start = {"num": 4, "flt": 0.1, "when": dt.datetime(2018, 1, 1, tzinfo=dt.UTC)}[key] if started else None
    order = models.OrderBy(key=key, direction=direction, start_from=start)
    with world(seed, count) as both:
        found, _ = both.edge.scroll(NAME, limit=1000, order_by=order)
        wanted, _ = both.local.scroll(NAME, limit=1000, order_by=order)
        # Points with equal values may come in either order.
        assert sorted((str(one.id), round(one.order_value, 9)) for one in found) == sorted(
            (str(one.id), round(one.order_value, 9)) for one in wanted
        )
        assert [one.order_value for one in found] == pytest.approx([one.order_value for one in wanted])


@pytest.mark.parametrize("key", ["word", "num", "flag", "uid"])
@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts, filter_=st.one_of(st.none(), filters()))
def test_facet_counts_values(key: str, seed: int, count: int, filter_: models.Filter | None) -> None:
    with world(seed, count) as both:
        found = both.edge.facet(NAME, key, filter_, limit=100, exact=True).hits
        wanted = both.local.facet(NAME, key, filter_, limit=100).hits
        assert [(hit.value, hit.count) for hit in found] == [(hit.value, hit.count) for hit in wanted]


@pytest.mark.parametrize("group_by", ["word", "num", "nest[].a", "deep.x.y"])
@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts, limit=st.integers(1, 6), size=st.integers(1, 3))
def test_groups_hold_the_best_hits(group_by: str, seed: int, count: int, limit: int, size: int) -> None:
    with world(seed, count) as both:
        request = {"query": both.vector("cos"), "using": "cos", "limit": limit, "group_size": size}
        request |= {"group_by": group_by, "with_vectors": ["dot"], "with_payload": ["word"]}
        found = both.edge.query_points_groups(NAME, **request).groups
        wanted = both.local.query_points_groups(NAME, **request).groups
        assert [group.id for group in found] == [group.id for group in wanted]
        for one, other in zip(found, wanted, strict=True):
            assert_same_ranking(one.hits, other.hits, other.hits)


@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts)
def test_groups_of_fused_hits_carry_their_lookup(seed: int, count: int) -> None:
    with world(seed, count) as both:
        sources = [models.Prefetch(query=both.vector(name), using=name) for name in ("cos", "man")]
        request = {"query": models.RrfQuery(rrf=models.Rrf(k=60)), "prefetch": sources, "group_by": "num"}
        request |= {"group_size": 1, "with_lookup": models.WithLookup(collection=OTHER, with_vectors=["dot"])}
        found = both.edge.query_points_groups(NAME, limit=50, **request).groups
        wanted = both.local.query_points_groups(NAME, limit=50, **request).groups
        lookups = {group.id: group.lookup for group in wanted}
        assert {group.id for group in found} == set(lookups)
        assert sorted(group.hits[0].score for group in found) == pytest.approx(
            sorted(group.hits[0].score for group in wanted)
        )
        for group in found:
            assert_same_records(
                [group.lookup] if group.lookup else [], [lookups[group.id]] if lookups[group.id] else []
            )


@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts)
def test_matrix_of_all_points_is_the_same(seed: int, count: int) -> None:
    with world(seed, count) as both:
        request = {"sample": 100, "limit": 3, "using": "euc", "query_filter": models.Filter(must_not=[])}
        found, wanted = (
            client.search_matrix_pairs(NAME, **request).pairs for client in (both.edge, both.local)
        )
        assert [(pair.a, pair.b) for pair in found] == [(pair.a, pair.b) for pair in wanted]
        assert [pair.score for pair in found] == pytest.approx([pair.score for pair in wanted], rel=1e-4)
        offsets, others = (
            client.search_matrix_offsets(NAME, **request) for client in (both.edge, both.local)
        )
        assert offsets.ids == others.ids
        assert offsets.offsets_row == others.offsets_row
        assert offsets.offsets_col == others.offsets_col
        assert offsets.scores == pytest.approx(others.scores, rel=1e-4)


@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts)
def test_batch_answers_as_single_queries_do(seed: int, count: int) -> None:
    with world(seed, count) as both:
        requests = [
            models.QueryRequest(query=both.vector("cos"), using="cos", limit=4, with_payload=True),
            models.QueryRequest(query=both.vector("idf"), using="idf", limit=3),
            models.QueryRequest(
                prefetch=[models.Prefetch(query=both.vector(name), using=name) for name in ("cos", "bow")],
                query=models.FusionQuery(fusion=models.Fusion.DBSF),
                with_vector=["dot"],
            ),
        ]
        found, wanted = (client.query_batch_points(NAME, requests) for client in (both.edge, both.local))
        for one, other in zip(found, wanted, strict=True):
            assert_same_ranking(one.points, other.points, other.points)


@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts)
def test_scores_alone_are_those_of_the_points(seed: int, count: int) -> None:
    with world(seed, count) as both:
        requests = [
            models.QueryRequest(query=both.vector("cos"), using="cos", limit=9, offset=2, with_payload=True),
            models.QueryRequest(query=both.vector("idf"), using="idf", limit=3, score_threshold=0.1),
        ]
        wanted = [
            sorted((str(point.id), point.score) for point in answer.points)
            for answer in both.edge.query_batch_points(NAME, requests)
        ]
        for answer in (
            both.edge.query_batch_scores(NAME, requests),
            asyncio.run(both.edge.async_client().query_batch_scores(NAME, requests)),
        ):
            assert [sorted((str(each), score) for each, score in pairs) for pairs in answer] == wanted
        assert both.edge.query_batch_scores(NAME, []) == []


@settings(max_examples=FEW, phases=PHASES)
@given(seed=seeds, count=counts, limit=st.integers(1, 50))
def test_sample_gives_distinct_points_that_match(seed: int, count: int, limit: int) -> None:
    keep = models.Filter(must=[models.FieldCondition(key="num", range=models.Range(gte=3))])
    with world(seed, count) as both:
        found = both.edge.query_points(
            NAME, query=models.SampleQuery(sample=models.Sample.RANDOM), query_filter=keep, limit=limit
        ).points
        matching = {record.id for record in both.local.scroll(NAME, keep, limit=1000)[0]}
        assert len({hit.id for hit in found}) == min(limit, len(matching))
        assert {hit.id for hit in found} <= matching
