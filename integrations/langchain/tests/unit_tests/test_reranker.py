"""HydrantReranker."""

from __future__ import annotations

import asyncio
import copy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnablePassthrough
from pydantic import ValidationError

from hydrant import Effect, Ranking, Reranker
from hydrant.errors import EmptyQuery, InputError
from hydrant.testing import FailingStage, FunctionStage, HangingStage
from langchain_hydrant import ChatModelGenerator, HydrantReranker, HydrantRetriever


class ByLength(Reranker):
    """Longest first."""

    def rank(self, query, hits):
        yield from ()
        return Ranking([float(len(hit.text)) for hit in hits])


class Broken(Reranker):
    def rank(self, query, hits):
        yield from ()
        raise RuntimeError("the model is gone")


DOCUMENTS = [
    Document("bb", id="b", metadata={"at": {"page": 1}}),
    Document("a", id="a", metadata={"score": 7, "source": "a.md"}),
    Document("dddd"),
    Document("ccc", id="c"),
]


def test_documents_come_back_in_the_rerankers_order_with_ids_and_scores():
    ranked = HydrantReranker(reranker=ByLength()).compress_documents(DOCUMENTS, "q")
    assert [document.id for document in ranked] == [None, "c", "b", "a"]
    assert [document.metadata["score"] for document in ranked] == [4.0, 3.0, 2.0, 1.0]
    last = ranked[-1].metadata
    assert last["_hydrant"]["shadowed"] == 7
    assert last["source"] == "a.md"
    assert last["_hydrant"]["stages"] == {"rerank": {"score": 1.0, "rank": 4}}


async def test_async_gives_the_same():
    reranker = HydrantReranker(reranker=ByLength(), top_n=3)
    assert await reranker.acompress_documents(DOCUMENTS, "q") == reranker.compress_documents(DOCUMENTS, "q")


def test_documents_that_go_in_are_never_changed():
    before = copy.deepcopy(DOCUMENTS)
    ranked = HydrantReranker(reranker=ByLength()).compress_documents(DOCUMENTS, "q")
    assert before == DOCUMENTS
    assert not {id(document) for document in ranked} & {id(document) for document in DOCUMENTS}
    assert not {id(each.metadata) for each in ranked} & {id(each.metadata) for each in DOCUMENTS}


@given(st.lists(st.tuples(st.sampled_from(["", "a", "bb", "bb", "ccc"]), st.sampled_from([None, "1", "2"]))))
def test_none_is_lost_or_doubled_whatever_texts_and_ids_they_share(pairs):
    documents = [Document(text, id=own, metadata={"at": at}) for at, (text, own) in enumerate(pairs)]
    ranked = HydrantReranker(reranker=ByLength()).compress_documents(documents, "q")
    assert sorted(document.metadata["at"] for document in ranked) == list(range(len(pairs)))
    assert all(documents[each.metadata["at"]].id == each.id for each in ranked)
    assert all(documents[each.metadata["at"]].page_content == each.page_content for each in ranked)


def test_the_scores_of_the_stages_before_are_kept(docs):
    found = HydrantRetriever(pipeline=docs.retriever(explain=True)).invoke("keys")
    (best, *_) = HydrantReranker(reranker=ByLength(name="length")).compress_documents(found, "keys")
    before = next(document for document in found if document.id == best.id).metadata["_hydrant"]["stages"]
    said = best.metadata["_hydrant"]
    assert said["stages"] == {**before, "length": {"score": best.metadata["score"], "rank": 1}}
    # The passage's own field is still there, and not the score of the search.
    assert said["shadowed"] == best.metadata["number"] / 10


def test_a_reranker_that_fails_leaves_the_order_obeys_top_n_and_says_so(caplog):
    ranked = HydrantReranker(reranker=Broken(), top_n=2).compress_documents(DOCUMENTS, "q")
    assert [document.id for document in ranked] == ["b", "a"]
    for document in ranked:
        (degraded,) = document.metadata["_hydrant"]["degraded"]
        assert degraded == {"stage": "rerank", "reason": "RuntimeError: the model is gone"}
        assert document.metadata["_hydrant"]["score"] is None
    assert ranked[1].metadata["score"] == 7  # its own: nobody ranked it
    assert "went on without rerank" in caplog.text


