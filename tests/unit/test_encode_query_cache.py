"""The vectors of the last queries: the same as without a cache, and never another caller's to change."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from hydrant import DenseEncoder, LateEncoder, SparseEncoder
from hydrant.encode.query_cache import QueryCache
from hydrant.errors import ConfigurationError


class Counting:
    """Encodes a text as its length, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked.append(list(texts))
        return [[float(len(text)), 1.0] for text in texts]


class Model:
    dimensions = 2

    def __init__(self):
        self.queries = Counting()

    def encode_query(self, texts):
        return self.queries(texts)

    def encode_document(self, texts):
        return [[float(len(text)), 2.0] for text in texts]


def test_query_asked_again_is_not_encoded_again():
    cache, encode = QueryCache(8), Counting()
    assert cache.through(["keys", "locks"], encode) == [[4.0, 1.0], [5.0, 1.0]]
    assert cache.through(["locks", "doors!", "keys", "locks"], encode) == [
        [5.0, 1.0],
        [6.0, 1.0],
        [4.0, 1.0],
        [5.0, 1.0],
    ]
    assert encode.asked == [["keys", "locks"], ["doors!"]]


def test_longest_unused_queries_go_first():
    cache, encode = QueryCache(2), Counting()
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        cache.through([text], encode)
    assert encode.asked == [["a"], ["bb"], ["ccc"], ["bb"]]
    assert len(cache) == 2


def test_size_of_nothing_keeps_nothing():
    cache, encode = QueryCache(0), Counting()
    cache.through(["a"], encode)
    cache.through(["a", "a"], encode)
    assert encode.asked == [["a"], ["a", "a"]]
    assert len(cache) == 0


@pytest.mark.parametrize("size", [-1, 1.5, True, "8", None])
def test_size_that_is_no_number_of_queries_is_refused(size):
    with pytest.raises(ConfigurationError, match="query_cache must be a whole number"):
        DenseEncoder("some/model", query_cache=size)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [1.0, 2.0],
        lambda: [[1.0, 2.0], [3.0, 4.0]],
        lambda: models.SparseVector(indices=[1, 2], values=[0.5, 0.25]),
        lambda: np.array([1.0, 2.0], dtype=np.float32),
    ],
    ids=["dense", "several rows", "sparse", "array"],
)
def test_caller_that_spoils_its_vector_spoils_nobody_elses(make):
    def spoil(vector):
        if isinstance(vector, models.SparseVector):
            vector.indices[0] = 99
            vector.values.clear()
        elif isinstance(vector, list) and isinstance(vector[0], list):
            vector[0][0] = 99.0
            vector.pop()
        else:
            vector[0] = 99.0

    cache = QueryCache(4)
    for _ in range(3):
        (vector,) = cache.through(["a"], lambda texts: [make()])
        assert np.array_equal(vector, make()) if isinstance(vector, np.ndarray) else vector == make()
        spoil(vector)
    first, second = cache.through(["a", "a"], lambda texts: [make()])
    assert first is not second


def test_error_is_not_remembered():
    def refuse(texts):
        raise OSError("busy")

    cache, encode = QueryCache(4), Counting()
    with pytest.raises(OSError, match="busy"):
        cache.through(["a"], refuse)
    assert cache.through(["a"], encode) == [[1.0, 1.0]]


def test_document_in_disguise_is_encoded_and_not_kept():
    cache, encode = QueryCache(4), Counting()
    cache.through(["x" * 5000, "short"], encode)
    assert len(cache) == 1


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=5), max_size=12), st.integers(0, 4))
def test_answers_are_those_without_a_cache_and_the_bound_holds(calls, size):
    cache, encode = QueryCache(size), Counting()
    for texts in calls:
        words = [letter * (ord(letter) - 96) for letter in texts]
        assert cache.through(words, encode) == Counting()(words)
        assert len(cache) <= size


def test_many_threads_get_their_own_answers():
    cache, encode = QueryCache(16), Counting()
    barrier = threading.Barrier(8)

    def ask(seed):
        barrier.wait()
        rng = np.random.default_rng(seed)
        for _ in range(200):
            texts = ["x" * int(number) for number in rng.integers(1, 40, size=3)]
            assert cache.through(texts, encode) == [[float(len(text)), 1.0] for text in texts]
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
    assert len(cache) == 16


def test_pickled_cache_is_empty_and_works():
    cache, encode = QueryCache(4), Counting()
    cache.through(["a"], encode)
    again = pickle.loads(pickle.dumps(cache))
    assert len(again) == 0
    assert again.through(["a"], encode) == [[1.0, 1.0]]


def test_dense_encoder_asks_its_model_once_for_a_query_and_documents_stay_apart():
    model = Model()
    encoder = DenseEncoder(model)
    first = encoder.encode_query(["keys"])
    first[0][0] = 99.0
    assert encoder.encode_query(["keys"]) == [[4.0, 1.0]]
    assert encoder.encode_document(["keys"]).tolist() == [[4.0, 2.0]]
    assert model.queries.asked == [["keys"]]
    encoder.close()
    encoder.encode_query(["keys"])
    assert model.queries.asked == [["keys"], ["keys"]]


def test_dense_encoder_without_a_cache_asks_every_time():
    model = Model()
    encoder = DenseEncoder(model, query_cache=0)
    encoder.encode_query(["keys"])
    encoder.encode_query(["keys"])
    assert model.queries.asked == [["keys"], ["keys"]]


class Words:
    """A sparse weight, and a vector, for every word; remembers what it was asked."""

    def __init__(self, *, sparse):
        self._sparse = sparse
        self.asked = []

    def encode_query(self, texts):
        self.asked += texts
        return self.encode_document(texts)

    def encode_document(self, texts):
        if self._sparse:
            return [{len(word): 1.0 for word in text.split()} for text in texts]
        return [[[float(len(word)), 1.0] for word in text.split()] for text in texts]


@pytest.mark.parametrize(("kind", "sparse"), [(SparseEncoder, True), (LateEncoder, False)])
def test_sparse_and_late_encoders_keep_their_last_queries_too(kind, sparse):
    model = Words(sparse=sparse)
    encoder = kind(model, query_cache=2)
    encoder.warm_up()
    model.asked.clear()
    first = encoder.encode_query(["a door", "keys"])
    assert encoder.encode_query(["keys", "a door"]) == first[::-1]
    assert model.asked == ["a door", "keys"]
    changed = encoder.encode_query(["keys"])[0]
    (changed.values if sparse else changed).clear()
    assert encoder.encode_query(["keys"]) == first[1:]
    assert len(encoder.adopt(encoder.record())._queries) == 0
    encoder.encode_query(["ten more"])
    encoder.encode_query(["a door"])
    assert model.asked == ["a door", "keys", "ten more", "a door"]
    with pytest.raises(ConfigurationError, match="query_cache must be a whole number"):
        kind(model, query_cache=-1)
