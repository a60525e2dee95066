"""Comparisons in both orders: a liking for one side cancels out, and sorting asks no more than it must."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Hit, PairwiseReranker, Passage
from hydrant.errors import ConfigurationError
from hydrant.flow import run
from hydrant.rerank.merging import merge_sorted
from hydrant.testing import FunctionStage, OracleGenerator, ScriptedGenerator

QUERY = "which of them counts?"


def text(number):
    return f"Passage text number {number} about something."


def found(count):
    hits = tuple(Hit(Passage(text(n), id=n), 1 - n / 1000) for n in range(count))
    return FunctionStage(lambda state: state.with_hits(hits), "found", required=True)


def oracle(grades, **settings):
    return OracleGenerator({QUERY: {text(number): grade for number, grade in grades.items()}}, **settings)


def ids(result):
    return [hit.id for hit in result.hits]


@given(st.lists(st.integers(0, 6), max_size=70))
def test_merge_sort_is_stable_exact_and_frugal(grades):
    pairs = []

    def prefer(asked):
        yield from ()
        pairs.extend(asked)
        return [grades[second] > grades[first] for first, second in asked]

    order = run(merge_sorted(len(grades), prefer))
    assert order == sorted(range(len(grades)), key=lambda each: -grades[each])
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    count = max(1, len(grades))
    assert len(pairs) <= count * math.ceil(math.log2(count)) if count > 1 else not pairs


def test_the_comparisons_of_a_level_are_made_side_by_side():
    rounds = []

    def prefer(asked):
        yield from ()
        rounds.append(len(asked))
        return [True] * len(asked)

    assert run(merge_sorted(8, prefer)) == [7, 6, 5, 4, 3, 2, 1, 0]
    assert rounds == [4, 2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize("method", ["sort", "select"])
@pytest.mark.parametrize("count", [1, 2, 3, 16, 21])
def test_a_model_that_errs_never_sorts_exactly(method, count):
    grades = {number: (number * 7) % count for number in range(count)}
    llm = oracle(grades)
    result = (found(count) >> PairwiseReranker(llm, method=method)).run(QUERY)
    assert ids(result) == sorted(range(count), key=lambda each: -grades[each])
    assert result.usage.get("pairwise") is not None
    assert result.usage["pairwise"].calls == len(llm.requests)
    assert len(llm.requests) % 2 == 0
    assert result.degraded == ()


def test_every_pair_is_asked_in_both_orders():
    llm = oracle({1: 1})
    (found(2) >> PairwiseReranker(llm)).run(QUERY)
    # They go side by side, so either may come first.
    asked = [request.messages[-1].content for request in llm.requests]
    assert sorted(each.index(text(0)) < each.index(text(1)) for each in asked) == [False, True]


@pytest.mark.parametrize("side", ["[1]", "[2]"])
@pytest.mark.parametrize("method", ["sort", "select"])
def test_a_model_that_always_likes_one_side_changes_nothing(side, method):
    result = (found(13) >> PairwiseReranker(ScriptedGenerator(side), method=method)).run(QUERY)
    assert ids(result) == list(range(13))
    assert result.degraded == ()


def test_equals_keep_their_order():
    result = (found(9) >> PairwiseReranker(oracle({5: 1, 2: 1, 7: 2}), method="sort")).run(QUERY)
    assert ids(result) == [7, 2, 5, 0, 1, 3, 4, 6, 8]


def test_a_few_places_are_selected_and_a_whole_ranking_is_sorted():
    def asked(**given_):
        llm = oracle({each: each for each in range(64)})
        result = (found(64) >> PairwiseReranker(llm, cache=None)).run(QUERY, **given_)
        assert ids(result)[:3] == [63, 62, 61]
        return len(llm.requests)

    assert 2 * 63 < asked(limit=3) <= 2 * (63 + 2 * 6)
    assert asked(limit=3) < asked(limit=10) < asked()
    assert asked() <= 2 * 64 * 6


def test_an_answer_that_cannot_be_read_is_a_tie_and_reported():
    class Mute(OracleGenerator):
        def complete(self, request):
            generation = super().complete(request)
            return ScriptedGenerator("neither").complete(request) if text(3) in request.text else generation

    result = (found(5) >> PairwiseReranker(Mute({QUERY: {text(3): 3, text(4): 1}}), method="sort")).run(QUERY)
    assert ids(result)[0] == 4
    assert sorted(ids(result)) == list(range(5))
    assert "nothing to read in 'neither'" in str(result.degraded[0])


def test_a_budget_is_spent_on_whole_comparisons():
    llm = oracle({each: each for each in range(16)})
    result = (found(16) >> PairwiseReranker(llm, max_calls=17, method="sort")).run(QUERY)
    assert len(llm.requests) == 16
    assert ids(result) == [number ^ 1 for number in range(16)]
    assert "max_calls=17" in str(result.degraded[0])


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ConfigurationError, match="method must be one of"):
        PairwiseReranker(ScriptedGenerator("[1]"), method="bubble")
    with pytest.raises(ConfigurationError, match="max_calls must be 2 or more"):
        PairwiseReranker(ScriptedGenerator("[1]"), max_calls=1)
