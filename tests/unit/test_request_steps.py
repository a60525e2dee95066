"""What follows the candidates inside the one request: rescoring, boosts, diversity, groups; the same on every engine."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from hydrant import (
    Average,
    Bm25Encoder,
    Collection,
    Convex,
    Dbsf,
    EdgeClient,
    Feedback,
    GroupBy,
    Hit,
    Matching,
    Mmr,
    MuveraEncoder,
    Passage,
    Popularity,
    QdrantFeedback,
    Query,
    Recency,
    Rocchio,
    Rrf,
)
from hydrant.collection.compression import search_params
from hydrant.errors import ConfigurationError, EncoderMismatch, InputError, VectorMismatch
from hydrant.testing import FunctionStage, HashEncoder, HashLateEncoder

WORDS = ["key", "lock", "door", "house", "garden", "river", "bank", "fox", "dog", "tree", "stone", "cloud"]
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
FIELDS = {"lang": "keyword", "date": "datetime", "views": "integer"}


def noise(text, dimensions):
    return np.random.default_rng(list(text.encode())).normal(size=dimensions)


class Dense(HashEncoder):
    """Bags of words without ties: a little noise from the text's hash."""

    def encode_document(self, texts):
        rows = zip(texts, super().encode_document(texts), strict=True)
        return [(np.array(row) + 0.05 * noise(text, self.dimensions)).tolist() for text, row in rows]


class Late(HashLateEncoder):
    """Token vectors without ties."""

    def encode_document(self, texts):
        rows = zip(texts, super().encode_document(texts), strict=True)
        return [(np.array(row) + 0.1 * noise(text, self.dimensions)).tolist() for text, row in rows]


def corpus(count=60):
    rng = random.Random(5)
    passages = []
    for number in range(count):
        text = f"p{number:03d} " + " ".join(rng.choices(WORDS, k=4 + number))
        passage = {
            "id": number,
            "text": text,
            "source": f"doc{number % 7}",
            "lang": rng.choice(["en", "de"]),
            "date": (NOW - dt.timedelta(days=number * 3)).isoformat(),
        }
        if number % 5:
            passage["views"] = number * 10
        passages.append(passage)
    return passages


