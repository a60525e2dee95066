"""What expansions make of the request: means, several vectors of a source, the best of them, and what fails softly."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from hydrant import (
    Bm25Encoder,
    Collection,
    Convex,
    Dbsf,
    EdgeClient,
    Feedback,
    GroupBy,
    Mmr,
    Popularity,
    Query,
    Rrf,
)
from hydrant.retrieve.expanding import EncodeExpansion, dense_mean
from hydrant.testing import HashEncoder, HashLateEncoder
from hydrant.types import Expansion

WORDS = ["key", "lock", "door", "house", "garden", "river", "bank", "fox", "dog", "tree"]
TEXTS = [
    f"{number} {WORDS[number % 10]} {WORDS[(number * 7 + 3) % 10]} {WORDS[(number * 3 + 1) % 9]}"
    for number in range(60)
]


class Sided(HashEncoder):
    """Another vector for a text as a document than as a query, and a longer one, so that neither is taken for the other.

    Vectors are noise from the text, so that no two scores are equal.
    """

    def vector(self, text):
        noise = np.random.default_rng(list(text.encode())).normal(size=self.dimensions)
        return (noise / np.linalg.norm(noise)).tolist()

    def encode_query(self, texts):
        return [self.vector(f"query {text}") for text in texts]

    def encode_document(self, texts):
        self.calls.append(("document", tuple(texts)))
        return [[3 * value for value in self.vector(f"passage {text}")] for text in texts]

    def record(self):
        return {"encoder": "sided", "dimensions": self.dimensions}


def fill(client, name="docs", **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        docs = Collection.create(
            client,
            name,
            **{"dense": Sided(32), "sparse": Bm25Encoder(), "fields": {"kind": "keyword", "size": "float"}}
            | given,
        )
    docs.indexer(progress=False).add(
        [
            {"id": number, "text": text, "kind": "odd" if number % 2 else "even", "size": number}
            for number, text in enumerate(TEXTS)
        ]
    )
    return docs


class Recording:
    """A client that remembers the search requests."""

    seen: list

    def query_batch_points(self, collection_name, requests, *args, **kwargs):
        self.seen.append(list(requests))
        return super().query_batch_points(collection_name, requests, *args, **kwargs)


class RecordingEdge(Recording, EdgeClient):
    def query_batch_scores(self, collection_name, requests, *args, **kwargs):
        self.seen.append(list(requests))
        return super().query_batch_scores(collection_name, requests, *args, **kwargs)


class RecordingLocal(Recording, QdrantClient):
    pass


@pytest.fixture(scope="module", params=[RecordingEdge, RecordingLocal])
def client(request):
    client = request.param(":memory:")
    client.seen = []
    yield client
    client.close()


@pytest.fixture(scope="module")
def docs(client):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fill(client)


@pytest.fixture
def requests(client, docs):
    """The search requests that go to Qdrant from now on."""
    client.seen.clear()
    return client.seen


def mean(*texts, weight=1.0, text="fox"):
    encoder = Sided(32)
    rows = np.array([encoder.encode_query([text])[0], *encoder.encode_document(list(texts))])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return (weight * rows[0] + rows[1:].sum(axis=0)) / (weight + len(texts))


def asked(text="fox", *expansions, **given):
    return Query(text, expansions=expansions, **given)


def hyde(*texts, **given):
    return Expansion("hyde", texts, role="document", **given)


def ids(result):
    return [hit.id for hit in result.hits]


def exact(docs, vector):
    """The ids in the order of a search with one vector."""
    return ids(
        docs.retriever(sources=("dense",), limit=60).run(
            Query("fox", vectors={"dense": list(map(float, vector))})
        )
    )


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 4.0])
def test_the_query_vector_is_the_mean_of_normalised_documents_and_the_weighted_query(docs, requests, weight):
    query = asked("fox", hyde("a river bank", "a dog", query_weight=weight))
    docs.retriever(sources=("dense",), limit=5).run(query)
    ((request,),) = requests
    assert request.query == pytest.approx(mean("a river bank", "a dog", weight=weight))


def test_without_cosine_nothing_is_normalised():
    with EdgeClient(":memory:") as client:
        docs = fill(client, distance=models.Distance.DOT)
        query = asked("fox", hyde("a dog"))
        encoder = Sided(32)
        own, other = encoder.encode_query(["fox"])[0], encoder.encode_document(["a dog"])[0]
        expected = (np.array(own) + np.array(other)) / 2
        seen = docs.retriever(sources=("dense",), limit=60).run(query)
        plain = docs.retriever(sources=("dense",), limit=60).run(
            Query("fox", vectors={"dense": expected.tolist()})
        )
        assert ids(seen) == ids(plain)


@given(
    st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=2, max_size=6),
    st.floats(0, 10),
    st.booleans(),
)
def test_a_mean_lies_within_what_it_is_of_and_does_not_depend_on_the_order(rows, weight, cosine):
    own, *others = rows
    value = dense_mean(own, others, weight, cosine=cosine)
    assert value == pytest.approx(dense_mean(own, others[::-1], weight, cosine=cosine))
    assert all(map(math.isfinite, value))
    assert np.linalg.norm(value) <= (1 if cosine else max(np.linalg.norm(rows, axis=1))) + 1e-9


def test_sparse_sources_and_the_text_are_left_alone_unless_asked_for(docs, requests):
    plain = docs.retriever(sources=("sparse",), limit=5)
    expected = plain.run("fox")
    result = plain.run(asked("fox", hyde("a river bank")))
    assert ids(result) == ids(expected)
    assert result.query.text == "fox"
    assert requests[0][0].query == requests[1][0].query


def test_sparse_expansions_keep_the_querys_terms_at_their_weight(docs, requests):
    retriever = docs.retriever(sources=("sparse",), limit=10)
    retriever.run("fox")
    plain = requests[0][0].query
    requests.clear()
    keywords = Expansion("keywords", ("dog tree", "dog"), kinds=("sparse",), mode="mean", query_weight=2.0)
    retriever.run(asked("fox", keywords))
    expanded = requests[0][0].query
    encoder = Bm25Encoder()
    own = dict(zip(plain.indices, plain.values, strict=True))
    terms = dict(zip(expanded.indices, expanded.values, strict=True))
    (dog,) = encoder.encode_query(["dog"])
    (tree,) = encoder.encode_query(["tree"])
    assert {index: terms[index] for index in own} == own
    assert terms[dog.indices[0]] == pytest.approx(dog.values[0] / 2)
    assert terms[tree.indices[0]] == pytest.approx(tree.values[0] / 4)
    assert len(terms) == 3


def test_fuse_ranks_by_each_text_and_stays_one_request(docs, requests):
    query = asked("fox", hyde("a river bank", "a dog", mode="fuse"))
    result = docs.retriever(limit=60, sources=("dense",)).run(query)
    assert len(requests) == 1
    (request,) = requests[0]
    assert [len(prefetch.query) for prefetch in request.prefetch] == [32, 32, 32]
    assert {prefetch.using for prefetch in request.prefetch} == {"dense"}
    encoder = Sided(32)
    vectors = [encoder.encode_query(["fox"])[0], *encoder.encode_document(["a river bank", "a dog"])]
    rankings = {
        str(number): [(each, 0.0) for each in exact(docs, vector)] for number, vector in enumerate(vectors)
    }
    expected = dict(Rrf().fuse(rankings))
    assert {hit.id: hit.score for hit in result.hits} == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("fusion", [None, Convex(), Rrf(), Rrf(weights={"dense": 2.0}), Dbsf()])
@pytest.mark.parametrize("mode", ["mean", "fuse", "max"])
def test_every_mode_goes_with_every_fusion_in_one_request(docs, requests, fusion, mode):
    query = asked("fox", hyde("a river bank", "a dog", mode=mode), filter={"kind": "odd"})
    result = docs.retriever(limit=7, fusion=fusion, explain=True).run(query)
    assert len(requests) == 1
    assert len(result.hits) == 7
    assert all(hit.metadata["kind"] == "odd" for hit in result.hits)
    assert all(set(hit.stages) <= {"dense", "sparse", "fusion"} for hit in result.hits)
    assert any("dense" in hit.stages for hit in result.hits)
    assert result.degraded == ()


def everything(request):
    """A request's filter and those of all its prefetches."""
    yield request.filter
    for prefetch in request.prefetch or ():
        yield from everything(prefetch)


