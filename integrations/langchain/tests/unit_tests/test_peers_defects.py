"""What went wrong in the components that people use today, and must not here.

Each test is named after what it protects. Defects that only a vector store's own arithmetic can have (inverted diversity,
relevance maps) are the core's to test; here is what a retriever, a reranker or HyDE between a framework and Qdrant can break.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import threading
from operator import mul

import pytest
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.runnables import RunnablePassthrough

from hydrant import Bm25Encoder, Collection, EdgeClient, Hyde, ListwiseReranker, Mmr, PayloadMap
from hydrant.errors import PayloadUnmapped, UnknownArgument
from hydrant.testing import HashEncoder, ScriptedGenerator
from langchain_hydrant import (
    ChatModelGenerator,
    EmbeddingsEncoder,
    HydeEmbeddings,
    HydeExpander,
    HydrantIndex,
    HydrantReranker,
    HydrantRetriever,
)

QUESTION = "How are keys rotated?"


class Counted:
    """A client's calls, by name."""

    def __init__(self, client, monkeypatch):
        self.calls = []
        for name in ("get_collection", "query_points", "query_batch_points", "retrieve", "scroll"):
            method = getattr(client, name)
            monkeypatch.setattr(client, name, self._counting(name, method))

    def _counting(self, name, method):
        def call(*args, **kwargs):
            self.calls.append(name)
            return method(*args, **kwargs)

        return call


def test_mmr_through_the_retriever_is_diverse_when_diversity_is_asked_for(docs):
    """langchain#39052: `lambda_mult` is handed on as its opposite, 0 gives exactly the nearest documents."""
    encoder = HashEncoder()
    (query,) = encoder.encode_query(["keys robot"])

    def similarities(**settings):
        retriever = HydrantRetriever(pipeline=docs.retriever(sources=("dense",), **settings), k=5)
        found = retriever.invoke("keys robot")
        texts = [f"{each.metadata.get('title', '')} {each.page_content}" for each in found]
        return [sum(map(mul, query, row)) for row in encoder.encode_document(texts)]

    nearest = similarities()
    assert similarities(mmr=Mmr(diversity=0.0)) == pytest.approx(nearest)
    assert sum(similarities(mmr=Mmr(diversity=1.0))) < sum(nearest) - 0.1


def test_a_search_asks_for_no_description_of_the_collection_and_embeds_nothing_but_the_query(
    fresh, monkeypatch
):
    """langchain_qdrant: every call by vector reads the collection and embeds "dummy_text" to check it again."""
    encoder = HashEncoder()
    made = Collection.create(fresh, "counted", dense=encoder, sparse=Bm25Encoder())
    made.indexer(progress=False).add(["keys", "backups"])
    retriever = HydrantRetriever(pipeline=made.retriever())
    counted, embedded = Counted(fresh, monkeypatch), len(encoder.calls)
    retriever.invoke("keys")
    assert "get_collection" not in counted.calls
    assert encoder.calls[embedded:] == [("query", ("keys",))]


def test_pages_of_a_hybrid_search_are_full_until_there_is_no_more(fresh):
    """langchain_qdrant: prefetches as deep as a page, with the offset outside, give pages of 10, 9 and 0 from 200."""
    made = Collection.create(fresh, "pages", dense=HashEncoder(), sparse=Bm25Encoder())
    made.indexer(progress=False).add(
        [{"id": f"{n}", "text": f"keys number {n} of {n % 7}"} for n in range(45)]
    )
    retriever = HydrantRetriever(pipeline=made.retriever(), k=10)
    pages = [[each.id for each in retriever.invoke("keys number 3", offset=at)] for at in range(0, 60, 10)]
    assert [len(page) for page in pages] == [10, 10, 10, 10, 5, 0]
    assert len({own for page in pages for own in page}) == 45


def test_an_argument_of_a_call_is_never_ignored(docs):
    """qdrant#5601: `filter=` on a retriever makes no difference, because unknown keywords vanish."""
    retriever = HydrantRetriever(pipeline=docs.retriever(), k=10)
    assert {each.metadata["lang"] for each in retriever.invoke(QUESTION, filter={"lang": "de"})} == {"de"}
    with pytest.raises(UnknownArgument):
        retriever.invoke(QUESTION, search_kwargs={"filter": {"lang": "de"}})


def test_zero_is_a_value_and_not_the_default(docs):
    """haystack: `score_threshold or self._score_threshold`, LlamaIndex: `alpha or 0.5`: zero means something else."""
    retriever = HydrantRetriever(pipeline=docs.retriever(), k=3)
    assert retriever.invoke(QUESTION, offset=0) == retriever.invoke(QUESTION)
    (first, *_) = retriever.invoke(QUESTION, filter={"number": 0})
    assert first.metadata["number"] == 0
    with pytest.raises(ValueError, match="limit"):
        retriever.invoke(QUESTION, k=0)