def fill(client, **given_):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        docs = Collection.create(
            client,
            "docs",
            dense=Dense(32),
            sparse=Bm25Encoder(),
            late=Late(24),
            fields=FIELDS,
            **given_,
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


def agree(ours, theirs):
    """The same scores in the same order; among equal scores any passages, but each once."""
    assert [hit.score for hit in ours.hits] == pytest.approx([hit.score for hit in theirs.hits], abs=1e-4)
    assert len({hit.id for hit in ours.hits}) == len(ours.hits)
    own = {hit.id: hit.score for hit in ours.hits}
    edge = min((hit.score for hit in ours.hits), default=0)
    for hit in theirs.hits:
        if hit.score > edge + 1e-4:
            assert own[hit.id] == pytest.approx(hit.score, abs=1e-4)


BOOSTS = (
    Recency("date", dt.timedelta(days=30), weight=2.0, now=NOW),
    Popularity("views", half=100, weight=0.7),
    Matching({"lang": "de"}, weight=0.4),
)
SHAPES = {
    "three sources, convex": {},
    "three sources, rrf": {"fusion": Rrf()},
    "three sources, dbsf": {"fusion": Dbsf()},
    "three sources, weighted": {"fusion": Rrf(weights={"late": 2.0})},
    "late alone": {"sources": ("late",)},
    "late after sparse": {"sources": ("sparse", "late")},
    "late rescores": {"rescore": "late"},
    "late rescores dense": {"sources": ("dense",), "rescore": "late"},
    "dense rescores sparse": {"sources": ("sparse",), "rescore": "dense"},
    "boosted": {"boosts": BOOSTS},
    "boosted dense": {"sources": ("dense",), "boosts": BOOSTS[:1]},
    "boosted after rescoring": {"rescore": "late", "boosts": BOOSTS[1:]},
    "depths": {"depth": {"dense": 7, "sparse": 13}, "fusion": Rrf()},
    "depths, convex": {"depth": {"dense": 7, "sparse": 13, "late": 9}},
    "late thresholded": {"rescore": "late", "thresholds": {"late": 1.0, "dense": 0.0}},
    "explained": {"explain": True},
    "explained rescoring": {"rescore": "late", "explain": True, "depth": 20},
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("filter_", [None, {"lang": "en"}])
def test_every_shape_gives_the_same_on_edge_and_local_mode_sync_and_async(
    edge_docs, local_docs, name, filter_
):
    question = "key lock house river"
    edge, local = (docs.retriever(limit=9, **SHAPES[name]) for docs in (edge_docs, local_docs))
    ours = edge.run(question, filter=filter_)
    assert ours.hits
    agree(ours, local.run(question, filter=filter_))
    again = asyncio.run(edge.arun(question, filter=filter_))
    assert [(hit.id, hit.score) for hit in again.hits] == [(hit.id, hit.score) for hit in ours.hits]
    if filter_:
        assert {hit.metadata["lang"] for hit in ours.hits} == {"en"}


@pytest.mark.parametrize("name", [name for name in SHAPES if "weighted" not in name])
def test_pages_of_every_shape_make_up_the_whole_ranking(edge_docs, name):
    search = edge_docs.retriever(limit=5, **SHAPES[name])
    pages = [hit.id for offset in range(0, 35, 5) for hit in search.run("key lock river", offset=offset).hits]
    assert len(pages) == len(set(pages))


def test_rescoring_gives_maxsim_over_the_union_of_what_the_others_found(edge_docs):
    question = "garden fox cloud"
    late = edge_docs.sources["late"].encoder
    query = np.array(late.encode_query([question])[0])
    hits = edge_docs.retriever(limit=10, rescore="late", depth=20).run(question).hits
    for hit in hits:
        tokens = np.array(late.encode_document([hit.passage.content])[0])
        tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
        assert hit.score == pytest.approx((query @ tokens.T).max(axis=1).sum(), abs=1e-4)
        assert hit.stages["late"].score == hit.score
    found = {
        hit.id
        for source in ("dense", "sparse")
        for hit in edge_docs.retriever(limit=20, sources=(source,)).run(question).hits
    }
    assert {hit.id for hit in hits} <= found


def test_a_late_source_ranks_only_what_the_others_found(edge_docs):
    search = edge_docs.retriever(sources=("sparse", "late"), limit=60, depth=60, explain=True)
    hits = search.run("fox").hits
    assert hits
    assert all("fox" in hit.text for hit in hits)
    assert all({"sparse", "late"} <= set(hit.stages) for hit in hits)


def test_a_query_without_words_for_the_only_finder_finds_nothing_and_says_so(edge_docs):
    result = edge_docs.retriever(sources=("sparse", "late")).run("the of and")
    assert result.hits == ()
    assert "sparse" in {each.stage for each in result.degraded}


# ---- boosts ------------------------------------------------------------------------------------------------------


def test_boosts_multiply_the_score_by_what_they_promise(edge_docs):
    plain = edge_docs.retriever(sources=("dense",), limit=60, depth=60).run("key lock")
    boosted = edge_docs.retriever(sources=("dense",), limit=60, depth=60, boosts=BOOSTS).run("key lock")
    before = {hit.id: hit.score for hit in plain.hits}
    assert len(boosted.hits) == len(before)
    for hit in boosted.hits:
        age = (NOW - dt.datetime.fromisoformat(hit.metadata["date"])).days
        views = hit.metadata.get("views", 0)
        factor = (
            1 + 2 * 0.5 ** (age / 30) + 0.7 * views / (views + 100) + 0.4 * (hit.metadata["lang"] == "de")
        )
        assert hit.score == pytest.approx(before[hit.id] * factor, rel=1e-3, abs=1e-5)
        assert hit.stages["boost"].score == hit.score


def test_a_passage_without_the_field_is_not_boosted_and_not_lost():
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder())
        docs.indexer(progress=False).add([{"id": 1, "text": "key"}, {"id": 2, "text": "key lock"}])
        boosts = (Recency("date", dt.timedelta(days=1)), Popularity("views", half=1))
        hits = docs.retriever(boosts=boosts).run("key").hits
        assert {hit.id for hit in hits} == {1, 2}
        assert hits[0].score == pytest.approx(docs.retriever().run("key").hits[0].score, abs=1e-4)


# ---- diversity and groups ----------------------------------------------------------------------------------------


def test_diversity_zero_is_the_order_of_relevance_and_one_keeps_alike_passages_apart():
    texts = ["key lock door"] * 4 + ["key lock garden", "key river bank", "fox dog tree"]
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder(64))
        passages = [{"id": number, "text": f"{text} {number}"} for number, text in enumerate(texts)]
        docs.indexer(progress=False).add(passages)
        relevance = [hit.id for hit in docs.retriever(limit=4).run("key lock door").hits]
        same = docs.retriever(limit=4, mmr=Mmr(diversity=0.0)).run("key lock door").hits
        assert sorted(hit.id for hit in same) == sorted(relevance)
        apart = docs.retriever(limit=4, mmr=Mmr(diversity=0.9)).run("key lock door").hits
        assert len({hit.text[:-2] for hit in apart}) > len({hit.text[:-2] for hit in same})
        assert apart[0].stages["diversity"].rank == 1