@pytest.mark.parametrize("mode", ["mean", "fuse", "max"])
@pytest.mark.parametrize("fusion", [Rrf(), Convex()])
def test_the_filter_is_in_every_part_of_the_request(docs, requests, mode, fusion):
    query = asked("fox", hyde("a river bank", "a dog", mode=mode), filter={"kind": "odd"})
    docs.retriever(limit=3, fusion=fusion).run(query)
    assert all(each is not None for batch in requests for request in batch for each in everything(request))


def test_max_ranks_by_the_best_similarity_to_any_of_them(docs):
    query = asked("fox", hyde("a river bank", "a dog", mode="max"))
    result = docs.retriever(limit=20, sources=("dense",)).run(query)
    encoder = Sided(32)
    vectors = [encoder.encode_query(["fox"])[0], *encoder.encode_document(["a river bank", "a dog"])]
    stored = np.array(encoder.encode_document(TEXTS)) / 3
    best = (stored @ (np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)).T).max(axis=1)
    found = [best[hit.id] for hit in result.hits]
    assert found == pytest.approx(sorted(best, reverse=True)[:20], abs=1e-5)


def test_a_threshold_holds_for_the_best_similarity(docs):
    query = asked("fox", hyde("a river bank", "a dog", mode="max"))
    encoder = Sided(32)
    vectors = [encoder.encode_query(["fox"])[0], *encoder.encode_document(["a river bank", "a dog"])]
    stored = np.array(encoder.encode_document(TEXTS)) / 3
    best = (stored @ (np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)).T).max(axis=1)
    limit = float(np.sort(best)[29:31].mean())
    result = docs.retriever(limit=60, sources=("dense",), thresholds={"dense": limit}).run(query)
    assert set(ids(result)) == {number for number, value in enumerate(best) if value >= limit}


