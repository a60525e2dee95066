"""The retriever on real engines: one request, the same answer everywhere, every setting checked."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from hydrant import Bm25Encoder, Collection, Convex, Dbsf, EdgeClient, Query, Rrf
from hydrant.errors import (
    ConfigurationError,
    DeadlineExceeded,
    FilterError,
    InputError,
    VectorMismatch,
)
from hydrant.testing import HangingStage, HashEncoder

WORDS = ["key", "lock", "door", "house", "garden", "river", "bank", "fox", "dog", "tree"]


class NoiseEncoder(HashEncoder):
    """Vectors without ties: noise from the text's hash."""

    def vector(self, text):
        rng = np.random.default_rng(abs(hash_of(text)))
        return rng.normal(size=self.dimensions).tolist()

    def record(self):
        return {"encoder": "noise", "dimensions": self.dimensions}


def hash_of(text):
    return int.from_bytes(text.encode("utf-8", "replace")[:6].ljust(6, b"x") + str(len(text)).encode(), "big")


def corpus(count=70):
    """Texts of different lengths, so that no two of them score the same."""
    rng = random.Random(11)
    return [
        {
            "id": number,
            "text": f"{number:03d} " + " ".join(rng.choices(WORDS, k=3 + number)),
            "lang": rng.choice(["en", "de"]),
            "year": 2000 + number % 7,
        }
        for number in range(count)
    ]


