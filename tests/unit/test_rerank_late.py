"""Token vectors, whole vectors and blends: what is read from a collection, what is encoded, and how it is compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import (
    BiEncoderReranker,
    Blend,
    Collection,
    Hit,
    LateInteractionReranker,
    Passage,
    Ranking,
    Reranker,
)
from hydrant.errors import ConfigurationError
from hydrant.rerank import maxsim as module
from hydrant.rerank.maxsim import maxsim
from hydrant.testing import FunctionStage, HashEncoder, HashLateEncoder

TEXTS = ("whales sing at night", "keys are rotated", "rotate the keys each month", "bread needs salt")


def found(hits):
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def plain(texts=TEXTS):
    return [Hit(Passage(text), 1 - at / 10, {}, at + 1) for at, text in enumerate(texts)]


class Counting(HashLateEncoder):
    def __init__(self):
        super().__init__()
        self.documents = 0

    def encode_document(self, texts):
        self.documents += len(texts)
        return super().encode_document(texts)


# ---- MaxSim ------------------------------------------------------------------------------------------------------


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    query=st.integers(1, 5),
    at_once=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_maxsim_is_the_sum_of_the_best_similarities(lengths, query, at_once, seed, monkeypatch):
    random = np.random.default_rng(seed)
    asked = random.normal(size=(query, 4)).astype(np.float32)
    documents = [random.normal(size=(length, 4)).astype(np.float32) for length in lengths]
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", at_once)
    expected = [(asked @ document.T).max(axis=1).sum() for document in documents]
    assert maxsim(asked, documents) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_maxsim_of_no_documents_is_empty():
    assert maxsim(np.ones((2, 3), dtype=np.float32), []).size == 0


# ---- late interaction --------------------------------------------------------------------------------------------


@pytest.fixture
def docs(edge):
    made = Collection.create(edge, "docs", dense=HashEncoder(), late=Counting())
    made.indexer(progress=False).add([Passage(text, id=at + 1) for at, text in enumerate(TEXTS)])
    made.sources["late"].encoder.documents = 0
    return made


def test_stored_token_vectors_and_encoded_ones_give_the_same(docs):
    hits = docs.retriever(sources=["dense"]).run("how are keys rotated").hits
    stored = (found(hits) >> LateInteractionReranker(docs)).run("how are keys rotated")
    assert docs.sources["late"].encoder.documents == 0
    encoded = (found(hits) >> LateInteractionReranker(HashLateEncoder())).run("how are keys rotated")
    assert not stored.degraded
    assert [hit.id for hit in stored.hits] == [hit.id for hit in encoded.hits]
    assert [hit.score for hit in stored.hits] == pytest.approx([hit.score for hit in encoded.hits], abs=1e-5)


def test_it_ranks_as_the_retrievers_own_rescoring_does(docs):
    question = "how are keys rotated"
    within = docs.retriever(sources=["dense"], rescore="late").run(question).hits
    after = (docs.retriever(sources=["dense"]) >> LateInteractionReranker(docs)).run(question).hits
    assert [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in within] == [
        (hit.id, hit.score) for hit in after
    ]


def test_hits_from_elsewhere_are_encoded(docs):
    hits = [
        *docs.retriever(sources=["dense"]).run("keys").hits,
        Hit(Passage("all the keys rotate"), 0.0, {}, 77),
    ]
    result = (found(hits) >> LateInteractionReranker(docs)).run("all keys rotate")
    assert result.hits[0].text == "all the keys rotate"
    assert docs.sources["late"].encoder.documents == 1


@pytest.mark.parametrize("own", ["not a UUID", -1, 2**64, True])
def test_hits_of_other_systems_are_encoded_whatever_their_ids(docs, own):
    result = (
        found([Hit(Passage("all the keys rotate"), 0.0, {}, own)]) >> LateInteractionReranker(docs)
    ).run("keys")
    assert not result.degraded
    assert "late" in result.hits[0].stages


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
@pytest.mark.parametrize("name", ["edge", "local"])
def test_another_tenants_points_are_not_compared(name, request):
    client = request.getfixturevalue(name)
    late = Counting()
    docs = Collection.create(client, "docs", late=late, dense=HashEncoder(), tenant="owner")
    texts = ["keys rotate", "bread rises"]
    for tenant in ("acme", "zeta"):
        docs.indexer(progress=False).add(
            [Passage(text, id=at) for at, text in enumerate(texts)], tenant=tenant
        )
    theirs = docs.retriever(sources=["dense"]).run("keys", tenant="zeta").hits
    late.documents = docs.sources["late"].encoder.documents = 0
    result = (found(theirs) >> LateInteractionReranker(docs)).run("keys rotate", tenant="acme")
    assert not result.degraded
    # Their vectors are out of reach; what the caller handed in is encoded.
    assert len(result.hits) == 2
    assert docs.sources["late"].encoder.documents == 2


def test_small_vectors_are_passed_over_for_the_whole_ones(edge):
    late = HashLateEncoder()
    docs = Collection.create(
        edge, "docs", dense=HashEncoder(), sources={"tokens": late}, quantization="scalar"
    )
    docs.indexer(progress=False).add([Passage(text, id=at + 1) for at, text in enumerate(TEXTS)])
    hits = docs.retriever(sources=["dense"]).run("keys").hits
    stored = (found(hits) >> LateInteractionReranker(docs)).run("how are keys rotated")
    encoded = (found(hits) >> LateInteractionReranker(late)).run("how are keys rotated")
    assert not stored.degraded
    assert [hit.score for hit in stored.hits] == pytest.approx([hit.score for hit in encoded.hits], abs=1e-5)


def test_a_collection_without_token_vectors_is_refused(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    with pytest.raises(ConfigurationError, match=r"sources with token vectors \[\], and none was named"):
        LateInteractionReranker(docs)


def test_one_of_several_sources_must_be_named(edge):
    docs = Collection.create(edge, "docs", sources={"one": HashLateEncoder(), "two": HashLateEncoder(8)})
    with pytest.raises(ConfigurationError, match=r"\['one', 'two'\], and none was named"):
        LateInteractionReranker(docs)
    with pytest.raises(ConfigurationError, match="'three' is none of them"):
        LateInteractionReranker(docs, source="three")
    assert (found(plain()) >> LateInteractionReranker(docs, source="two")).run("keys").hits


def test_what_makes_no_token_vectors_is_refused():
    with pytest.raises(
        ConfigurationError, match="tokens must be an encoder of kind 'multi'; got HashEncoder"
    ):
        LateInteractionReranker(HashEncoder())
    with pytest.raises(ConfigurationError, match=r"tokens must be a Collection .* got 'docs'"):
        LateInteractionReranker("docs")
    with pytest.raises(ConfigurationError, match="source='late' is of a collection"):
        LateInteractionReranker(HashLateEncoder(), source="late")

    class Far(HashLateEncoder):
        distance = "Euclid"

    with pytest.raises(ConfigurationError, match="'Cosine' or 'Dot', of which more is better; got 'Euclid'"):
        LateInteractionReranker(Far())


def test_vectors_that_are_no_numbers_leave_the_order():
    class Odd(HashLateEncoder):
        def encode_document(self, texts):
            return [[[float("nan")] * 16] for _ in texts]

    result = (found(plain()) >> LateInteractionReranker(Odd(), top_n=2)).run("keys")
    assert [hit.point_id for hit in result.hits] == [1, 2]
    assert "NaN" in str(result.degraded[0])


# ---- bi-encoder --------------------------------------------------------------------------------------------------


def test_a_bi_encoder_ranks_by_the_cosine():
    encoder = HashEncoder()
    result = (found(plain()) >> BiEncoderReranker(encoder)).run("rotate keys")
    query = np.array(encoder.vector("rotate keys"))
    assert [hit.score for hit in result.hits] == pytest.approx(
        sorted((float(query @ np.array(encoder.vector(text))) for text in TEXTS), reverse=True), abs=1e-6
    )
    assert result.hits[0].text == "rotate the keys each month"


def test_a_bi_encoder_keeps_lengths_for_an_encoder_of_dot_products():
    class Long(HashEncoder):
        distance = "Dot"

        def encode_document(self, texts):
            return [[len(text) * value for value in self.vector(text)] for text in texts]

    scores = [
        hit.score
        for hit in (found(plain(["keys", "keys keys keys"])) >> BiEncoderReranker(Long())).run("keys").hits
    ]
    assert scores == pytest.approx([14.0, 4.0])


def test_a_bi_encoder_needs_dense_vectors():
    with pytest.raises(
        ConfigurationError, match="encoder must be an encoder of kind 'dense'; got HashLateEncoder"
    ):
        BiEncoderReranker(HashLateEncoder())


# ---- blends ------------------------------------------------------------------------------------------------------


class Fixed(Reranker):
    def __init__(self, scores, **settings):
        super().__init__(**settings)
        self.scores = scores

    def rank(self, query, hits):
        yield from ()
        return Ranking(self.scores)


def test_a_blend_is_the_mean_of_both_scaled_scores():
    hits = [Hit(Passage(str(at)), score, {}, at) for at, score in enumerate((10.0, 6.0, 0.0))]
    result = (found(hits) >> Blend(Fixed([-1.0, 3.0, 1.0]), 0.25)).run("q")
    assert [(hit.point_id, hit.score) for hit in result.hits] == [
        (0, 0.75),
        (1, pytest.approx(0.7)),
        (2, 0.125),
    ]


def test_a_blend_of_distances_takes_the_smallest_for_the_best():
    hits = [Hit(Passage(str(at)), score, {}, at) for at, score in enumerate((0.1, 0.5, 0.9))]
    assert [hit.point_id for hit in (found(hits) >> Blend(Fixed([0.0, 0.0, 0.0]), 0.5)).run("q").hits] == [
        0,
        1,
        2,
    ]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_the_ends_of_a_blend_are_its_parts(scores):
    hits = [Hit(Passage(str(at)), 1.0 - at, {}, at) for at in range(len(scores))]
    alone = [hit.point_id for hit in (found(hits) >> Fixed(scores)).run("q").hits]
    whole = [hit.point_id for hit in (found(hits) >> Blend(Fixed(scores), 1)).run("q").hits]
    none = [hit.point_id for hit in (found(hits) >> Blend(Fixed(scores), 0)).run("q").hits]
    if len({round(score, 6) for score in scores}) == len(scores):
        assert whole == alone
    assert none == list(range(len(scores)))


def test_a_blend_of_what_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="reranker must be a Reranker"):
        Blend(HashEncoder())
    with pytest.raises(ConfigurationError, match="share must be a number from 0"):
        Blend(Fixed([]), 1.5)
    assert Blend(LateInteractionReranker(HashLateEncoder())).name == "late"