@pytest.mark.parametrize("mode", ["fuse", "max"])
@pytest.mark.parametrize("sources", [("dense",), ("dense", "sparse")])
def test_pages_of_an_expanded_query_follow_one_another(docs, mode, sources):
    query = asked("fox dog", hyde("a river bank", "a dog", mode=mode))
    retriever = docs.retriever(sources=sources, depth=10)
    paged = [
        each
        for offset in range(0, 24, 8)
        for each in ids(retriever.run(replace(query, limit=8, offset=offset)))
    ]
    assert len(set(paged)) == len(paged) == 24


def test_distances_are_no_scores_of_a_fused_source():
    with EdgeClient(":memory:") as client:
        docs = fill(client, distance=models.Distance.EUCLID)
        query = asked("fox", hyde("a river bank", "a dog", mode="fuse"))
        result = docs.retriever(sources=("dense",), limit=10).run(query)
        scores = [hit.score for hit in result.hits]
        assert scores == sorted(scores, reverse=True)
        best = result.hits[0].id
        assert docs.retriever(limit=10, fusion=Convex({"sparse": 0.0})).run(query).hits[0].id == best


def test_expansions_apply_one_after_the_other(docs, requests):
    first = hyde("a river bank")
    second = Expansion("more", ("a dog",), role="query", mode="fuse")
    docs.retriever(sources=("dense",), limit=5).run(asked("fox", first, second))
    (request,) = requests[0]
    own, other = (prefetch.query for prefetch in request.prefetch)
    assert own == pytest.approx(mean("a river bank"))
    assert other == pytest.approx(Sided(32).encode_query(["a dog"])[0])


def test_an_expansion_without_texts_changes_nothing(docs, requests):
    docs.retriever(limit=5).run("fox")
    docs.retriever(limit=5).run(asked("fox", Expansion("hyde", (), mode="none"), hyde()))
    assert [request.query for request in requests[0]] == [request.query for request in requests[1]]


def test_a_ready_vector_wins_over_expansions(docs, requests):
    vector = [1.0] * 32
    docs.retriever(sources=("dense",)).run(asked("fox", hyde("a dog"), vectors={"dense": vector}))
    assert requests[0][0].query == vector


@pytest.mark.parametrize("mode", ["mean", "fuse", "max"])
@pytest.mark.parametrize(
    "after",
    [
        {"boosts": [Popularity("size", half=10, weight=0.1)]},
        {"mmr": Mmr(diversity=0.5)},
        {"group": GroupBy("kind")},
    ],
)
def test_steps_after_the_fusion_go_on_from_an_expanded_query(docs, mode, after):
    query = asked("fox dog", hyde("a river bank", mode=mode))
    result = docs.retriever(limit=5, **after).run(query)
    assert len(result.hits) == (2 if "group" in after else 5)
    assert result.degraded == ()


