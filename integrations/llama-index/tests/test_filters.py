"""LlamaIndex's metadata filters: every operator does what LlamaIndex says it does, on the engine, or is refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn
from qdrant_client import models

from hydrant.errors import FilterError
from hydrant.testing import HashEncoder
from llama_index.retrievers.hydrant import HydrantIndexer, HydrantRetriever, to_filter

# Every field is missing somewhere; "tags" is a list.
RECORDS = [
    {"lang": "en", "year": 2020, "score": 0.5, "tags": ["red", "blue"], "body": "The quick Fox"},
    {"lang": "de", "year": 2021, "score": 1.5, "tags": ["red"], "body": "a lazy dog"},
    {"lang": "en", "year": 2022, "score": 0.5, "tags": ["green", "blue"], "body": "quick and lazy"},
    {"lang": "fr", "score": 2.0, "tags": [], "body": "fox hunt"},
    {"year": 2020, "body": "nothing"},
    {"lang": "en"},
]
INDEXES = {"lang": "keyword", "year": "integer", "score": "float", "tags": "keyword", "body": "text"}


@pytest.fixture(scope="module")
def retriever(shared_client):
    indexer = HydrantIndexer.create(shared_client, "filters", dense=HashEncoder(16), fields=INDEXES)
    nodes = [TextNode(text=f"text {n}", metadata={"n": n, **record}) for n, record in enumerate(RECORDS)]
    assert indexer.add(nodes).added == len(RECORDS)
    return HydrantRetriever(indexer.collection.retriever(limit=20))


def found(retriever, filters):
    return {node.metadata["n"] for node in retriever.with_options(filters=filters).retrieve("text")}


def by_llama_index(filters):
    """Which records LlamaIndex's own in-memory stores find."""
    fits = build_metadata_filter_fn(lambda n: RECORDS[int(n)], filters)
    return {n for n in range(len(RECORDS)) if fits(str(n))}


langs = st.sampled_from(["en", "de", "fr", "it"])
years = st.integers(2019, 2023)
scores = st.sampled_from([0.5, 1.5, 2.0, 3.0])
tags = st.sampled_from(["red", "blue", "green", "old"])
Op = FilterOperator


def one(key, values, operators):
    return st.builds(
        lambda operator, value: MetadataFilter(key=key, operator=operator, value=value),
        st.sampled_from(operators),
        values,
    )


def several(key, values, operators):
    return one(key, st.lists(values, min_size=1, max_size=3), operators)


singles = st.one_of(
    one("lang", langs, [Op.EQ, Op.NE]),
    one("year", years, [Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE]),
    one("score", scores, [Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE]),
    several("lang", langs, [Op.IN, Op.NIN]),
    several("year", years, [Op.IN, Op.NIN]),
    several("score", scores, [Op.IN, Op.NIN]),
    several("tags", tags, [Op.ANY, Op.ALL]),
    one("tags", tags, [Op.CONTAINS]),
    st.sampled_from(["lang", "year", "tags", "body"]).map(
        lambda key: MetadataFilter(key=key, operator=Op.IS_EMPTY, value=None)
    ),
)


@given(st.lists(singles, min_size=1, max_size=3), st.sampled_from([*FilterCondition, None]))
def test_every_operator_and_condition_finds_what_llama_index_finds(retriever, filters, condition):
    given_filters = MetadataFilters(filters=filters, condition=condition)
    assert found(retriever, given_filters) == by_llama_index(given_filters)


@given(singles, singles, singles, st.sampled_from(FilterCondition), st.sampled_from(FilterCondition))
def test_nested_filters_are_sets_within_sets(retriever, first, second, third, outer, inner):
    nested = MetadataFilters(
        filters=[first, MetadataFilters(filters=[second, third], condition=inner)], condition=outer
    )

    def fits(single):
        return by_llama_index(MetadataFilters(filters=[single]))

    everything = set(range(len(RECORDS)))

    def combined(condition, sets):
        if condition == FilterCondition.AND:
            return set.intersection(*sets)
        union = set.union(*sets)
        return union if condition == FilterCondition.OR else everything - union

    expected = combined(outer, [fits(first), combined(inner, [fits(second), fits(third)])])
    assert found(retriever, nested) == expected


@pytest.mark.parametrize("operator", [Op.TEXT_MATCH, Op.TEXT_MATCH_INSENSITIVE])
@pytest.mark.parametrize(
    ("words", "expected"), [("quick", {0, 2}), ("FOX quick", {0}), ("fox", {0, 3}), ("cat", set())]
)
def test_text_filters_look_for_words(retriever, operator, words, expected):
    assert (
        found(
            retriever, MetadataFilters(filters=[MetadataFilter(key="body", operator=operator, value=words)])
        )
        == expected
    )


def test_every_operator_that_llama_index_has_is_translated():
    samples = {Op.IN: ["a"], Op.NIN: ["a"], Op.ANY: ["a"], Op.ALL: ["a"], Op.IS_EMPTY: None}
    for operator in FilterOperator:
        value = samples.get(operator, "a")
        assert to_filter(MetadataFilter(key="k", operator=operator, value=value)), operator


def test_an_operator_of_a_later_llama_index_is_refused_by_name():
    later = MetadataFilter.model_construct(key="k", value=1, operator="between")
    with pytest.raises(FilterError, match=r"'between'.*IS_EMPTY"):
        to_filter(later)
    condition = MetadataFilters.model_construct(filters=[MetadataFilter(key="k", value=1)], condition="xor")
    with pytest.raises(FilterError, match="xor"):
        to_filter(condition)


@pytest.mark.parametrize(
    ("operator", "value", "hint"),
    [
        (Op.IN, "en,de", "list"),
        (Op.NIN, [], "at least one"),
        (Op.ANY, "red", "list"),
        (Op.ALL, None, "list"),
        (Op.EQ, None, "IS_EMPTY"),
        (Op.EQ, ["a", "b"], "IN, ANY or ALL"),
        (Op.NE, None, "IS_EMPTY"),
        (Op.GT, [1], "single value"),
        (Op.CONTAINS, None, "IS_EMPTY"),
        (Op.TEXT_MATCH, ["a"], "single value"),
    ],
)
def test_a_value_that_its_operator_cannot_take_is_refused(operator, value, hint):
    with pytest.raises(FilterError, match=rf"'k' with {operator.name}.*{hint}"):
        to_filter(MetadataFilter(key="k", operator=operator, value=value))


@pytest.mark.parametrize(
    "empty", [None, MetadataFilters(filters=[]), MetadataFilters(filters=[MetadataFilters(filters=[])])]
)
def test_filters_without_a_condition_let_everything_through(retriever, empty):
    assert to_filter(empty) is None
    assert found(retriever, empty) == set(range(len(RECORDS)))


def test_qdrants_own_filters_and_mappings_pass_as_they_are(retriever):
    match = models.FieldCondition(key="lang", match=models.MatchValue(value="de"))
    assert found(retriever, models.Filter(must=[match])) == {1}
    assert found(retriever, {"lang": ["de", "fr"]}) == {1, 3}


def test_filters_stay_as_they_were():
    filters = MetadataFilters(filters=[MetadataFilter(key="k", operator=Op.IN, value=["a"])])
    before = filters.model_copy(deep=True)
    to_filter(filters)
    assert filters == before