def fill(client, name="docs", **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        docs = Collection.create(
            client,
            name,
            dense=NoiseEncoder(16),
            sparse=Bm25Encoder(),
            fields={"lang": "keyword", "year": "integer"},
            **given,
        )
    docs.indexer(progress=False).add(corpus())
    return docs


@pytest.fixture(scope="module")
def edge_docs():
    with EdgeClient(":memory:") as client:
        yield fill(client)


@pytest.fixture(scope="module")
def local_docs():
    client = QdrantClient(":memory:")
    yield fill(client)
    client.close()


def shown(result):
    return [(hit.id, round(hit.score, 5), dict(hit.stages)) for hit in result.hits]


def agree(ours, theirs):
    """Two engines' answers: the same passages in the same order with nearly the same scores."""
    assert [hit.id for hit in ours.hits] == [hit.id for hit in theirs.hits]
    assert [hit.score for hit in ours.hits] == pytest.approx([hit.score for hit in theirs.hits], abs=1e-4)
    assert [hit.passage for hit in ours.hits] == [hit.passage for hit in theirs.hits]
    for own, other in zip(ours.hits, theirs.hits, strict=True):
        assert own.stages.keys() == other.stages.keys()
        for name in own.stages:
            assert own.stages[name].rank == other.stages[name].rank
            assert own.stages[name].score == pytest.approx(other.stages[name].score, abs=1e-4)


SETTINGS = st.fixed_dictionaries(
    {
        "sources": st.sampled_from([(), ("dense",), ("sparse",), ("sparse", "dense")]),
        "fusion": st.sampled_from(
            [
                Rrf(),
                Rrf(k=2),
                Dbsf(),
                Convex(),
                Convex({"dense": 0.3, "sparse": 0.7}),
                Rrf(weights={"dense": 3}),
            ]
        ),
        "depth": st.sampled_from([5, 20, 100]),
        "explain": st.booleans(),
    }
).filter(lambda given: len(given["sources"]) != 1 or given["fusion"].weights is None)
QUERIES = st.lists(st.sampled_from([*WORDS, "007", "the"]), min_size=1, max_size=4).map(" ".join)
FILTERS = st.none() | st.sampled_from(
    [{"lang": "en"}, {"year": {"gte": 2003}}, {"lang": {"not": "en"}, "year": [2001, 2002]}, {"lang": "xx"}]
)


@given(SETTINGS, QUERIES, FILTERS, st.integers(1, 12), st.integers(0, 25))
def test_sync_async_edge_and_local_mode_agree(edge_docs, local_docs, given, query, filter_, limit, offset):
    def ask(docs):
        search = docs.retriever(**given)
        sync = search.run(query, filter=filter_, limit=limit, offset=offset)
        return sync, asyncio.run(search.arun(query, filter=filter_, limit=limit, offset=offset))

    ours, asynchronous = ask(edge_docs)
    assert replace(ours, trace=()) == replace(asynchronous, trace=())
    for theirs in ask(local_docs):
        agree(ours, theirs)
    assert len(ours.hits) <= limit
    assert all(isinstance(hit.score, float) and type(hit.score) is float for hit in ours.hits)


@pytest.mark.parametrize("stage", ["dense", "sparse", "fusion"])
@pytest.mark.parametrize("fusion", [Rrf(), Rrf(weights={"dense": 2}), Dbsf(), Convex()])
def test_thresholds_cut_their_own_stage_in_both_engines(edge_docs, local_docs, fusion, stage):
    query = "key river dog"

    def scores(docs, **given):
        hits = docs.retriever(limit=60, fusion=fusion, explain=True, **given).run(query).hits
        return sorted(hit.stages[stage].score for hit in hits if stage in hit.stages)

    everything = scores(edge_docs)
    # Between two scores, so that rounding decides nothing.
    least = max(itertools.pairwise(everything), key=lambda pair: pair[1] - pair[0])
    given = {"thresholds": {stage: sum(least) / 2}}
    kept = scores(edge_docs, **given)
    assert 0 < len(kept) < len(everything)
    if stage == "fusion":
        assert kept == [score for score in everything if score >= least[1]]
    assert min(kept) >= least[0]
    assert kept == pytest.approx(scores(local_docs, **given), abs=1e-4)


def test_rrf_is_the_textbooks_over_the_sources_own_rankings(edge_docs):
    query = "key river dog"
    ranks = {}
    for source in ("dense", "sparse"):
        for rank, hit in enumerate(edge_docs.retriever(sources=(source,), limit=100).run(query).hits, 1):
            ranks.setdefault(hit.id, []).append(rank)
    expected = {each: sum(1 / (60 + rank) for rank in own) for each, own in ranks.items()}
    hits = edge_docs.retriever(limit=70, fusion=Rrf()).run(query).hits
    assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("fusion", [Rrf(), Dbsf(), Convex(), Rrf(weights={"sparse": 2})])
def test_explained_ranks_are_those_of_separate_searches(edge_docs, fusion):
    query = "garden fox"
    explained = edge_docs.retriever(limit=30, fusion=fusion, explain=True).run(query)
    for source in ("dense", "sparse"):
        alone = edge_docs.retriever(sources=(source,), limit=100).run(query)
        own = {hit.id: hit.stages[source] for hit in alone.hits}
        for hit in explained.hits:
            if hit.id in own:
                assert hit.stages[source].rank == own[hit.id].rank
                assert hit.stages[source].score == pytest.approx(own[hit.id].score, abs=1e-5)
            else:
                assert source not in hit.stages
    assert [hit.stages["fusion"].rank for hit in explained.hits] == list(range(1, 31))
    assert [hit.stages["fusion"].score for hit in explained.hits] == [hit.score for hit in explained.hits]


def test_explaining_changes_neither_order_nor_scores(edge_docs):
    for fusion in (Rrf(), Dbsf(), Convex()):
        plain = edge_docs.retriever(fusion=fusion).run("key dog")
        explained = edge_docs.retriever(fusion=fusion, explain=True).run("key dog")
        assert [(hit.id, hit.score) for hit in plain.hits] == [(hit.id, hit.score) for hit in explained.hits]


def test_twenty_runs_give_one_answer(edge_docs):
    search = edge_docs.retriever(limit=20, explain=True)
    first = shown(search.run("key lock house"))
    assert all(shown(search.run("key lock house")) == first for _ in range(20))


# ---- one request -------------------------------------------------------------------------------------------------


class Counting(EdgeClient):
    """Notes every call that reaches Qdrant."""

    def __init__(self, location):
        super().__init__(location)
        self.calls = []

    def query_batch_points(self, collection_name, requests, *args, **kwargs):
        self.calls.append(("query_batch_points", list(requests)))
        return super().query_batch_points(collection_name, requests, *args, **kwargs)

    def query_batch_scores(self, collection_name, requests):
        self.calls.append(("query_batch_scores", list(requests)))
        return super().query_batch_scores(collection_name, requests)

    def query_points(self, *args, **kwargs):
        self.calls.append(("query_points", args))
        return super().query_points(*args, **kwargs)

    def get_collection(self, *args, **kwargs):
        self.calls.append(("get_collection", args))
        return super().get_collection(*args, **kwargs)

    def retrieve(self, *args, **kwargs):
        self.calls.append(("retrieve", kwargs["ids"]))
        return super().retrieve(*args, **kwargs)

    def scroll(self, *args, **kwargs):
        self.calls.append(("scroll", args))
        return super().scroll(*args, **kwargs)


@pytest.fixture(scope="module")
def counting():
    with Counting(":memory:") as client:
        docs = fill(client)
        yield docs, client


@pytest.mark.parametrize(
    "given",
    [
        {"fusion": Rrf()},
        {"fusion": Rrf(), "explain": True},
        {"sources": ("dense",)},
        {"sources": ("sparse",)},
        {"fusion": Dbsf()},
    ],
)
@pytest.mark.parametrize("filter_", [None, {"lang": "en"}])
def test_a_search_is_one_request_with_the_whole_filter_in_every_part(counting, given, filter_):
    docs, client = counting
    client.calls.clear()
    docs.retriever(limit=5, **given).run("key lock", filter=filter_, offset=5)
    assert [name for name, _ in client.calls] == ["query_batch_points"]
    condition = docs.condition(filter_, None)
    for request in client.calls[0][1]:
        assert request.filter == condition
        for prefetch in request.prefetch or []:
            assert prefetch.filter == condition
            assert prefetch.limit >= 10


@pytest.mark.parametrize("given", [{}, {"explain": True}, {"fusion": Rrf(weights={"dense": 2})}])
def test_what_is_fused_here_asks_for_the_pages_payloads_alone(counting, given):
    docs, client = counting
    client.calls.clear()
    hits = docs.retriever(limit=5, **given).run("key lock", filter={"lang": "en"}).hits
    (first, requests), (second, ids) = client.calls
    assert (first, second) == ("query_batch_scores", "retrieve")
    assert [request.with_payload for request in requests] == [False, False]
    assert all(request.filter == docs.condition({"lang": "en"}, None) for request in requests)
    assert ids == [hit.point_id for hit in hits]


# ---- distances ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [models.Distance.EUCLID, models.Distance.MANHATTAN])
def test_where_less_is_nearer_the_nearest_come_first_and_fusion_knows(distance):
    text = corpus()[20]["text"]
    with EdgeClient(":memory:") as client:
        docs = fill(client, distance=distance)
        alone = docs.retriever(sources=("dense",), limit=70).run(text).hits
        scores = [hit.score for hit in alone]
        assert alone[0].id == 20
        assert scores == sorted(scores)
        assert scores[0] == pytest.approx(0, abs=1e-3)
        pages = docs.retriever(sources=("dense",), limit=7)
        assert [hit.id for offset in range(0, 70, 7) for hit in pages.run(text, offset=offset).hits] == [
            hit.id for hit in alone
        ]
        for fusion in (Rrf(), Dbsf(), Convex(), Rrf(weights={"dense": 2})):
            search = docs.retriever(fusion=fusion, limit=70, explain=True)
            assert search.run(text).hits[0].id == 20
            own = [hit.stages["dense"] for hit in search.run("key").hits]
            assert all(each.score >= 0 for each in own)
            by_rank = sorted(own, key=lambda each: each.rank)
            assert [each.score for each in by_rank] == sorted(each.score for each in own)


# ---- query vectors -----------------------------------------------------------------------------------------------


def test_ready_query_vectors_take_the_place_of_the_encoders(edge_docs):
    encoder = edge_docs.sources["dense"].encoder
    text = corpus()[33]["text"]
    before = len(encoder.calls)
    ready = Query("something else", vectors={"dense": encoder.vector(text)})
    result = edge_docs.retriever(sources=("dense",)).run(ready)
    assert result.hits[0].id == 33
    assert len(encoder.calls) == before
    numpy = replace(ready, vectors={"dense": np.asarray(encoder.vector(text), dtype=np.float32)})
    assert edge_docs.retriever(sources=("dense",)).run(numpy).hits[0].id == 33
    sparse = edge_docs.sources["sparse"].encoder.encode_query(["garden"])[0]
    only = edge_docs.retriever(sources=("sparse",)).run(Query("x", vectors={"sparse": sparse}))
    assert [hit.id for hit in only.hits] == [
        hit.id for hit in edge_docs.retriever(sources=("sparse",)).run("garden").hits
    ]


SPARSE = models.SparseVector(indices=[1], values=[1.0])


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"dense": [0.1] * 15}, "15.*16"),
        ({"dense": []}, "0.*16"),
        ({"dense": [float("nan")] * 16}, "finite"),
        ({"dense": [0.1] * 15 + [float("inf")]}, "finite"),
        ({"dense": [[0.1] * 16]}, "dense"),
        ({"dense": "0.1" * 16}, "dense"),
        ({"dense": SPARSE}, "dense"),
        ({"dense": ["a"] * 16}, "dense"),
        ({"dense": 5}, "dense"),
        ({"sparse": [0.1] * 16}, "sparse"),
        ({"sparse": models.SparseVector(indices=[1, 2], values=[1.0])}, "sparse"),
        ({"sparse": models.SparseVector(indices=[1], values=[float("nan")])}, "finite"),
    ],
)
def test_a_query_vector_that_does_not_fit_is_refused_before_anything_is_asked(counting, vectors, said):
    docs, client = counting
    client.calls.clear()
    with pytest.raises(VectorMismatch, match=said):
        docs.retriever().run(Query("key", vectors=vectors))
    assert client.calls == []


