"""LangChain's models and embeddings in Hydrant's places, and HyDE in LangChain's."""

from __future__ import annotations

import asyncio
import math
import pickle
import time
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from hydrant import Collection, GenerationRequest, Hyde, Message, MultiQuery, Passage, Usage
from hydrant.errors import ConfigurationError, DeadlineExceeded, EncoderMismatch, GenerationError
from hydrant.testing import FailingGenerator, ScriptedGenerator
from langchain_hydrant import (
    ChatModelGenerator,
    EmbeddingsEncoder,
    ExpandedQuery,
    HydeEmbeddings,
    HydeExpander,
    HydrantRetriever,
)

QUESTION = "How are keys rotated?"


class Recorder(BaseChatModel):
    """A chat model that remembers what it was asked."""

    answer: Any = "Keys are rotated with keyctl."
    asked: list[Any]
    options: list[dict[str, Any]]

    @property
    def _llm_type(self):
        return "recorder"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.asked.append(messages)
        self.options.append({"stop": stop, **kwargs})
        message = self.answer if isinstance(self.answer, AIMessage) else AIMessage(self.answer)
        return ChatResult(generations=[ChatGeneration(message=message)])


def recorder(answer="Keys are rotated with keyctl."):
    return Recorder(answer=answer, asked=[], options=[])