def test_diversity_follows_a_fusion_and_measures_by_the_source_that_is_named(edge_docs, local_docs):
    settings_ = {"limit": 6, "mmr": Mmr(diversity=0.4, candidates=30, source="dense"), "depth": 30}
    ours, theirs = (docs.retriever(**settings_).run("key house tree") for docs in (edge_docs, local_docs))
    assert len(ours.hits) == 6
    assert [hit.id for hit in ours.hits][:1] == [hit.id for hit in theirs.hits][:1]


@pytest.mark.parametrize("shape", [{}, {"rescore": "late"}, {"sources": ("dense",)}])
@pytest.mark.parametrize("size", [1, 2])
def test_groups_show_each_document_so_often_and_best_first(edge_docs, local_docs, shape, size):
    search = edge_docs.retriever(limit=4, group=GroupBy("source", hits=size), **shape)
    hits = search.run("key lock house").hits
    by_source = {}
    for hit in hits:
        by_source.setdefault(hit.source, []).append(hit.score)
    assert len(by_source) == 4
    assert all(
        len(scores) <= size and scores == sorted(scores, reverse=True) for scores in by_source.values()
    )
    best = [scores[0] for scores in by_source.values()]
    assert best == sorted(best, reverse=True)
    rest = search.run("key lock house", offset=4).hits
    assert not {hit.source for hit in rest} & set(by_source)
    theirs = local_docs.retriever(limit=4, group=GroupBy("source", hits=size), **shape).run("key lock house")
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in theirs.hits], abs=1e-4)


@pytest.mark.parametrize("shape", [{"fusion": Rrf()}, {"rescore": "late"}, {"sources": ("dense",)}])
@pytest.mark.parametrize("size", [1, 2])
def test_pages_of_groups_never_show_a_document_twice(edge_docs, local_docs, shape, size):
    for docs in (edge_docs, local_docs):
        search = docs.retriever(limit=1, group=GroupBy("source", hits=size), depth=3, **shape)
        pages = [search.run("key lock", offset=offset).hits for offset in range(8)]
        shown = [{hit.source for hit in page} for page in pages if page]
        assert [len(sources) for sources in shown] == [1] * 7
        assert len(set().union(*shown)) == 7