def test_feedback_moves_the_expanded_query(docs, requests):
    retriever = docs.retriever(limit=5, sources=("dense",))
    (retriever >> Feedback(retriever)).run("fox")
    (retriever >> Feedback(retriever)).run(asked("fox", hyde("a river bank")))
    _, plain, _, expanded = (batch[0].query for batch in requests)
    assert plain != pytest.approx(expanded)


def test_what_rescores_goes_by_the_query_alone():
    with RecordingEdge(":memory:") as client:
        client.seen = []
        docs = Collection.create(client, "docs", dense=Sided(32), late=HashLateEncoder())
        docs.indexer(progress=False).add([{"id": number, "text": text} for number, text in enumerate(TEXTS)])
        retriever = docs.retriever(limit=5, rescore="late")
        rewrite = Expansion("multi-query", ("tree",), kinds=("dense", "multi"), mode="fuse")
        sent = []
        for query in ("fox", asked("fox", hyde("a dog")), asked("fox", rewrite)):
            client.seen.clear()
            assert len(retriever.run(query).hits) == 5
            sent.append(client.seen[0][0])
        plain, with_hypothesis, rewritten = sent
        assert with_hypothesis.query == rewritten.query == plain.query
        # What it ranks is found by the rewrite too.
        assert [len(prefetch.prefetch) for prefetch in rewritten.prefetch] == [2]


def test_late_interaction_as_a_source_is_asked_for_every_rewrite():
    with RecordingEdge(":memory:") as client:
        client.seen = []
        docs = Collection.create(client, "docs", dense=Sided(32), late=HashLateEncoder())
        docs.indexer(progress=False).add([{"id": number, "text": text} for number, text in enumerate(TEXTS)])
        rewrite = Expansion("multi-query", ("tree",), kinds=("dense", "multi"), mode="fuse")
        result = docs.retriever(limit=5, sources=("dense", "late"), fusion=Rrf()).run(asked("fox", rewrite))
        (request,) = client.seen[0]
        _, late = request.prefetch
        encoder = HashLateEncoder()
        assert [prefetch.query for prefetch in late.prefetch] == encoder.encode_query(["fox", "tree"])
        assert len(result.hits) == 5


# ---- faults ---------------------------------------------------------------------------------------------------------


class Fragile(Sided):
    """Cannot encode documents any more, once the index is made."""

    fault: object = None

    def encode_document(self, texts):
        if isinstance(self.fault, Exception):
            raise self.fault
        if self.fault == "nan":
            return [[math.nan] * self.dimensions for _ in texts]
        if self.fault == "slow":
            time.sleep(1.5)
        return super().encode_document(texts)


@pytest.mark.parametrize(
    ("fault", "said"), [(OSError("gone"), "gone"), ("nan", "not finite"), ("slow", "took more than")]
)
def test_hypotheses_that_cannot_be_encoded_cost_the_expansion_and_not_the_search(fault, said):
    with EdgeClient(":memory:") as client:
        encoder = Fragile(32)
        docs = fill(client, dense=encoder)
        expected = docs.retriever(limit=5).run("fox")
        encoder.fault = fault
        began = time.perf_counter()
        result = docs.retriever(limit=5).run(asked("fox", hyde("a dog")), deadline=1.0)
        assert time.perf_counter() - began < 1.0
        assert ids(result) == ids(expected)
        (degradation,) = result.degraded
        assert degradation.stage == "expansion"
        assert "'dense' is asked without the texts of 'hyde'" in degradation.reason
        assert said in degradation.reason


def test_hypotheses_that_were_encoded_lately_are_not_encoded_again():
    encoder = Sided(32)
    for texts in (("one", "two"), ("one", "two"), ("two", "three")):
        assert len(EncodeExpansion(encoder, texts, "document").call(None)) == 2
    assert [call[1] for call in encoder.calls] == [("one", "two"), ("three",)]
    other = Sided(32)
    EncodeExpansion(other, ("one",), "document").call(None)
    assert len(other.calls) == 1


def test_a_sparse_query_stays_bounded(docs, requests):
    text = " ".join(f"word{number}" for number in range(2000))
    docs.retriever(sources=("sparse",)).run(asked("fox", hyde(text, kinds=("sparse",))))
    query = requests[0][0].query
    assert isinstance(query, models.SparseVector)
    assert len(query.indices) == 256
    (fox,) = Bm25Encoder().encode_query(["fox"])
    assert fox.indices[0] in query.indices