class TestChatModelGenerator:
    async def test_messages_keep_their_roles(self):
        model = recorder()
        request = GenerationRequest((Message("system", "Be brief."), Message("user", "Why?")))
        assert ChatModelGenerator(model).generate(request).texts == ("Keys are rotated with keyctl.",)
        assert (await ChatModelGenerator(model).agenerate(request)).texts == (
            "Keys are rotated with keyctl.",
        )
        assert model.asked == [[SystemMessage("Be brief."), HumanMessage("Why?")]] * 2

    async def test_samples_are_calls_side_by_side(self):
        class Slow(FakeListChatModel):
            def _call(self, *args, **kwargs):
                time.sleep(0.2)
                return super()._call(*args, **kwargs)

        generator = ChatModelGenerator(Slow(responses=["one", "two", "three", "four"]))
        request = GenerationRequest("Why?", samples=4)
        began = time.monotonic()
        assert sorted(generator.generate(request).texts) == ["four", "one", "three", "two"]
        assert len((await generator.agenerate(request)).texts) == 4
        assert time.monotonic() - began < 8 * 0.2 * 0.8

    def test_only_settings_that_are_passed_on_reach_the_model(self):
        model = recorder()
        request = GenerationRequest("Why?", temperature=0.7, max_tokens=9, seed=3, stop=("\n\n",))
        ChatModelGenerator(model).generate(request)
        ChatModelGenerator(model, pass_on=("temperature", "max_tokens", "seed", "stop")).generate(request)
        assert model.options == [
            {"stop": None},
            {"stop": ["\n\n"], "temperature": 0.7, "max_tokens": 9, "seed": 3},
        ]

    def test_what_comes_after_a_stop_is_cut_off_all_the_same(self):
        generator = ChatModelGenerator(recorder("A passage.\n\n\nAnother one."))
        assert generator.generate(GenerationRequest("Why?", stop=("\n\n\n",))).texts == ("A passage.",)

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (
                AIMessage("", tool_calls=[{"name": "search", "args": {}, "id": "1", "type": "tool_call"}]),
                r"called the tools \['search'\]",
            ),
            (
                AIMessage(
                    "text too", tool_calls=[{"name": "add", "args": {}, "id": "1", "type": "tool_call"}]
                ),
                r"called the tools \['add'\]",
            ),
            (
                AIMessage(
                    "",
                    invalid_tool_calls=[
                        {"name": "sub", "args": "{", "id": "1", "error": "bad", "type": "invalid_tool_call"}
                    ],
                ),
                r"called the tools \['sub'\]",
            ),
            (AIMessage(""), "empty content"),
            (AIMessage(" \n "), "empty content"),
            (AIMessage([]), "empty content"),
            (AIMessage([{"type": "reasoning", "reasoning": "hm"}]), "empty content"),
            (AIMessage([{"type": "image_url", "image_url": {"url": "x"}}]), "empty content"),
        ],
    )
    async def test_tool_calls_and_empty_content_are_generation_errors(self, message, said):
        generator = ChatModelGenerator(recorder(message))
        with pytest.raises(GenerationError, match=said):
            generator.generate("Why?")
        with pytest.raises(GenerationError, match=said):
            await generator.agenerate("Why?")

    def test_of_content_in_blocks_the_texts_are_taken(self):
        message = AIMessage(
            [
                {"type": "reasoning", "reasoning": "hm"},
                {"type": "text", "text": "Keys "},
                {"type": "text", "text": "turn."},
            ]
        )
        assert ChatModelGenerator(recorder(message)).generate("Why?").texts == ("Keys turn.",)

    def test_usage_is_the_models_own(self):
        message = AIMessage("yes", usage_metadata={"input_tokens": 7, "output_tokens": 2, "total_tokens": 9})
        generation = ChatModelGenerator(recorder(message)).generate(GenerationRequest("Why?", samples=2))
        assert generation.usage == Usage(14, 4, calls=2)

    def test_one_failed_sample_costs_no_other(self):
        turns = iter([RuntimeError("rate limit"), "one", "two"])

        def answer(_):
            said = next(turns)
            if isinstance(said, Exception):
                raise said
            return said

        generator = ChatModelGenerator(RunnableLambda(answer), at_once=1)
        generation = generator.generate(GenerationRequest("Why?", samples=3, enough=3))
        assert sorted(generation.texts) == ["one", "two"]
        assert "rate limit" in generation.failures[0]

    def test_a_failed_model_is_a_generation_error_that_names_it(self):
        def fail(_):
            raise RuntimeError("quota")

        with pytest.raises(GenerationError, match="the language model fail failed: RuntimeError: quota"):
            ChatModelGenerator(RunnableLambda(fail)).generate("Why?")
        with pytest.raises(GenerationError, match="a message or a text, got a dict"):
            ChatModelGenerator(RunnableLambda(lambda _: {"a": 1}).with_config(run_name="m")).generate("Why?")

    async def test_a_model_that_takes_too_long_is_given_up(self):
        async def slow(_):
            await asyncio.sleep(5)
            return "late"

        generator = ChatModelGenerator(RunnableLambda(slow))
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await generator.agenerate(GenerationRequest("Why?", timeout=0.1))
        assert time.monotonic() - began < 2

    async def test_models_that_stream_bindings_fallbacks_and_plain_language_models_serve(self):
        streaming = GenericFakeChatModel(messages=iter([AIMessage("Keys turn.")] * 2))
        assert ChatModelGenerator(streaming).generate("Why?").texts == ("Keys turn.",)
        assert (await ChatModelGenerator(streaming).agenerate("Why?")).texts == ("Keys turn.",)
        bound = recorder().bind(temperature=0.7)
        assert ChatModelGenerator(bound).generate("Why?").texts
        broken = RunnableLambda(lambda _: 1 / 0)
        assert ChatModelGenerator(broken.with_fallbacks([recorder("fallback")])).generate("Why?").texts == (
            "fallback",
        )
        heard = []

        class Plain(FakeListLLM):
            def _call(self, prompt, *args, **kwargs):
                heard.append(prompt)
                return super()._call(prompt, *args, **kwargs)

        request = GenerationRequest((Message("system", "Be brief."), Message("user", "Why?")))
        assert ChatModelGenerator(Plain(responses=["plain"])).generate(request).texts == ("plain",)
        assert heard == ["Be brief.\n\nWhy?"]

    @pytest.mark.parametrize("wrong", ["gpt-4o", None, len])
    def test_what_is_no_model_is_refused(self, wrong):
        with pytest.raises(ConfigurationError, match="model must be a LangChain chat model"):
            ChatModelGenerator(wrong)

    @pytest.mark.parametrize("wrong", ["temperature", ("top_p",)])
    def test_settings_that_do_not_exist_are_refused(self, wrong):
        with pytest.raises(ConfigurationError, match="pass_on"):
            ChatModelGenerator(recorder(), pass_on=wrong)

    def test_its_answers_go_to_disk_only_under_a_name(self):
        assert ChatModelGenerator(recorder()).identity is None
        assert ChatModelGenerator(recorder(), identity="gpt").identity == "gpt"