def test_a_query_vector_for_no_source_of_the_collection_lists_the_sources(edge_docs):
    with pytest.raises(InputError, match=r"'dense', 'sparse'.*'title'"):
        edge_docs.retriever().run(Query("key", vectors={"title": [0.1] * 16}))
    # One for a source that this search leaves out is another matter.
    only = edge_docs.retriever(sources=("sparse",))
    assert only.run(Query("key", vectors={"dense": [0.1] * 16})).hits


# ---- a source with nothing to look for ---------------------------------------------------------------------------


def test_a_query_of_stop_words_is_searched_by_the_other_source_and_says_so(edge_docs):
    result = edge_docs.retriever(explain=True).run("the of and")
    assert len(result.hits) == 10
    assert [each.stage for each in result.degraded] == ["sparse"]
    assert all("sparse" not in hit.stages for hit in result.hits)


def test_a_query_of_stop_words_alone_for_bm25_finds_nothing(edge_docs):
    result = edge_docs.retriever(sources=("sparse",)).run("the of and")
    assert result.hits == ()
    assert [each.stage for each in result.degraded] == ["sparse"]


@pytest.mark.parametrize("query", ["\ud800", "a\x00b", "?!", "🦊" * 5000, "x" * 100_000, "日本語"])
def test_odd_queries_are_answered(edge_docs, query):
    assert len(edge_docs.retriever().run(query).hits) == 10