def test_a_reranker_told_to_raise_raises():
    with pytest.raises(RuntimeError, match="the model is gone"):
        HydrantReranker(reranker=Broken(on_error="raise")).compress_documents(DOCUMENTS, "q")


async def test_a_reranker_that_hangs_costs_no_more_than_the_deadline():
    reranker = HydrantReranker(reranker=HangingStage("rerank"), deadline=0.3)
    began = time.monotonic()
    assert len(reranker.compress_documents(DOCUMENTS, "q")) == 4
    assert len(await reranker.acompress_documents(DOCUMENTS, "q")) == 4
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("query", ["", "  "])
async def test_a_reranker_without_a_query_is_refused(query):
    reranker = HydrantReranker(reranker=ByLength())
    with pytest.raises(EmptyQuery):
        reranker.compress_documents(DOCUMENTS, query)
    with pytest.raises(EmptyQuery):
        await reranker.ainvoke({"documents": DOCUMENTS, "query": query})
    with pytest.raises(InputError, match="None"):
        reranker.compress_documents(DOCUMENTS, None)


def test_no_documents_are_no_work():
    assert HydrantReranker(reranker=Broken(on_error="raise")).compress_documents([], "q") == []


def test_a_stage_that_makes_new_passages_still_gives_documents():
    from dataclasses import replace

    def shouting(state):
        hits = [replace(hit, passage=replace(hit.passage, text=hit.text.upper())) for hit in state.hits]
        return state.with_hits(hits)

    ranked = HydrantReranker(reranker=FunctionStage(shouting)).compress_documents(DOCUMENTS, "q")
    assert [document.page_content for document in ranked] == ["BB", "A", "DDDD", "CCC"]
    assert [document.id for document in ranked] == ["b", "a", None, "c"]


@pytest.mark.parametrize("wrong", ["text", None, {"page_content": "text"}])
async def test_what_is_no_document_is_refused_in_words(wrong):
    reranker = HydrantReranker(reranker=ByLength())
    with pytest.raises(InputError, match=r"Documents, got .*" + type(wrong).__name__):
        reranker.compress_documents([wrong], "q")
    with pytest.raises(InputError, match="Documents, got "):
        await reranker.ainvoke({"documents": [wrong], "query": "q"})


def test_documents_may_come_one_by_one():
    reranker = HydrantReranker(reranker=ByLength())
    assert reranker.compress_documents(iter(DOCUMENTS), "q") == reranker.compress_documents(DOCUMENTS, "q")


@pytest.mark.parametrize(
    "note",
    [
        "mine",
        {"score": "high", "stages": {}},
        {"score": 1.0, "stages": {"dense": 0.4}},
        {"score": 1.0, "stages": {"dense": {"score": 0.4}}},
    ],
)
def test_what_others_keep_under_hydrants_key_does_no_harm(note):
    document = Document("t", metadata={"_hydrant": note})
    (ranked,) = HydrantReranker(reranker=ByLength()).compress_documents([document], "q")
    assert ranked.metadata["_hydrant"]["stages"] == {"rerank": {"score": 1.0, "rank": 1}}