class Counting(Embeddings):
    """Tells queries from documents, and counts."""

    model_name = "counting-1"

    def __init__(self):
        self.calls = []

    def embed_query(self, text):
        self.calls.append(("query", text))
        return [1.0, 0.0, float(len(text) % 5)]

    def embed_documents(self, texts):
        self.calls.append(("documents", len(texts)))
        return [[0.0, 1.0, float(len(text) % 5)] for text in texts]


class TestEmbeddingsEncoder:
    def test_queries_and_documents_go_their_own_ways(self):
        embeddings = Counting()
        encoder = EmbeddingsEncoder(embeddings)
        assert encoder.encode_query(["why"]) == [[1.0, 0.0, 3.0]]
        assert encoder.encode_document(["why", "what"]).tolist() == [[0.0, 1.0, 3.0], [0.0, 1.0, 4.0]]
        assert encoder.embeddings is embeddings

    def test_queries_that_come_again_are_not_embedded_again(self):
        embeddings = Counting()
        encoder = EmbeddingsEncoder(embeddings)
        encoder.encode_query(["why"])
        before = len(embeddings.calls)
        encoder.encode_query(["why"])
        assert len(embeddings.calls) == before

    @pytest.mark.parametrize("own_async", [True, False])
    async def test_queries_of_many_callers_wait_for_a_service_side_by_side(self, fresh, own_async):
        class Local(DeterministicFakeEmbedding):
            def embed_query(self, text):
                busy.append(len(busy) + 1)
                most.append(len(busy))
                time.sleep(0.05)
                busy.pop()
                return super().embed_query(text)

        class Service(Local):
            async def aembed_query(self, text):
                raise AssertionError("the collection's own threads wait for it")

        busy, most = [], []
        embeddings = (Service if own_async else Local)(size=8)
        docs = Collection.create(fresh, f"many-{own_async}", dense=EmbeddingsEncoder(embeddings))
        docs.indexer(progress=False).add(["keys"])
        retriever = HydrantRetriever(pipeline=docs.retriever())
        texts = [f"question {number}" for number in range(6)]
        found = await asyncio.gather(*map(retriever.ainvoke, texts))
        assert [len(documents) for documents in found] == [1] * len(texts)
        assert (max(most) > 2) is own_async
        rows = EmbeddingsEncoder(embeddings).encode_query(texts)
        assert np.allclose(rows, [DeterministicFakeEmbedding(size=8).embed_query(text) for text in texts])

    def test_a_collection_remembers_them_and_refuses_others(self, fresh):
        encoder = EmbeddingsEncoder(Counting())
        assert encoder.record()["model"].endswith("Counting counting-1)")
        made = Collection.create(fresh, "embedded", dense=encoder)
        made.indexer(progress=False).add(["keys", "backups"])
        again = HydrantRetriever.from_collection(fresh, "embedded", dense=EmbeddingsEncoder(Counting()), k=1)
        assert again.invoke("keys")
        with pytest.raises(EncoderMismatch, match="counting-1"):
            Collection.open(fresh, "embedded", dense=EmbeddingsEncoder(DeterministicFakeEmbedding(size=3)))
        with pytest.raises(ConfigurationError, match=r"counting-1.*hand the same encoder"):
            Collection.open(fresh, "embedded")

    def test_a_name_of_ones_own_is_what_is_remembered(self):
        assert "prod" in EmbeddingsEncoder(Counting(), name="prod").record()["model"]

    @pytest.mark.parametrize("wrong", ["text-embedding-3-small", None, len])
    def test_what_is_no_embeddings_is_refused(self, wrong):
        with pytest.raises(ConfigurationError, match="embeddings must be a LangChain Embeddings"):
            EmbeddingsEncoder(wrong)