def test_an_empty_collection_answers_with_nothing(edge):
    docs = Collection.create(edge, "empty", dense=HashEncoder(), sparse=Bm25Encoder())
    for fusion in (Rrf(), Dbsf(), Convex()):
        assert docs.retriever(fusion=fusion, explain=True).run("key").hits == ()
        assert docs.retriever(fusion=fusion).run("key", offset=500).hits == ()


def test_a_limit_beyond_everything_gives_everything(edge_docs):
    for fusion in (Rrf(), Convex()):
        assert len(edge_docs.retriever(fusion=fusion, limit=10**9).run("key").hits) == 70
    assert len(edge_docs.retriever(sources=("dense",), limit=10**9).run("key").hits) == 70


# ---- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["limit", "depth"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True, None])
def test_a_limit_or_depth_that_is_no_number_is_refused_with_its_value(edge_docs, name, value):
    with pytest.raises(InputError) as caught:
        edge_docs.retriever(**{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sources": ("title",)}, r"\['dense', 'sparse'\].*\['title'\]"),
        ({"sources": "dense"}, r"must be a sequence.*got 'dense'"),
        ({"sources": ("dense", "dense")}, "twice|once"),
        ({"thresholds": {"title": 0.5}}, r"'dense', 'fusion', 'sparse'.*'title'"),
        ({"sources": ("dense",), "thresholds": {"fusion": 0.5}}, "'fusion'"),
        ({"sources": ("dense",), "thresholds": {"sparse": 0.5}}, "'sparse'"),
        ({"thresholds": {"dense": "high"}}, "'dense'.*'high'"),
        ({"thresholds": {"dense": float("nan")}}, "'dense'.*nan"),
        ({"thresholds": {"dense": True}}, "'dense'.*True"),
        ({"thresholds": 0.5}, "thresholds.*0.5"),
        ({"fusion": Rrf(weights={"title": 1})}, r"'title'"),
        ({"fusion": "rrf"}, "fusion.*'rrf'"),
        ({"fusion": models.FusionQuery(fusion=models.Fusion.RRF)}, "fusion"),
    ],
)
def test_settings_that_cannot_work_say_what_there_is(edge_docs, given, said):
    with pytest.raises(ConfigurationError, match=said):
        edge_docs.retriever(**given)


