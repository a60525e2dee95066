"""LlamaIndex's language and embedding models as Hydrant's."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.bridge.pydantic import Field
from llama_index.core.callbacks import CallbackManager
from llama_index.core.embeddings import BaseEmbedding, MockEmbedding
from llama_index.core.llms import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    CustomLLM,
    LLMMetadata,
    MockLLM,
)
from llama_index.core.schema import TextNode
from llama_index.core.settings import Settings

from hydrant import Collection, GenerationRequest, Hyde, Message, Usage
from hydrant.errors import ConfigurationError, EncoderMismatch, GenerationError
from hydrant.testing import HashEncoder
from llama_index.retrievers.hydrant import (
    HydrantHyDE,
    HydrantIndexer,
    HydrantRetriever,
    LlamaIndexGenerator,
    embedding_encoder,
)


class Completing(CustomLLM):
    """A completion model that keeps how it was asked."""

    temperature: float = 0.1
    max_tokens: int = 64
    model: str = "completing-1"
    asked: list = Field(default_factory=list)
    said: Any = "rivers flow"

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.model)

    def complete(self, prompt, formatted=False, **kwargs):
        self.asked.append((prompt, self.temperature, self.max_tokens))
        return CompletionResponse(
            text=self.said, additional_kwargs={"prompt_tokens": 5, "completion_tokens": 2}
        )

    def stream_complete(self, prompt, formatted=False, **kwargs):
        raise NotImplementedError


class Chatting(Completing):
    """A chat model, truly async."""

    loops: list = Field(default_factory=list)

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.model, is_chat_model=True)

    def _response(self, messages):
        self.asked.append((messages, self.temperature, self.max_tokens))
        message = (
            self.said
            if isinstance(self.said, ChatMessage)
            else ChatMessage(role="assistant", content=self.said)
        )
        return ChatResponse(message=message)

    def chat(self, messages, **kwargs):
        return self._response(messages)

    async def achat(self, messages, **kwargs):
        self.loops.append(asyncio.get_running_loop())
        return self._response(messages)


REQUEST = GenerationRequest(
    (Message("system", "Be brief."), Message("user", "Why?")), samples=3, temperature=0.7, max_tokens=99
)


def generate(llm, request, how):
    generator = LlamaIndexGenerator(llm)
    if how == "sync":
        return generator.generate(request)
    return asyncio.run(generator.agenerate(request))


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_completion_model_is_asked_once_a_sample_with_the_whole_prompt(how):
    llm = Completing(asked=[])
    given = generate(llm, REQUEST, how)
    assert given.texts == ("rivers flow",) * 3
    assert given.usage == Usage(15, 6, 3)
    assert llm.asked == [("Be brief.\n\nWhy?", 0.7, 99)] * 3
    # What a request says is set on a copy.
    assert (llm.temperature, llm.max_tokens) == (0.1, 64)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_chat_model_is_asked_with_the_conversation(how):
    llm = Chatting(asked=[], loops=[])
    assert generate(llm, REQUEST, how).texts == ("rivers flow",) * 3
    (messages, temperature, tokens), *_ = llm.asked
    assert [(str(m.role.value), m.content) for m in messages] == [("system", "Be brief."), ("user", "Why?")]
    assert (temperature, tokens) == (0.7, 99)
    assert len(llm.loops) == (0 if how == "sync" else 3)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_chat_model_that_calls_tools_is_an_error_that_names_them(how):
    called = ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="search", tool_kwargs={})])
    with pytest.raises(GenerationError, match=r"\['search'\]"):
        generate(Chatting(said=called, asked=[], loops=[]), REQUEST, how)
    older = ChatMessage(role="assistant", content=None, additional_kwargs={"tool_calls": ["find"]})
    with pytest.raises(GenerationError, match="find"):
        generate(Chatting(said=older, asked=[], loops=[]), REQUEST, how)


@pytest.mark.parametrize("content", ["", "  ", None])
def test_a_chat_model_that_says_nothing_leaves_the_query_as_it_was(docs, content):
    empty = ChatMessage(role="assistant", content=content)
    transform = HydrantHyDE(Chatting(said=empty, asked=[], loops=[]), hypotheses=2)
    bundle = transform.run("sea")
    assert bundle.custom_embedding_strs == ["sea"]
    assert "hyde" in bundle.degraded[0]
    assert HydrantRetriever(docs.retriever()).retrieve(bundle)[0].metadata["_hydrant"]["degraded"] == list(
        bundle.degraded
    )


def test_tool_calls_beside_a_text_are_left_alone():
    both = ChatMessage(role="assistant", content="a text", additional_kwargs={"tool_calls": ["find"]})
    assert generate(Chatting(said=both, asked=[], loops=[]), "why", "sync").texts == ("a text",)


def test_the_models_own_events_are_raised_inside_the_search(docs, heard):
    class Speaking(MockLLM):
        pass

    search = Hyde(LlamaIndexGenerator(Speaking(max_tokens=3)), hypotheses=2) >> docs.retriever()
    HydrantRetriever(search).retrieve("sea")
    assert len(heard.of("LLMCompletionStartEvent")) == 2
    outer = heard.of("RetrievalStartEvent")[0]
    assert {event.span_id is not None for event in heard.of("LLMCompletionStartEvent")} == {True}
    assert outer.span_id is not None


def test_without_a_model_it_is_the_one_of_the_settings_at_the_time(monkeypatch):
    generator = LlamaIndexGenerator()
    assert generator.identity is None
    monkeypatch.setattr(Settings, "_llm", Completing(asked=[], said="late"))
    assert generator.generate("why").texts == ("late",)


def test_a_named_model_has_an_identity_for_caches_and_an_unnamed_one_none():
    assert LlamaIndexGenerator(Completing()).identity == f"llama_index {Completing.class_name()} completing-1"
    assert LlamaIndexGenerator(MockLLM()).identity is None


def test_copies_for_the_same_request_are_made_once():
    llm = Completing(asked=[])
    generator = LlamaIndexGenerator(llm)
    for _ in range(3):
        generator.generate(REQUEST)
    assert len(generator._copies) == 1
    for number in range(40):
        generator.generate(GenerationRequest("why", max_tokens=100 + number))
    assert len(generator._copies) <= 16
    assert len(llm.asked) == 3 * 3 + 40


def test_a_model_without_those_fields_keeps_its_own_settings():
    class Fixed(MockLLM):
        def complete(self, prompt, formatted=False, **kwargs):
            return CompletionResponse(text="fixed", additional_kwargs={"prompt_tokens": "many"})

    assert generate(Fixed(), REQUEST, "sync").usage == Usage(0, 0, 3)


@pytest.mark.parametrize("wrong", ["gpt", 7, MockEmbedding(embed_dim=2)])
def test_a_language_model_must_be_one(wrong):
    with pytest.raises(ConfigurationError, match="llm"):
        LlamaIndexGenerator(wrong)


# ---- embeddings --------------------------------------------------------------------------------------------------


class Hashed(BaseEmbedding):
    """A real vector for each text, other ones for queries; keeps what it was asked."""

    asked: list = Field(default_factory=list)

    def _vector(self, kind, text):
        self.asked.append((kind, text))
        return HashEncoder(32).vector(text)

    def _get_query_embedding(self, query):
        return self._vector("query", query)

    async def _aget_query_embedding(self, query):
        return self._vector("query", query)

    def _get_text_embedding(self, text):
        return self._vector("text", text)


@pytest.fixture
def embed_model():
    return Hashed(asked=[], model_name="hashed-32", embed_batch_size=2, callback_manager=CallbackManager([]))


def test_an_embedding_model_makes_queries_and_documents_each_in_its_own_way(client, embed_model):
    indexer = HydrantIndexer.create(client, "e", embed_model=embed_model)
    indexer.add([TextNode(text="the sea"), TextNode(text="a fox")])
    retriever = HydrantRetriever.from_client(client, "e", embed_model=embed_model)
    # How long its vectors are is found out once.
    retriever.warm_up()
    embed_model.asked.clear()
    found = retriever.retrieve("the sea")
    assert found[0].text == "the sea"
    assert found[0].score == pytest.approx(1.0, abs=1e-5)
    assert embed_model.asked == [("query", "the sea")]
    assert asyncio.run(HydrantRetriever.from_client(client, "e", embed_model=embed_model).aretrieve("a fox"))


@pytest.mark.parametrize("at_once", [1, 4])
def test_queries_of_many_callers_wait_for_a_service_side_by_side(client, at_once):
    busy, most = [], []

    class Service(Hashed):
        def _get_query_embedding(self, query):
            busy.append(query)
            most.append(len(busy))
            time.sleep(0.05)
            busy.pop()
            return super()._get_query_embedding(query)

    model = Service()
    indexer = HydrantIndexer.create(client, "many", dense=embedding_encoder(model, at_once=at_once))
    indexer.add([TextNode(text="keys")])
    retriever = HydrantRetriever(indexer.collection.retriever())

    async def ask():
        return await asyncio.gather(*(retriever.aretrieve(f"question {number}") for number in range(6)))

    assert [len(found) for found in asyncio.run(ask())] == [1] * 6
    assert (max(most) > 2) is (at_once > 1)


@pytest.mark.parametrize("wrong", [0, True, "2"])
def test_how_many_at_once_is_a_number(wrong):
    with pytest.raises(ConfigurationError, match="at_once"):
        embedding_encoder(Hashed(), at_once=wrong)


def test_a_collection_remembers_its_embedding_model(client, embed_model):
    HydrantIndexer.create(client, "e", embed_model=embed_model)
    other = Hashed(asked=[], model_name="hashed-64")
    with pytest.raises(EncoderMismatch, match=r"hashed-32.*hashed-64"):
        Collection.open(client, "e", dense=embedding_encoder(other))


def test_an_embedding_model_must_be_one(client):
    with pytest.raises(ConfigurationError, match="embed_model"):
        embedding_encoder(HashEncoder(4))
    for make in (HydrantIndexer.create, HydrantRetriever.from_client):
        with pytest.raises(ConfigurationError, match="one of them"):
            make(client, "e", embed_model=MockEmbedding(embed_dim=4), dense=HashEncoder(4))