class TestHydeExpander:
    def test_it_goes_before_a_retriever_with_a_pipe(self, docs, ears):
        llm = FakeListChatModel(responses=["The robot rotates certificates and keys."])
        chain = HydeExpander.from_llm(llm, hypotheses=1, cache=None) | HydrantRetriever(
            pipeline=docs.retriever(), k=3
        )
        generator = ScriptedGenerator("The robot rotates certificates and keys.")
        inside = HydrantRetriever(pipeline=Hyde(generator, hypotheses=1) >> docs.retriever(), k=3)
        assert chain.invoke(QUESTION, {"callbacks": [ears]}) == inside.invoke(QUESTION)
        assert ears.tree() == [
            (
                "RunnableSequence",
                [("HydeExpander", [("hyde", ["FakeListChatModel"])]), ("HydrantRetriever", ["retrieve"])],
            )
        ]

    async def test_async_is_the_same(self, docs):
        llm = FakeListChatModel(responses=["The robot rotates keys."])
        chain = HydeExpander.from_llm(llm, hypotheses=2) | HydrantRetriever(pipeline=docs.retriever(), k=3)
        assert await chain.ainvoke(QUESTION) == chain.invoke(QUESTION)

    def test_the_question_is_still_the_question_and_the_hypotheses_are_on_it(self):
        expander = HydeExpander.from_llm(ScriptedGenerator(["one", "two"]), hypotheses=2)
        expanded = expander.invoke(QUESTION)
        assert isinstance(expanded, str)
        assert expanded == QUESTION
        assert expanded.hypotheses == ("one", "two")
        assert pickle.loads(pickle.dumps(expanded)).hypotheses == ("one", "two")

    def test_expansions_can_follow_each_other(self, docs):
        first = HydeExpander.from_llm(ScriptedGenerator("a hypothesis"), hypotheses=1)
        second = HydeExpander(expansion=MultiQuery(ScriptedGenerator("other words\nmore words")))
        expanded = (first | second).invoke(QUESTION)
        assert expanded.hypotheses[0] == "a hypothesis"
        assert len(expanded.hypotheses) > 1
        assert HydrantRetriever(pipeline=docs.retriever()).invoke(expanded)

    def test_a_model_that_fails_leaves_the_question_as_it_was(self, caplog):
        expander = HydeExpander.from_llm(FailingGenerator(RuntimeError("quota")))
        expanded = expander.invoke(QUESTION)
        assert isinstance(expanded, ExpandedQuery)
        assert expanded == QUESTION
        assert expanded.hypotheses == ()
        assert "quota" in caplog.text

    def test_any_other_retriever_gets_the_question(self):
        store = InMemoryVectorStore.from_texts(["Keys"], DeterministicFakeEmbedding(size=4))
        chain = HydeExpander.from_llm(ScriptedGenerator("one"), hypotheses=1) | store.as_retriever()
        assert [document.page_content for document in chain.invoke(QUESTION)] == ["Keys"]