def test_a_document_in_several_groups_is_shown_in_each():
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder())
        passages = [
            {"id": 1, "text": "key", "tags": ["a", "b"]},
            {"id": 2, "text": "key lock", "tags": ["a"]},
        ]
        docs.indexer(progress=False).add(passages)
        hits = docs.retriever(group=GroupBy("tags", hits=2)).run("key").hits
        assert [hit.id for hit in hits] == [1, 2, 1]


def test_diversity_has_as_many_candidates_as_a_page_has_hits(edge_docs):
    hits = edge_docs.retriever(fusion=Rrf(), mmr=Mmr(0.5), depth=5, limit=20).run("key lock").hits
    assert len(hits) == 20


def test_pages_of_diversity_make_up_one_order(edge_docs):
    search = edge_docs.retriever(fusion=Rrf(), mmr=Mmr(0.6, candidates=30), depth=10, limit=5)
    pages = [hit.id for offset in range(0, 40, 5) for hit in search.run("key lock", offset=offset).hits]
    assert len(pages) == len(set(pages)) >= 10


# ---- explanation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [{}, {"fusion": Rrf()}, {"rescore": "late"}, {"sources": ("sparse",)}])
def test_explain_shows_the_terms_that_matched(edge_docs, shape):
    hits = edge_docs.retriever(explain=True, limit=5, **shape).run("foxes and rivers").hits
    matched = [hit for hit in hits if "sparse" in hit.stages]
    assert matched
    for hit in matched:
        terms = hit.stages["sparse"].terms
        assert set(terms) <= {"foxes", "rivers"}
        assert ("foxes" in terms) == ("fox" in hit.text.split())
        assert list(terms.values()) == sorted(terms.values(), reverse=True)
        assert all(weight > 0 for weight in terms.values())


@pytest.mark.parametrize(
    "shape", [{"fusion": Rrf(), "group": GroupBy("source")}, {"sources": ("dense",), "rescore": "sparse"}]
)
def test_explain_shows_terms_in_groups_and_of_the_source_that_rescores(edge_docs, local_docs, shape):
    for docs in (edge_docs, local_docs):
        hit = docs.retriever(explain=True, limit=3, **shape).run("key lock").hits[0]
        assert {"key", "lock"} & set(hit.stages["sparse"].terms)


def test_a_query_without_words_for_the_source_that_rescores_says_so(edge_docs):
    result = edge_docs.retriever(sources=("dense",), rescore="sparse").run("the of and")
    assert "sparse" in {each.stage for each in result.degraded}


# ---- feedback ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Rocchio(), Rocchio(gamma=0.2), Average(), QdrantFeedback()])
@pytest.mark.parametrize("sources", [("dense",), ("sparse",), ("dense", "sparse")])
def test_feedback_searches_again_the_same_way_on_every_engine(edge_docs, local_docs, method, sources):
    found = []
    for docs in (edge_docs, local_docs):
        first = docs.retriever(limit=12, sources=sources, fusion=Convex() if len(sources) > 1 else None)
        search = first >> Feedback(docs.retriever(limit=6, sources=sources), method)
        result = search.run("key lock")
        assert not result.degraded
        assert all(hit.stages["feedback"].rank == rank for rank, hit in enumerate(result.hits, 1))
        assert [hit.id for hit in asyncio.run(search.arun("key lock")).hits] == [h.id for h in result.hits]
        found.append(result)
    agree(*found)


@pytest.mark.parametrize("engine", [EdgeClient, QdrantClient])
def test_relevance_feedback_over_distances_ranks_the_nearest_first(engine):
    client = engine(":memory:")
    docs = fill(client, distance=models.Distance.EUCLID)
    again = docs.retriever(sources=("dense",), limit=10)
    found = (again >> Feedback(again, QdrantFeedback())).run("key lock")
    assert not found.degraded
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    first = {hit.id for hit in again.run("key lock").hits[:5]}
    assert len(first & {hit.id for hit in found.hits[:5]}) >= 3
    client.close()


