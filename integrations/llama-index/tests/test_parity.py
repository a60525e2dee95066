"""For one search, Hydrant and LlamaIndex give the same nodes in the same order with the same scores, sync and async."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from hydrant import Convex, Query, Ranking, Reranker, Rrf
from llama_index.postprocessor.hydrant import HydrantRerank
from llama_index.retrievers.hydrant import HydrantQueryBundle, HydrantRetriever

from_words = st.lists(
    st.sampled_from(["keys", "locks", "brown", "water", "the", "sea", "sun", "fox", "iron", "deep", "zebra"]),
    min_size=1,
    max_size=5,
).map(" ".join)


class ByLength(Reranker):
    """Ranks by how near a text's length is to the query's; many passages tie."""

    name = "length"

    def rank(self, query, hits):
        yield from ()
        return Ranking([-abs(len(hit.passage.content) - len(query.text)) // 4 for hit in hits])


def seen_in_core(hits):
    return [(str(hit.id), hit.score) for hit in hits]


def seen(nodes):
    return [(node.node_id, node.score) for node in nodes]


sources = st.sampled_from([("dense",), ("sparse",), ("dense", "sparse")])
fusions = st.sampled_from([None, Rrf(), Rrf(k=5), Convex()])
years = st.none() | st.tuples(st.sampled_from([">", ">=", "<", "<=", "=="]), st.integers(2018, 2027))
top_ks = st.none() | st.integers(1, 8)
_WORDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}


def year_filters(year):
    """The same filter as core and as LlamaIndex says it."""
    if year is None:
        return None, None
    operator, value = year
    theirs = MetadataFilters(filters=[MetadataFilter(key="year", operator=operator, value=value)])
    return {"year": value if operator == "==" else {_WORDS[operator]: value}}, theirs


@given(from_words, sources, fusions, years, top_ks, st.booleans(), st.booleans())
def test_core_and_llama_index_find_the_same(
    docs, plain_docs, text, names, fusion, year, top_k, rerank, plain
):
    chosen = plain_docs if plain else docs
    search = chosen.retriever(sources=names, fusion=fusion if len(names) > 1 else None)
    pipeline = search >> ByLength() if rerank else search
    mine, theirs = year_filters(year)
    expected = seen_in_core(pipeline.run(Query(text, mine, limit=top_k)).hits)
    retriever = HydrantRetriever(pipeline, filters=theirs, similarity_top_k=top_k)
    assert seen(retriever.retrieve(text)) == expected
    assert seen(asyncio.run(retriever.aretrieve(text))) == expected
    bundle = HydrantQueryBundle(text, filters=theirs, similarity_top_k=top_k)
    assert seen(HydrantRetriever(pipeline).retrieve(bundle)) == expected


@given(from_words, st.none() | st.integers(1, 8), st.booleans())
def test_a_reranker_behind_the_retriever_ranks_as_in_the_pipeline(docs, plain_docs, text, top_n, plain):
    search = (plain_docs if plain else docs).retriever(limit=6)
    expected = (search >> ByLength(top_n=top_n)).run(text).hits
    retriever, rerank = HydrantRetriever(search), HydrantRerank(ByLength(), top_n=top_n)
    found = retriever.retrieve(text)
    ranked = rerank.postprocess_nodes(found, QueryBundle(text))
    assert seen(ranked) == seen_in_core(expected)
    assert seen(asyncio.run(rerank.apostprocess_nodes(found, QueryBundle(text)))) == seen_in_core(expected)
    for node, hit in zip(ranked, expected, strict=True):
        stages = node.metadata["_hydrant"]["stages"]
        assert {k: (s["score"], s["rank"]) for k, s in stages.items()} == {
            k: (s.score, s.rank) for k, s in hit.stages.items()
        }


@given(from_words)
def test_a_query_engine_answers_from_the_same_nodes(docs, text):
    search = docs.retriever(limit=3)
    engine = RetrieverQueryEngine.from_args(HydrantRetriever(search), response_mode=ResponseMode.NO_TEXT)
    expected = seen_in_core(search.run(text).hits)
    assert seen(engine.query(text).source_nodes) == expected
    assert seen(asyncio.run(engine.aquery(text)).source_nodes) == expected