class TestHydeEmbeddings:
    def test_a_querys_vector_is_the_mean_of_its_own_and_the_hypotheses(self):
        embeddings = Counting()
        hyde = HydeEmbeddings.from_llm(
            ScriptedGenerator(["one", "three"]), embeddings, hypotheses=2, normalize=False
        )
        vector = hyde.embed_query("why")
        assert vector == pytest.approx([1 / 3, 2 / 3, (3 + 3 + 0) / 3])
        assert ("documents", 2) in embeddings.calls

    async def test_vectors_are_brought_to_length_one_first(self):
        hyde = HydeEmbeddings.from_llm(ScriptedGenerator(["one", "three"]), Counting(), hypotheses=2)
        vector = await hyde.aembed_query("why")
        assert math.hypot(*vector) == pytest.approx(1)
        rows = [[1, 0, 3], [0, 1, 3], [0, 1, 0]]
        mean = [sum(row[at] / math.hypot(*row) for row in rows) for at in range(3)]
        assert vector == pytest.approx([value / math.hypot(*mean) for value in mean])
        assert vector == pytest.approx(hyde.embed_query("why"))

    def test_the_query_counts_as_it_is_weighed(self):
        weighed = HydeEmbeddings.from_llm(
            ScriptedGenerator("one"), Counting(), hypotheses=1, query_weight=3.0, normalize=False
        )
        assert weighed.embed_query("why")[:2] == pytest.approx([0.75, 0.25])

    def test_documents_are_embedded_as_ever(self):
        hyde = HydeEmbeddings.from_llm(ScriptedGenerator("one"), Counting())
        assert hyde.embed_documents(["why"]) == Counting().embed_documents(["why"])

    async def test_a_model_that_fails_leaves_the_querys_own_vector(self, caplog):
        hyde = HydeEmbeddings.from_llm(FailingGenerator(RuntimeError("quota")), Counting())
        assert hyde.embed_query("why") == Counting().embed_query("why")
        assert await hyde.aembed_query("why") == Counting().embed_query("why")
        assert "quota" in caplog.text

    def test_it_serves_any_vector_store_and_the_chains_callbacks_hear_of_it(self, ears):
        llm = FakeListChatModel(responses=["Keys are rotated."])
        hyde = HydeEmbeddings.from_llm(
            llm, DeterministicFakeEmbedding(size=8), hypotheses=2, enough=2, cache=None
        )
        store = InMemoryVectorStore.from_texts(["Keys are rotated.", "Backups"], hyde)
        chain = RunnableLambda(lambda question: store.similarity_search(question, k=1))
        (document,) = chain.invoke(QUESTION, {"callbacks": [ears]})
        assert document.page_content == "Keys are rotated."
        assert ears.tree() == [("RunnableLambda", [("hyde", ["FakeListChatModel"] * 2)])]

    def test_modes_that_need_a_collection_are_refused(self):
        with pytest.raises(ConfigurationError, match="mode='mean'"):
            HydeEmbeddings(Hyde(ScriptedGenerator("one"), mode="fuse"), Counting())
        with pytest.raises(ConfigurationError, match="embeddings must be"):
            HydeEmbeddings(Hyde(ScriptedGenerator("one")), "a-model")


def test_hyde_with_a_chat_model_degrades_in_the_pipeline(docs):
    message = AIMessage("", tool_calls=[{"name": "search", "args": {}, "id": "1", "type": "tool_call"}])
    retriever = HydrantRetriever(
        pipeline=Hyde(ChatModelGenerator(recorder(message))) >> docs.retriever(), k=1
    )
    (document,) = retriever.invoke(QUESTION)
    (degraded,) = document.metadata["_hydrant"]["degraded"]
    assert degraded["stage"] == "hyde"
    assert "called the tools ['search']" in degraded["reason"]


def test_passages_and_embeddings_of_langchain_make_a_collection(fresh):
    made = Collection.create(fresh, "mixed", dense=EmbeddingsEncoder(DeterministicFakeEmbedding(size=16)))
    made.indexer(progress=False).add([Passage("keys", id="k"), Passage("backups", id="b")])
    (document,) = HydrantRetriever(pipeline=made.retriever(), k=1).invoke("keys")
    assert document.id == "k"