def test_steps_in_qdrant_refuse_a_fusion_of_distances_that_it_does_the_wrong_way_round():
    with EdgeClient(":memory:") as client:
        docs = fill(client, distance=models.Distance.EUCLID)
        two = {"sources": ("dense", "sparse"), "fusion": Dbsf()}
        for step in ({"group": GroupBy("source")}, {"mmr": Mmr()}):
            with pytest.raises(ConfigurationError, match="distances"):
                docs.retriever(**two, **step)


def test_a_share_of_distances_is_refused_where_a_source_rescores_by_them():
    with EdgeClient(":memory:") as client:
        docs = fill(client, distance=models.Distance.EUCLID)
        search = docs.retriever(sources=("sparse",), rescore="dense")
        with pytest.raises(ConfigurationError, match="'dense'"):
            Feedback(search, share=0.5)


def test_diversity_measures_by_the_question_of_a_relevance_feedback_query(edge_docs):
    search = edge_docs.retriever(sources=("dense",), limit=5, mmr=Mmr(0.5))
    found = (search >> Feedback(search, QdrantFeedback())).run("key lock")
    assert len(found.hits) == 5
    assert not found.degraded


@pytest.mark.parametrize("engine", [EdgeClient, QdrantClient])
def test_feedback_is_moved_by_no_hit_of_another_tenant_or_without_a_point(engine):
    client = engine(":memory:")
    docs = Collection.create(client, "docs", dense=HashEncoder(), tenant="team")
    docs.indexer(progress=False).add(["key lock", "key garden", "house river"], tenant="a")
    docs.indexer(progress=False).add(["fox dog", "fox tree"], tenant="b")
    search = docs.retriever()
    foreign = search.run("fox", tenant="b").hits
    strange = FunctionStage(lambda state: state.with_hits([*foreign, Hit(Passage("fox"), 0.1)]))
    moved = (strange >> Feedback(search)).run("key", tenant="a")
    assert not moved.degraded
    plain = search.run("key", tenant="a")
    assert [(hit.id, hit.score) for hit in moved.hits] == [(hit.id, hit.score) for hit in plain.hits]
    client.close()


@pytest.mark.parametrize("scope", ["fused", "source"])
def test_pages_after_feedback_never_show_a_passage_twice(edge_docs, scope):
    first, again = (edge_docs.retriever(limit=5, explain=each) for each in (True, False))
    search = first >> Feedback(again, scope=scope)
    pages = [hit.id for offset in range(0, 40, 5) for hit in search.run("key lock", offset=offset).hits]
    assert len(pages) == len(set(pages)) == 40
    whole = [hit.id for hit in (first >> Feedback(again, scope=scope)).run("key lock").hits]
    assert pages[:5] == whole


def test_the_ranks_of_a_later_page_after_feedback_go_on(edge_docs):
    search = edge_docs.retriever(limit=4)
    hits = (search >> Feedback(search)).run("key lock", offset=8).hits
    assert [hit.stages["feedback"].rank for hit in hits] == [9, 10, 11, 12]


def test_rocchio_asks_with_the_mixture_it_promises(edge_docs):
    encoder = edge_docs.sources["dense"].encoder
    dense = edge_docs.retriever(sources=("dense",), limit=5)
    first = dense.run("key lock")
    vectors = [np.array(encoder.encode_document([hit.text])[0]) for hit in first.hits[:2]]
    query = 0.4 * np.array(encoder.encode_query(["key lock"])[0]) + 0.6 * np.mean(vectors, axis=0)
    wanted = dense.run(Query("key lock", vectors={"dense": query.tolist()}))
    found = (dense >> Feedback(dense, Rocchio(depth=2))).run("key lock")
    assert [hit.id for hit in found.hits] == [hit.id for hit in wanted.hits]