def test_documents_have_their_ids_and_metadata_is_not_written_into(fresh):
    """langchain_qdrant: `Document.id` is None, `_id` and `_collection_name` are written into the payload's own mapping."""
    made = Collection.create(fresh, "ids", dense=HashEncoder(), payload=PayloadMap.langchain())
    HydrantIndex(collection=made).upsert([Document("keys", id="00000000-0000-0000-0000-000000000001")])
    (document,) = HydrantRetriever(pipeline=made.retriever()).invoke("keys")
    assert document.id == "00000000-0000-0000-0000-000000000001"
    assert set(document.metadata) == {"score", "_hydrant"}


def test_a_payload_without_text_is_an_error_and_not_an_empty_document(fresh):
    """langchain_qdrant: a missing text key gives documents with no text, silently."""
    made = Collection.create(fresh, "text", dense=HashEncoder())
    made.indexer(progress=False).add(["keys"])
    retriever = HydrantRetriever.from_collection(
        fresh, "text", dense=HashEncoder(), payload=PayloadMap.langchain(text="body")
    )
    with pytest.raises(PayloadUnmapped, match=r"'body'.*\['_hydrant', 'metadata', 'text'\]"):
        retriever.invoke("keys")


async def test_async_searches_need_no_executor_of_asyncio(docs, monkeypatch):
    """langchain_qdrant: `asimilarity_search` runs in thread `asyncio_0`; LlamaIndex's default blocks the loop."""
    loop = asyncio.get_running_loop()
    used = []
    monkeypatch.setattr(loop, "run_in_executor", lambda *args: used.append(args))
    retriever = HydrantRetriever(pipeline=docs.retriever(), k=2)
    assert len(await retriever.ainvoke(QUESTION)) == 2
    assert used == []


async def test_no_language_model_is_called_synchronously_in_async_code(docs):
    """LlamaIndex's TransformQueryEngine: the async path runs the query transform, and its model, in the loop."""
    threads = []

    class Model(FakeListChatModel):
        def _call(self, *args, **kwargs):
            threads.append(threading.current_thread())
            return super()._call(*args, **kwargs)

        async def _agenerate(self, *args, **kwargs):
            threads.append("awaited")
            return super()._generate(*args, **kwargs)

    llm = Model(responses=["Keys are rotated."])
    chain = HydeExpander.from_llm(llm, hypotheses=1) | HydrantRetriever(pipeline=docs.retriever())
    await chain.ainvoke(QUESTION)
    assert threads[0] == "awaited"


def test_hypotheses_are_made_once_a_question(docs):
    """LlamaIndex's TransformQueryEngine: retrieve and synthesize each make hypotheses of their own, two different ones."""
    generator = ScriptedGenerator(["one", "two"])
    chain = HydeExpander.from_llm(generator, hypotheses=1) | {
        "documents": HydrantRetriever(pipeline=docs.retriever()),
        "again": HydrantRetriever(pipeline=docs.retriever()),
        "question": RunnablePassthrough(),
    }
    found = chain.invoke(QUESTION)
    assert len(generator.requests) == 1
    assert found["documents"] == found["again"]
    assert found["question"].hypotheses == ("one",)


def test_hypotheses_go_through_the_document_encoder_and_the_query_through_the_query_encoder(fresh):
    """LlamaIndex embeds hypotheses as queries, with the query's prefix; LangChain leaves the query out."""
    from langchain_core.embeddings import Embeddings

    class Asymmetric(Embeddings):
        def __init__(self):
            self.queries, self.documents = [], []

        def embed_query(self, text):
            self.queries.append(text)
            return [1.0, 0.0]

        def embed_documents(self, texts):
            self.documents += texts
            return [[0.0, 1.0] for _ in texts]

    embeddings = Asymmetric()
    made = Collection.create(fresh, "hyde", dense=EmbeddingsEncoder(embeddings))
    made.indexer(progress=False).add(["keys"])
    embeddings.queries.clear()
    embeddings.documents.clear()
    hyde = Hyde(ScriptedGenerator(["one", "two"]), hypotheses=2)
    HydrantRetriever(pipeline=hyde >> made.retriever()).invoke(QUESTION)
    assert (embeddings.queries, embeddings.documents) == ([QUESTION], ["one", "two"])

    embeddings = Asymmetric()
    vector = HydeEmbeddings(Hyde(ScriptedGenerator(["one", "two"]), hypotheses=2), embeddings).embed_query(
        QUESTION
    )
    assert (embeddings.queries, embeddings.documents) == ([QUESTION], ["one", "two"])
    assert vector[0] > 0
    assert vector[1] > vector[0]


def test_several_hypotheses_are_several_samples(docs):
    """LangChain's HypotheticalDocumentEmbedder makes one; LlamaIndex's says so in a to-do."""
    llm = FakeListChatModel(responses=["one", "two", "three", "four"])
    expanded = HydeExpander.from_llm(llm, hypotheses=4, enough=4).invoke(QUESTION)
    assert sorted(expanded.hypotheses) == ["four", "one", "three", "two"]


DOCUMENTS = [
    Document(f"Passage number {n}.", id=f"p{n}", metadata={"id": n, "relevance_score": 0.5}) for n in range(5)
]


