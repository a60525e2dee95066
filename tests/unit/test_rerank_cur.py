"""CUR: approximate scores of a cross-encoder, stored with a collection."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_models import SharedWords

from hydrant import Collection, CrossEncoderReranker, CurEncoder, CurReranker, Hit, Passage
from hydrant.encode.records import encoder_from_record
from hydrant.errors import ConfigurationError, EncoderMismatch
from hydrant.testing import FunctionStage, HashEncoder


class Product:
    """A model whose score is the product of two vectors of few dimensions: what CUR gives back exactly."""

    identity = "product"

    def __init__(self, rank=3):
        self._words = HashEncoder(rank)
        self.pairs = 0

    def score(self, pairs):
        self.pairs += len(pairs)
        return [
            float(np.dot(self._words.vector(query), self._words.vector(document)) * len(document))
            for query, document in pairs
        ]


QUERIES = [f"question about {word}" for word in ("keys", "bread", "whales", "salt", "night", "months")]
ITEMS = [f"{word} and {other}" for word in ("keys", "bread", "whales") for other in ("salt", "night")]
TEXTS = [
    f"{word} {other} number {at}"
    for at, (word, other) in enumerate([("keys", "night"), ("bread", "salt")] * 10)
]


@pytest.fixture
def docs(edge):
    made = Collection.create(
        edge, "docs", sources={"cur": CurEncoder(Product(), queries=QUERIES, items=ITEMS)}
    )
    made.indexer(progress=False).add([Passage(text, id=at + 1) for at, text in enumerate(TEXTS)])
    return made


def found(hits):
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def hits(texts=TEXTS):
    return [Hit(Passage(text), 0.0, {}, at + 1) for at, text in enumerate(texts)]


@given(rank=st.integers(1, 5), seed=st.integers(0, 9))
def test_scores_of_low_rank_come_back_exactly(rank, seed):
    model = Product(rank)
    encoder = CurEncoder(model, queries=QUERIES, items=ITEMS)
    queries, documents = [f"what of {seed} keys", "bread"], TEXTS[:5]
    about = np.array(encoder.encode_query(queries)) @ encoder.encode_document(documents).T
    exact = [model.score([(query, document) for document in documents]) for query in queries]
    anchors = np.array([model.score([(query, item) for item in ITEMS]) for query in QUERIES])
    if np.linalg.matrix_rank(anchors, tol=0.05) == rank:
        assert about == pytest.approx(np.array(exact), abs=0.05)


def test_a_query_costs_as_many_scores_as_there_are_anchor_items(docs):
    model = docs.sources["cur"].encoder._model
    model.pairs = 0
    result = (found(hits()) >> CurReranker(docs)).run("the keys at night")
    assert not result.degraded
    assert model.pairs == len(ITEMS)
    exact = (found(hits()) >> CrossEncoderReranker(Product())).run("the keys at night")
    assert [hit.score for hit in result.hits] == pytest.approx([hit.score for hit in exact.hits], abs=0.05)


def test_a_collection_can_be_searched_by_it(docs):
    model = Product()
    best = docs.retriever(sources=["cur"], limit=3).run("bread and salt").hits
    scores = sorted(model.score([("bread and salt", text) for text in TEXTS]), reverse=True)
    assert [hit.score for hit in best] == pytest.approx(scores[:3], abs=0.05)


def test_hits_without_a_stored_vector_are_scored_by_the_model(docs):
    strange = [*hits(TEXTS[:3]), Hit(Passage("keys keys keys at night, at night"), 0.0, {}, 999)]
    model = docs.sources["cur"].encoder._model
    model.pairs = 0
    result = (found(strange) >> CurReranker(docs)).run("keys night")
    assert model.pairs == len(ITEMS) + 1
    expected = Product().score([("keys night", strange[-1].text)])[0]
    assert {hit.point_id: hit.score for hit in result.hits}[999] == pytest.approx(expected)


def test_the_model_itself_ranks_the_best_of_it(docs):
    words = SharedWords()
    cascade = found(hits()) >> CurReranker(docs, top_n=5) >> CrossEncoderReranker(words, top_n=2)
    result = cascade.run("the keys at night")
    assert words.pairs == 5
    assert set(result.hits[0].stages) == {"cur", "rerank"}


def test_anchors_are_stored_with_the_collection_and_not_scored_again(edge, docs):
    model = Product()
    again = Collection.open(edge, "docs", sources={"cur": CurEncoder(model, queries=QUERIES, items=ITEMS)})
    (found(hits()) >> CurReranker(again)).run("keys")
    assert model.pairs == len(ITEMS)
    with pytest.raises(EncoderMismatch, match="differ in queries"):
        Collection.open(
            edge, "docs", sources={"cur": CurEncoder(Product(), queries=QUERIES[:4], items=ITEMS)}
        )
    # An object cannot be brought back from a record.
    with pytest.raises(ConfigurationError, match="which a record cannot bring back"):
        Collection.open(edge, "docs")


def test_a_record_of_a_named_model_brings_the_encoder_back_without_loading_it():
    record = {
        "encoder": "cur",
        "model": "cross-encoder/nobody-has-this",
        "scale": "logit",
        "label": None,
        "max_length": None,
        "windows": 1,
        "queries": ["a", "b"],
        "items": ["c", "d"],
        "block": "AACAPwAAAAAAAAAAAACAPw==",
    }
    encoder = encoder_from_record(json.loads(json.dumps(record)))
    assert isinstance(encoder, CurEncoder)
    assert encoder.dimensions == 2
    assert encoder.record() == record
    with pytest.raises(EncoderMismatch):
        encoder.adopt({**record, "items": ["c", "e"]})


def test_anchors_that_cannot_work_are_refused():
    for queries in (["one"], ["same", "same"], ["a", " "], "text"):
        with pytest.raises(ConfigurationError, match="queries must be"):
            CurEncoder(Product(), queries=queries, items=ITEMS)


def test_a_collection_without_it_is_refused(edge):
    docs = Collection.create(edge, "plain", dense=HashEncoder())
    with pytest.raises(ConfigurationError, match=r"sources with a CurEncoder \[\], and none was named"):
        CurReranker(docs)
    with pytest.raises(ConfigurationError, match=r"collection must be a Collection .* got 'plain'"):
        CurReranker("plain")