def test_feedback_by_source_uses_each_sources_own_best(edge_docs):
    first = edge_docs.retriever(limit=20, sources=("dense", "sparse"))
    again = edge_docs.retriever(limit=5, sources=("dense", "sparse"))
    by_source = (first >> Feedback(again, Average(), scope="source")).run("key fox cloud")
    fused = (first >> Feedback(again, Average())).run("key fox cloud")
    assert not by_source.degraded
    assert [hit.id for hit in by_source.hits] != [hit.id for hit in fused.hits]
    unexplained = edge_docs.retriever(limit=20, sources=("dense", "sparse"), fusion=Rrf())
    with pytest.raises(ConfigurationError, match="explain=True"):
        (unexplained >> Feedback(again, Average(), scope="source")).run("key fox cloud")


def test_a_share_of_nothing_keeps_the_first_ranking(edge_docs):
    first = edge_docs.retriever(limit=8, sources=("dense", "sparse"))
    kept = (first >> Feedback(first, Rocchio(), share=0.0)).run("key fox")
    assert [hit.id for hit in kept.hits] == [hit.id for hit in first.run("key fox").hits]


def test_feedback_without_hits_stays_without(edge_docs):
    search = edge_docs.retriever(sources=("sparse",)) >> Feedback(edge_docs.retriever())
    assert search.run("zebra").hits == ()


# ---- compression -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scalar", "binary", "product", "turbo"])
def test_a_compressed_collection_is_searched_with_rescoring_unless_told_otherwise(name):
    with EdgeClient(":memory:") as client:
        docs = Collection.create(
            client, "docs", dense=HashEncoder(32), late=HashLateEncoder(8), quantization=name
        )
        docs.indexer(progress=False).add(corpus(30))
        opened = Collection.open(client, "docs", dense=HashEncoder(32), late=HashLateEncoder(8))
        assert opened.profile.dense["dense"].compression == name
        assert opened.profile.dense["late"].compression is None
        whole = {hit.id: hit.score for hit in exact(opened).run("key lock").hits}
        found = opened.retriever(sources=("dense",), limit=5).run("key lock").hits
        assert [hit.score for hit in found] == pytest.approx([whole[hit.id] for hit in found], abs=1e-4)
        params = search_params(name)
        assert params.quantization.rescore
        assert params.quantization.oversampling >= 1


def exact(docs):
    ignoring = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
    return docs.retriever(sources=("dense",), limit=30, params=ignoring)


def test_storage_of_token_vectors_is_the_encoders_choice():
    class Small(HashLateEncoder):
        storage = "float16"

    class Tiny(HashLateEncoder):
        storage = "binary"

    with EdgeClient(":memory:") as client:
        for name, late in (("small", Small()), ("tiny", Tiny())):
            docs = Collection.create(client, name, sparse=Bm25Encoder(), late=late)
            docs.indexer(progress=False).add(corpus(20))
            assert docs.retriever(rescore="late").run("key lock").hits
        stored = {
            name: client.get_collection(name).config.params.vectors["late"] for name in ("small", "tiny")
        }
        assert stored["small"].datatype is models.Datatype.FLOAT16
        assert stored["tiny"].quantization_config is not None
        assert all(each.hnsw_config.m == 0 for each in stored.values())