@pytest.mark.parametrize(
    ("answer", "best"),
    [
        ("[3] > [1] > [2]", "p2"),
        ("Sure! The best one is [2], then [1].", "p1"),
        ("[0] > [4]", "p3"),
        ("[-1] > [2]", "p1"),
        ("[99] > [5] > [5]", "p4"),
        ("[2²] > [²] > [1]", None),
        ("<think>[5] or [4]?</think>[1] > [5]", "p0"),
        ("I cannot rank these.", "p0"),
    ],
)
def test_whatever_a_model_answers_every_document_comes_back_once(answer, best):
    """LLMRerank maps 0 to the last document and drops what a chatty answer leaves out; LLMListwiseRerank raises on a bad id,
    wraps negative ones, doubles and drops; RankGPTRerank crashes on a superscript digit.
    """
    llm = ChatModelGenerator(FakeListChatModel(responses=[answer]))
    ranked = HydrantReranker(reranker=ListwiseReranker(llm)).compress_documents(DOCUMENTS, QUESTION)
    assert sorted(document.id for document in ranked) == [document.id for document in DOCUMENTS]
    if best is not None:
        assert ranked[0].id == best


def test_scores_have_the_order_of_the_ranking():
    """RankGPTRerank keeps the old scores, so that any later sort undoes the ranking."""
    llm = ChatModelGenerator(FakeListChatModel(responses=["[3] > [1] > [2] > [5] > [4]"]))
    ranked = HydrantReranker(reranker=ListwiseReranker(llm)).compress_documents(DOCUMENTS, QUESTION)
    by_score = sorted(ranked, key=lambda document: -document.metadata["score"])
    assert [document.id for document in ranked] == [document.id for document in by_score]


def test_a_documents_own_fields_do_not_pass_for_the_new_score():
    """FlashrankRerank: `id` and `relevance_score` in the metadata win over the new ones."""
    llm = ChatModelGenerator(FakeListChatModel(responses=["[3] > [1] > [2] > [5] > [4]"]))
    ranked = HydrantReranker(reranker=ListwiseReranker(llm)).compress_documents(DOCUMENTS, QUESTION)
    assert [(each.id, each.metadata["id"], each.metadata["relevance_score"]) for each in ranked[:2]] == [
        ("p2", 2, 0.5),
        ("p0", 0, 0.5),
    ]
    assert ranked[0].metadata["score"] > ranked[1].metadata["score"]


def test_a_model_that_fails_gives_no_more_than_top_n():
    """Haystack's LLMRanker: the fallback forgets top_k."""

    class Gone(FakeListChatModel):
        def _call(self, *args, **kwargs):
            raise RuntimeError("quota")

    llm = ChatModelGenerator(Gone(responses=[""]))
    ranked = HydrantReranker(reranker=ListwiseReranker(llm), top_n=2).compress_documents(DOCUMENTS, QUESTION)
    assert [document.id for document in ranked] == ["p0", "p1"]
    assert "quota" in ranked[0].metadata["_hydrant"]["degraded"][0]["reason"]


def test_input_documents_are_never_mutated():
    """SentenceTransformerRerank, ColbertRerank and FlashRank write scores into the documents they are given."""
    before = copy.deepcopy(DOCUMENTS)
    llm = ChatModelGenerator(FakeListChatModel(responses=["[2] > [1]"]))
    HydrantReranker(reranker=ListwiseReranker(llm)).compress_documents(DOCUMENTS, QUESTION)
    assert before == DOCUMENTS


def test_documents_of_the_same_text_stay_two():
    """rerankers and EnsembleRetriever match documents by their text, so that two of them become one."""
    twins = [Document("same", metadata={"page": 1}), Document("same", metadata={"page": 2})]
    llm = ChatModelGenerator(FakeListChatModel(responses=["[2] > [1]"]))
    ranked = HydrantReranker(reranker=ListwiseReranker(llm)).compress_documents(twins, QUESTION)
    assert [document.metadata["page"] for document in ranked] == [2, 1]


def test_no_logging_is_configured_by_using_it(docs):
    """FlashRank and rank_llm call `logging.basicConfig` in a constructor."""
    before = list(logging.getLogger().handlers)
    HydrantReranker(reranker=ListwiseReranker(ScriptedGenerator("[1]"))).compress_documents(
        DOCUMENTS, QUESTION
    )
    HydrantRetriever(pipeline=docs.retriever()).invoke(QUESTION)
    assert logging.getLogger().handlers == before
    assert logging.getLogger("langchain_hydrant").handlers == []


def test_nothing_is_asked_of_anybody_when_parts_are_made():
    """langchain_qdrant and others call the collection, or a model, in constructors."""

    class Untouchable(FakeListChatModel):
        def _call(self, *args, **kwargs):
            raise AssertionError("called")

    with EdgeClient(":memory:") as client:
        collection = Collection.create(client, "docs", dense=HashEncoder())
    # The client is closed by now: any call would fail.
    llm = ChatModelGenerator(Untouchable(responses=[""]))
    HydrantRetriever(pipeline=Hyde(llm) >> collection.retriever())
    HydrantIndex(collection=collection)
    HydrantReranker(reranker=ListwiseReranker(llm))
    HydeExpander.from_llm(llm)
