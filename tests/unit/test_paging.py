"""Pages of any size fit together, however many scores are equal."""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import models

from hydrant import Bm25Encoder, Collection, Convex, Dbsf, EdgeClient, Rrf
from hydrant.retrieve.paging import Window, concatenated, depths, in_order
from hydrant.retrieve.request import Page
from hydrant.testing import HashEncoder

LONG = os.environ.get("HYDRANT_LONG") == "1"
SOURCES = [(), ("dense",), ("sparse",)]
FUSIONS = [Rrf(), Rrf(k=1), Dbsf(), Convex(), Rrf(weights={"dense": 2.0})]


def texts(kind):
    rng = random.Random(5)
    if kind == "all the same":
        return ["key lock"] * 90
    if kind == "few different":
        return [rng.choice(["key lock", "key", "door lock", "door"]) for _ in range(120)]
    return [
        " ".join(rng.choices(["key", "lock", "door", "house", "fox"], k=rng.randrange(1, 5)))
        for _ in range(120)
    ]


@pytest.fixture(scope="module", params=["all the same", "few different", "many different"])
def docs(request):
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder(16), sparse=Bm25Encoder())
        items = [{"id": f"p{number}", "text": text} for number, text in enumerate(texts(request.param))]
        docs.indexer(progress=False).add(items)
        yield docs


def pages(search, query, size, total):
    found = []
    for offset in range(0, total, size):
        hits = search.run(query, offset=offset, limit=size).hits
        assert [hit.stages[next(reversed(hit.stages))].rank for hit in hits] == list(
            range(offset + 1, offset + 1 + len(hits))
        )
        found += [hit.id for hit in hits]
    return found


@settings(max_examples=200 if LONG else 12)
@given(
    sources=st.sampled_from(SOURCES),
    fusion=st.sampled_from(FUSIONS),
    depth=st.sampled_from([20, 40, 200]),
    sizes=st.lists(st.integers(5, 20), min_size=2, max_size=2),
)
def test_pages_of_any_size_make_one_ranking_without_gaps_or_repeats(docs, sources, fusion, depth, sizes):
    if sources and fusion.weights is not None:
        fusion = Rrf()
    search = docs.retriever(sources=sources, fusion=fusion, depth=depth)
    first, second = (pages(search, "key lock", size, 130) for size in sizes)
    assert first == second
    assert max(Counter(first).values()) == 1
    if not sources:
        assert len(first) == docs.count()


@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.parametrize("fusion", [Rrf(), Dbsf(), Convex()])
def test_one_long_page_is_its_short_ones(docs, sources, fusion):
    search = docs.retriever(sources=sources, fusion=fusion, depth=150)
    whole = [hit.id for hit in search.run("key lock", limit=150).hits]
    assert pages(search, "key lock", 7, 150) == whole


@pytest.mark.parametrize("fusion", [Rrf(), Dbsf(), Convex()])
@pytest.mark.parametrize("sources", SOURCES)
def test_past_the_end_is_empty(docs, fusion, sources):
    search = docs.retriever(sources=sources, fusion=fusion, depth=10)
    for offset in (docs.count(), docs.count() + 1, 5000, 10**6):
        assert search.run("key lock", offset=offset).hits == ()


def test_scores_never_rise_from_page_to_page(docs):
    search = docs.retriever(depth=200, limit=9)
    scores = [hit.score for offset in range(0, 120, 9) for hit in search.run("key lock", offset=offset).hits]
    assert scores == sorted(scores, reverse=True)


def test_a_page_within_a_filter_stays_within_it(edge):
    docs = Collection.create(
        edge, "docs", dense=HashEncoder(8), sparse=Bm25Encoder(), fields={"even": "bool"}
    )
    docs.indexer(progress=False).add(
        [{"id": number, "text": "key lock", "even": number % 2 == 0} for number in range(60)]
    )
    search = docs.retriever(depth=10, limit=7)
    found = [
        hit.id
        for offset in range(0, 40, 7)
        for hit in search.run("key", filter={"even": True}, offset=offset).hits
    ]
    assert sorted(found) == list(range(0, 60, 2))


# ---- the parts ---------------------------------------------------------------------------------------------------


def point(each, score):
    return models.ScoredPoint(id=each, version=0, score=score)


@given(
    st.lists(st.sampled_from([3.0, 2.0, 1.0]), max_size=40),
    st.integers(0, 45),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_a_closed_window_cuts_the_page_that_the_whole_ranking_has(scores, offset, limit, seed):
    ranking = [point(number, score) for number, score in enumerate(sorted(scores, reverse=True))]
    expected = in_order(ranking)[offset : offset + limit]
    window = Window(Page(offset, limit), slack=2)
    rng = random.Random(seed)
    while True:
        # The engine's order among equals is its own, and not the same in every request.
        engine = sorted(ranking, key=lambda each: (-each.score, rng.random()))
        part = window.part
        seen = engine[part.offset : part.offset + part.limit]
        if window.closed(seen):
            break
        window = window.wider()
    cut = window.cut(seen, descending=True)
    assert [each.score for each in cut] == [each.score for each in expected]
    assert [each.id for each in cut] == [each.id for each in expected]


@given(st.integers(0, 10_000), st.integers(1, 500), st.integers(1, 500))
def test_depths_double_until_the_page_lies_within(offset, limit, base):
    found = depths(Page(offset, limit), base)
    assert found[0] == base
    assert all(b == 2 * a for a, b in itertools.pairwise(found))
    assert found[-1] >= offset + limit
    assert len(found) == 1 or found[-2] < offset + limit


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), max_size=8), max_size=4))
def test_concatenation_keeps_the_first_place_of_everything_and_repeats_nothing(rankings):
    merged = concatenated(rankings)
    ids = [each for each, _ in merged]
    assert len(ids) == len(set(ids)) == len({each for ranking in rankings for each, _ in ranking})
    if rankings:
        firsts = list(dict.fromkeys(each for each, _ in rankings[0]))
        assert ids[: len(firsts)] == firsts