def test_muvera_and_its_token_vectors_read_every_text_once_also_when_opened_again():
    class Counted(HashLateEncoder):
        def __init__(self, dimensions=16):
            super().__init__(dimensions)
            self.batches = []

        def encode_document(self, texts):
            self.batches.append(tuple(texts))
            return super().encode_document(texts)

    shape = {"k_sim": 2, "dim_proj": 4, "repetitions": 4}
    with EdgeClient(":memory:") as client:
        for make in (Collection.create, Collection.open):
            late = Counted()
            docs = make(client, "docs", late=late, sources={"muvera": MuveraEncoder(late, **shape)})
            texts = [{"text": f"key lock {make.__name__} {number}"} for number in range(40)]
            docs.indexer(progress=False).add(texts)
            read = [text for batch in late.batches for text in batch if text != "Hydrant"]
            assert len(read) == len(set(read)) == 40
            assert docs.retriever(sources=["muvera"], rescore="late").run("key lock").hits
        other = MuveraEncoder(Counted(), **shape, seed=7)
        with pytest.raises(EncoderMismatch, match="seed"):
            Collection.open(client, "docs", late=Counted(), sources={"muvera": other})


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "error", "words"),
    [
        ({"rescore": "colbert"}, ConfigurationError, "'late'"),
        ({"rescore": "late", "sources": ("late",)}, ConfigurationError, "rescore='late'"),
        ({"sources": ("splade",)}, ConfigurationError, "has the sources"),
        ({"boosts": (BOOSTS[0],), "fusion": Convex()}, ConfigurationError, "Rrf"),
        ({"mmr": Mmr(source="late")}, ConfigurationError, "'dense'"),
        ({"mmr": 0.3}, ConfigurationError, "Mmr"),
        ({"group": "source"}, ConfigurationError, "GroupBy"),
        ({"boosts": ("date",)}, ConfigurationError, "boosts must be"),
        ({"boosts": "date"}, ConfigurationError, "sequence"),
        ({"depth": {"splade": 10}}, ConfigurationError, "splade"),
        ({"depth": {"dense": 0}}, InputError, "depth of 'dense'"),
        ({"thresholds": {"fusion": 1.0}, "rescore": "late"}, ConfigurationError, "thresholds may name"),
        ({"fusion": Rrf(weights={"splade": 1.0})}, ConfigurationError, "splade"),
        ({"params": {"exact": True}}, ConfigurationError, "SearchParams"),
        ({"boosts": BOOSTS[0]}, ConfigurationError, "boosts must be a sequence"),
        ({"sources": None}, ConfigurationError, "sources must be a sequence"),
        ({"sources": (["dense"],)}, ConfigurationError, "has the sources"),
        ({"rescore": ["late"]}, ConfigurationError, "has the sources"),
        ({"thresholds": {1: 0.5, "splade": 0.5}}, ConfigurationError, "thresholds may name"),
        (
            {"params": models.SearchParams(quantization=models.QuantizationSearchParams(oversampling=0.5))},
            ConfigurationError,
            "oversampling must be at least 1",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_a_search(edge_docs, settings_, error, words):
    with pytest.raises(error, match=words):
        edge_docs.retriever(**settings_)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Mmr(diversity=1.5), "diversity"),
        (lambda: Mmr(candidates=0), "candidates"),
        (lambda: GroupBy(""), "field"),
        (lambda: GroupBy("a", hits=0), "hits"),
        (lambda: Recency("date", dt.timedelta(0)), "half_life"),
        (lambda: Recency("date", 30), "half_life"),
        (lambda: Recency("date", dt.timedelta(1), now="2026-01-01"), "now of Recency"),
        (lambda: Recency(None, dt.timedelta(1)), "field of Recency"),
        (lambda: Popularity("", half=1), "field of Popularity"),
        (lambda: Popularity("views", half=0), "half"),
        (lambda: Popularity("views", half=1, weight=-1), "weight"),
        (lambda: Rocchio(alpha=0, beta=0), "alpha and beta"),
        (lambda: Rocchio(depth=0), "depth"),
        (lambda: Rocchio(terms=0), "terms of Rocchio"),
        (lambda: Average(terms="all"), "terms of Average"),
        (lambda: Average(depth=-1), "depth"),
        (lambda: QdrantFeedback(a=-1), "a of QdrantFeedback"),
    ],
)
def test_numbers_that_cannot_work_are_refused_at_once(make, words):
    with pytest.raises((ConfigurationError, InputError), match=words):
        make()


