"""The arithmetic of vector feedback, by hand and by its laws, for dense and sparse vectors."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from hydrant.errors import ConfigurationError, VectorMismatch
from hydrant.retrieve.feedback_math import average, rocchio


def sparse(weights):
    return models.SparseVector(indices=list(weights), values=list(weights.values()))


VALUES = st.floats(-10, 10).map(lambda value: round(value, 3))
DENSE = st.lists(VALUES, min_size=3, max_size=3)
POSITIVE = st.floats(0.001, 10).map(lambda value: round(value, 3))
SPARSE = st.dictionaries(st.integers(0, 9), POSITIVE, max_size=6).map(sparse)
FACTORS = st.floats(0, 3)


def weights(vector):
    return dict(zip(vector.indices, vector.values, strict=True))


def dense_of(vector):
    row = np.zeros(10)
    row[vector.indices] = vector.values
    return row


# ---- by hand -----------------------------------------------------------------------------------------------------


def test_average_is_the_mean_of_query_and_documents():
    assert average([1.0, 0.0], [[0.0, 1.0], [2.0, 5.0]]) == pytest.approx([1.0, 2.0])
    mean = average(sparse({1: 3.0}), [sparse({1: 1.0, 7: 2.0})])
    assert weights(mean) == pytest.approx({1: 2.0, 7: 1.0})


def test_rocchio_is_its_formula_with_the_published_factors():
    moved = rocchio([1.0, 0.0], [[0.0, 1.0], [0.0, 3.0]], [[2.0, 0.0]])
    assert moved == pytest.approx([0.4 - 0.15 * 2, 0.6 * 2])
    assert rocchio([1.0, 0.0], [[0.0, 1.0]], alpha=1, beta=0.5) == pytest.approx([1.0, 0.5])


def test_terms_below_zero_are_left_out():
    moved = rocchio(sparse({1: 1.0, 2: 0.1}), [sparse({3: 2.0})], [sparse({2: 4.0, 5: 1.0})])
    assert weights(moved) == pytest.approx({1: 0.4, 3: 1.2})


def test_only_the_heaviest_terms_are_kept_and_of_equal_ones_the_first():
    query, document = sparse({5: 1.0, 9: 0.2}), sparse({3: 1.0, 2: 0.6, 7: 0.6})
    assert weights(average(query, [document], top_terms=3)) == pytest.approx({2: 0.3, 3: 0.5, 5: 0.5})
    assert average(query, [document], top_terms=3).indices == [2, 3, 5]


def test_normalized_vectors_count_the_same_however_long_they_are():
    moved = average([100.0, 0.0], [[0.0, 0.01]], normalize=True)
    assert moved == pytest.approx([math.sqrt(0.5), math.sqrt(0.5)])
    moved = rocchio(sparse({1: 5.0}), [sparse({2: 0.1})], alpha=1, beta=1, normalize=True)
    assert weights(moved) == pytest.approx({1: math.sqrt(0.5), 2: math.sqrt(0.5)})


# ---- laws --------------------------------------------------------------------------------------------------------


@given(DENSE, st.lists(DENSE, max_size=4), st.lists(DENSE, max_size=4), FACTORS, FACTORS, FACTORS)
def test_dense_rocchio_is_numpys(query, positive, negative, alpha, beta, gamma):
    alpha += 0.1
    expected = alpha * np.array(query)
    if positive:
        expected = expected + beta * np.mean(positive, axis=0)
    if negative:
        expected = expected - gamma * np.mean(negative, axis=0)
    moved = rocchio(query, positive, negative, alpha=alpha, beta=beta, gamma=gamma)
    assert all(type(value) is float for value in moved)
    np.testing.assert_allclose(moved, expected, atol=1e-9)


@given(SPARSE, st.lists(SPARSE, max_size=4), st.lists(SPARSE, max_size=4), FACTORS, FACTORS, FACTORS)
def test_sparse_rocchio_is_the_dense_one_without_what_is_below_zero(
    query, positive, negative, alpha, beta, gamma
):
    factors = {"alpha": alpha + 0.1, "beta": beta, "gamma": gamma}
    moved = rocchio(query, positive, negative, **factors)
    plain = rocchio(dense_of(query), list(map(dense_of, positive)), list(map(dense_of, negative)), **factors)
    np.testing.assert_allclose(dense_of(moved), np.maximum(plain, 0), atol=1e-9)
    assert moved.indices == sorted(moved.indices)
    assert all(value > 0 for value in moved.values)


@given(DENSE, st.lists(DENSE, max_size=5), st.booleans())
def test_average_is_rocchio_with_the_query_as_one_of_all(query, documents, normalize):
    share = 1 / (1 + len(documents))
    same = rocchio(query, documents, alpha=share, beta=1 - share, normalize=normalize)
    np.testing.assert_allclose(average(query, documents, normalize=normalize), same, atol=1e-6)


@given(DENSE, st.lists(DENSE, max_size=4), st.randoms(use_true_random=False))
def test_order_of_the_documents_does_not_matter_and_nothing_is_changed(query, documents, rng):
    before = copy.deepcopy((query, documents))
    shuffled = list(documents)
    rng.shuffle(shuffled)
    np.testing.assert_allclose(average(query, shuffled), average(query, documents), atol=1e-9)
    assert (query, documents) == before


@given(DENSE, st.lists(DENSE, min_size=1, max_size=4))
def test_normalized_result_has_length_one(query, documents):
    length = np.linalg.norm(average(query, documents, normalize=True))
    assert length == pytest.approx(1) or length == 0


@given(SPARSE, st.lists(SPARSE, max_size=4), st.integers(1, 5))
def test_pruning_keeps_the_heaviest(query, documents, top_terms):
    whole, pruned = (weights(average(query, documents, top_terms=count)) for count in (None, top_terms))
    assert len(pruned) == min(top_terms, len(whole))
    assert pruned.items() <= whole.items()
    left_out = [value for index, value in whole.items() if index not in pruned]
    assert min(pruned.values(), default=0) >= max(left_out, default=0)


def test_without_feedback_the_query_stays_what_it_is():
    assert average([0.5, 2.0], []) == [0.5, 2.0]
    assert average(np.array([0.5, 2.0], np.float32), []) == [0.5, 2.0]
    assert rocchio([0.5, 2.0], [], alpha=1) == [0.5, 2.0]
    assert average(sparse({4: 2.0, 1: 1.0}), []) == sparse({1: 1.0, 4: 2.0})
    assert average(sparse({}), []) == sparse({})


# ---- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "documents", "message"),
    [
        ([1.0, 2.0], [[1.0]], "feedback document 1 has 1 dimensions, the query 2"),
        ([1.0, 2.0], [[1.0, 2.0], [1.0, math.nan]], "feedback document 2 has values that are not finite"),
        ([math.inf, 2.0], [], "the query's vector has values that are not finite"),
        ([1.0, 2.0], [sparse({1: 1.0})], "document 1 must be a list of numbers"),
        (
            sparse({1: 1.0}),
            [[1.0, 2.0]],
            "document 1 must be a models.SparseVector, as the query is; got list",
        ),
        ([[1.0, 2.0]], [], r"must be a list of numbers; got an array of shape \(1, 2\)"),
        ([], [], "must be a list of numbers"),
        ("keys", [], "must be a list of numbers"),
        (sparse({1: math.nan}), [], "not finite"),
        (models.SparseVector(indices=[1, 1], values=[1.0, 2.0]), [], "2 indices, 1 of them different"),
        (models.SparseVector(indices=[1], values=[1.0, 2.0]), [], "2 values and 1 indices"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_and_named(query, documents, message):
    with pytest.raises(VectorMismatch, match=message):
        average(query, documents)
    with pytest.raises(VectorMismatch, match=message):
        rocchio(query, documents)


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "1", True, None])
def test_factor_that_is_no_number_of_at_least_zero_is_refused(name, value):
    with pytest.raises(ConfigurationError, match=f"{name} must be a finite number of at least 0"):
        rocchio([1.0], [[1.0]], **{name: value})


def test_factors_must_leave_something():
    with pytest.raises(ConfigurationError, match="alpha or beta must be above 0"):
        rocchio([1.0], [[1.0]], alpha=0, beta=0.0)


@pytest.mark.parametrize("top_terms", [0, -1, 1.5, True])
def test_number_of_terms_is_a_whole_one(top_terms):
    with pytest.raises(ConfigurationError, match="top_terms must be"):
        average(sparse({1: 1.0}), [], top_terms=top_terms)
    with pytest.raises(ConfigurationError, match="top_terms=5 is for sparse vectors"):
        average([1.0], [], top_terms=5)