class TestAsARunnable:
    async def test_it_takes_documents_and_query(self):
        reranker = HydrantReranker(reranker=ByLength(), top_n=1)
        (document,) = reranker.invoke({"documents": DOCUMENTS, "query": "q"})
        assert document.page_content == "dddd"
        assert await reranker.ainvoke({"documents": DOCUMENTS, "query": "q"}) == [document]

    def test_it_follows_a_retriever_with_a_pipe(self, docs, ears):
        retriever = HydrantRetriever(pipeline=docs.retriever())
        chain = {"documents": retriever, "query": RunnablePassthrough()} | HydrantReranker(
            reranker=ByLength()
        )
        documents = chain.invoke("keys", {"callbacks": [ears]})
        lengths = [len(document.page_content) for document in documents]
        assert lengths == sorted(lengths, reverse=True)
        assert [run.name for run in ears.run("HydrantReranker").child_runs] == ["documents", "rerank"]

    @pytest.mark.parametrize("wrong", [{"documents": []}, {"docs": [], "query": "q"}, "q", None])
    def test_another_input_is_refused_and_named(self, wrong):
        with pytest.raises(InputError, match="'documents': "):
            HydrantReranker(reranker=ByLength()).invoke(wrong)


class TestAsACompressor:
    async def test_it_works_in_a_contextual_compression_retriever(self, docs):
        reranker = HydrantReranker(reranker=ByLength(), top_n=2)
        assert isinstance(reranker, BaseDocumentCompressor)
        retriever = ContextualCompressionRetriever(
            base_compressor=reranker, base_retriever=HydrantRetriever(pipeline=docs.retriever())
        )
        found = retriever.invoke("keys")
        assert len(found) == 2
        assert await retriever.ainvoke("keys") == found
        # Keywords of a call reach the retriever inside.
        assert {each.metadata["lang"] for each in retriever.invoke("keys", filter={"lang": "de"})} == {"de"}

    def test_it_works_in_a_compressor_pipeline(self):
        pipeline = DocumentCompressorPipeline(
            transformers=[HydrantReranker(reranker=ByLength()), HydrantReranker(reranker=ByLength(), top_n=1)]
        )
        (document,) = pipeline.compress_documents(DOCUMENTS, "q")
        assert document.page_content == "dddd"
        assert set(document.metadata["_hydrant"]["stages"]) == {"rerank", "rerank 2"}

    async def test_callbacks_hear_of_the_model_inside(self, ears):
        class Asking(Reranker):
            def __init__(self, llm):
                super().__init__()
                self.llm = llm

            def rank(self, query, hits):
                yield Ask(self.llm)
                return Ranking([0.0] * len(hits))

        class Ask(Effect):
            def __init__(self, llm):
                self.llm = llm

            def call(self, timeout):
                return self.llm.generate("which is best?")

            async def acall(self, timeout):
                return await self.llm.agenerate("which is best?")

        llm = ChatModelGenerator(FakeListChatModel(responses=["the second"]))
        reranker = HydrantReranker(reranker=Asking(llm))
        reranker.compress_documents(DOCUMENTS, "q", callbacks=[ears])
        await reranker.acompress_documents(DOCUMENTS, "q", callbacks=[ears])
        assert ears.tree() == ["documents", ("rerank", ["FakeListChatModel"])] * 2


@pytest.mark.parametrize(
    "wrong", [{"top_n": 0}, {"top_n": "2"}, {"reranker": "bge"}, {"top_k": 3}, {"deadline": -1}]
)
def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ValidationError):
        HydrantReranker(**{"reranker": ByLength(), **wrong})


def test_failing_stages_that_are_no_reranker_are_told_apart():
    ranked = HydrantReranker(reranker=FailingStage(ValueError("no"), "one") >> ByLength()).compress_documents(
        DOCUMENTS, "q"
    )
    assert [each["stage"] for each in ranked[0].metadata["_hydrant"]["degraded"]] == ["one"]
    assert ranked[0].page_content == "dddd"


def test_searches_in_several_threads_do_not_mix():
    reranker = HydrantReranker(reranker=ByLength())
    lists = [[Document("x" * (n + m), id=f"{n}-{m}") for m in range(5)] for n in range(20)]

    async def all_of_them():
        return await asyncio.gather(
            *(asyncio.to_thread(reranker.compress_documents, each, "q") for each in lists)
        )

    for each, ranked in zip(lists, asyncio.run(all_of_them()), strict=True):
        assert [document.id for document in ranked] == [document.id for document in reversed(each)]