@pytest.mark.parametrize("vector", [[], [[0.0] * 3], "text", [[float("nan")] * 24]])
def test_query_vectors_of_a_late_source_are_checked(edge_docs, vector):
    search = edge_docs.retriever(sources=("late",))
    with pytest.raises(VectorMismatch, match="late"):
        search.run(Query("key", vectors={"late": vector}))


def relevance_feedback(target, example):
    strategy = models.NaiveFeedbackStrategy(naive=models.NaiveFeedbackStrategyParams(a=0.5, b=1.0, c=0.5))
    items = [models.FeedbackItem(example=example, score=1.0)]
    asked = models.RelevanceFeedbackInput(target=target, feedback=items, strategy=strategy)
    return models.RelevanceFeedbackQuery(relevance_feedback=asked)


@pytest.mark.parametrize("points", [(1, [0.1] * 64), ([0.1] * 64, 1)])
def test_a_relevance_feedback_query_may_name_no_point_where_there_are_tenants(points):
    with EdgeClient(":memory:") as client:
        docs = Collection.create(client, "docs", dense=HashEncoder(), tenant="team")
        query = Query("key", tenant="a", vectors={"dense": relevance_feedback(*points)})
        with pytest.raises(InputError, match="got the point 1"):
            docs.retriever().run(query)


@pytest.mark.parametrize("source", ["dense", "sparse", "late"])
def test_the_target_of_a_relevance_feedback_query_must_fit_its_source(edge_docs, source):
    query = Query("key", vectors={source: relevance_feedback([0.1] * 7, [0.1] * 7)})
    with pytest.raises(VectorMismatch, match=source):
        edge_docs.retriever().run(query)


def test_query_vectors_that_are_no_mapping_are_refused(edge_docs):
    with pytest.raises(InputError, match="mapping"):
        edge_docs.retriever().run(Query("key", vectors=None))


def test_a_number_too_large_for_a_float_is_no_query_vector(edge_docs):
    with pytest.raises(VectorMismatch, match="dense"):
        edge_docs.retriever().run(Query("key", vectors={"dense": [10**400] * 32}))


def test_a_retriever_with_boosts_by_filter_can_be_a_key(edge_docs):
    search = edge_docs.retriever(fusion=Rrf(), boosts=BOOSTS)
    assert {search: 1}[edge_docs.retriever(fusion=Rrf(), boosts=BOOSTS)] == 1


def test_an_unknown_compression_is_named_with_those_there_are():
    with EdgeClient(":memory:") as client, pytest.raises(ConfigurationError, match="'scalar', 'binary'"):
        Collection.create(client, "docs", dense=HashEncoder(), quantization="zip")


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"late": HashEncoder()}, "late must be an encoder of multi vectors"),
        ({"dense": HashLateEncoder()}, "dense must be an encoder of dense vectors"),
        ({"sources": {"fusion": HashEncoder()}}, "name stages"),
        ({"sources": {"feedback": HashEncoder()}}, "name stages"),
        ({"dense": HashEncoder(), "sources": {"dense": HashEncoder()}}, "again"),
        ({"sources": [HashEncoder()]}, "must map names"),
    ],
)
def test_sources_that_cannot_be_are_refused(given_, words):
    with EdgeClient(":memory:") as client, pytest.raises(ConfigurationError, match=words):
        Collection.create(client, "docs", **given_)


@settings(max_examples=20)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5), st.integers(1, 12), st.integers(0, 20))
def test_any_question_pages_alike_with_rescoring_and_boosts(edge_docs, words, limit, offset):
    search = edge_docs.retriever(rescore="late", boosts=BOOSTS, depth=20)
    whole = search.run(" ".join(words), limit=limit, offset=offset).hits
    again = search.run(" ".join(words), limit=limit, offset=offset).hits
    assert [hit.id for hit in whole] == [hit.id for hit in again]
    assert len({hit.id for hit in whole}) == len(whole)