def test_retrievers_with_equal_settings_are_equal_and_hash_alike(edge_docs):
    given = {"thresholds": {"dense": 0.1}, "params": models.SearchParams(exact=True)}
    first, second = edge_docs.retriever(**given), edge_docs.retriever(**given)
    assert first == second
    assert hash(first) == hash(second)
    assert hash(first >> HangingStage())
    assert first != edge_docs.retriever()


def test_search_parameters_reach_every_part(counting):
    docs, client = counting
    params = models.SearchParams(exact=True, hnsw_ef=77)
    client.calls.clear()
    docs.retriever(params=params, fusion=Rrf()).run("key")
    docs.retriever(params=params, sources=("dense",)).run("key")
    fused, alone = (requests[0] for _, requests in client.calls)
    assert [each.params for each in fused.prefetch] == [params, params]
    assert alone.params == params


# ---- deadlines, end to end ---------------------------------------------------------------------------------------


def test_an_expansion_that_hangs_leaves_the_retriever_enough(edge_docs):
    search = HangingStage("hyde") >> edge_docs.retriever(limit=3) >> HangingStage("rerank")
    start = time.perf_counter()
    result = search.run("key lock", deadline=1.0)
    assert time.perf_counter() - start < 1.3
    assert len(result.hits) == 3
    assert [each.stage for each in result.degraded] == ["hyde", "rerank"]
    search.close()


class SlowClient(EdgeClient):
    def query_batch_points(self, *args, **kwargs):
        time.sleep(0.8)
        return super().query_batch_points(*args, **kwargs)


def test_an_engine_that_hangs_is_a_deadline_exceeded_on_time():
    with SlowClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder())
        for call in (
            lambda: docs.retriever().run("key", deadline=0.1),
            lambda: asyncio.run(docs.retriever().arun("key", deadline=0.1)),
        ):
            start = time.perf_counter()
            with pytest.raises(DeadlineExceeded, match="query_batch_points"):
                call()
            assert time.perf_counter() - start < 0.6
        time.sleep(0.8)


def test_every_call_takes_a_deadline_on_every_engine(edge_docs, local_docs):
    for docs in (edge_docs, local_docs):
        for fusion in (Rrf(), Convex()):
            assert docs.retriever(fusion=fusion, limit=3, depth=5).run("key", deadline=30, offset=20).hits


def test_a_misspelt_field_never_degrades(edge_docs):
    with pytest.raises(FilterError):
        (edge_docs.retriever() >> HangingStage()).run("key", filter={"lung": "en"})
