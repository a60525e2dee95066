"""One specification, the same results: core and LangChain, sync and async."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from hydrant import Convex, Dbsf, Hyde, Ranking, Reranker, Rrf, Top
from langchain_hydrant import ChatModelGenerator, HydrantReranker, HydrantRetriever

WORDS = ["keys", "rotated", "backup", "night", "robot", "certificate", "logs", "how", "the", "nothing"]
FILTERS = [None, {"lang": "en"}, {"number": {"gte": 3, "lt": 8}}, {"lang": "de", "number": {"lte": 6}}]


class ByLength(Reranker):
    """Shorter texts first; a few ties."""

    def rank(self, query, hits):
        yield from ()
        return Ranking([-float(len(hit.text) // 4) for hit in hits])


def pipelines(docs):
    llm = ChatModelGenerator(FakeListChatModel(responses=["The robot rotates keys."]))
    return {
        "dense": docs.retriever(sources=("dense",)),
        "sparse": docs.retriever(sources=("sparse",), limit=4),
        "rrf": docs.retriever(fusion=Rrf(k=60)),
        "dbsf": docs.retriever(fusion=Dbsf(), explain=True),
        "convex": docs.retriever(fusion=Convex()),
        "hyde": Hyde(llm, hypotheses=2) >> docs.retriever(),
        "rerank": docs.retriever() >> ByLength(candidates=6),
        "top": docs.retriever() >> ByLength(top_n=5) >> Top(3),
    }


def core(result):
    return [
        (hit.id, hit.text, hit.score, {name: (each.score, each.rank) for name, each in hit.stages.items()})
        for hit in result.hits
    ]


def theirs(documents):
    return [
        (
            document.id,
            document.page_content,
            document.metadata["score"],
            {
                name: (each["score"], each["rank"])
                for name, each in document.metadata["_hydrant"]["stages"].items()
            },
        )
        for document in documents
    ]


@pytest.mark.parametrize("name", ["dense", "sparse", "rrf", "dbsf", "convex", "hyde", "rerank", "top"])
def test_ids_order_and_scores_are_the_cores_own(docs, name):
    pipeline = pipelines(docs)[name]
    retriever = HydrantRetriever(pipeline=pipeline)

    @given(
        words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
        k=st.none() | st.integers(1, 12),
        offset=st.integers(0, 4),
        wanted=st.sampled_from(FILTERS),
    )
    def check(words, k, offset, wanted):
        query = " ".join(words)
        settings = {"k": k, "offset": offset, "filter": wanted}
        expected = core(pipeline.run(query, limit=k, offset=offset, filter=wanted))
        assert theirs(retriever.invoke(query, **settings)) == expected
        assert theirs(asyncio.run(retriever.ainvoke(query, **settings))) == expected

    check()


def test_a_reranker_behind_a_retriever_ranks_as_inside_a_pipeline(docs):
    found = HydrantRetriever(pipeline=docs.retriever(), k=10)
    reranker = HydrantReranker(reranker=ByLength(), top_n=4)

    @given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
    def check(words):
        query = " ".join(words)
        expected = core((docs.retriever(limit=10) >> ByLength(top_n=4)).run(query))
        documents = found.invoke(query)
        assert theirs(reranker.compress_documents(documents, query)) == expected
        assert theirs(asyncio.run(reranker.acompress_documents(documents, query))) == expected

    check()
