"""Generators over models that give one answer a call, and passages that carry another framework's node."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading

import pytest

from hydrant import Generation, GenerationRequest, Passage, PayloadMap, SingleSampleGenerator, Usage
from hydrant.errors import ConfigurationError

WHO = contextvars.ContextVar("WHO", default="nobody")


class Model(SingleSampleGenerator):
    """Answers with its seed and who asked; every third sample fails where it is told so."""

    def __init__(self, *, failing=False, at_once=None):
        super().__init__(at_once=at_once)
        self.failing = failing
        self.running = 0
        self.most = 0
        self._lock = threading.Lock()

    def sample(self, request):
        assert request.samples == 1
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        threading.Event().wait(0.01)
        with self._lock:
            self.running -= 1
        if self.failing and request.seed % 3 == 0:
            raise RuntimeError("broken")
        return Generation((f"{request.seed} for {WHO.get()}",), Usage(1, 2, 1))


REQUEST = GenerationRequest("why", samples=4, seed=0, temperature=1.0)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_every_sample_is_a_call_with_a_seed_and_the_callers_context(how):
    WHO.set("me")
    model = Model()
    given = model.generate(REQUEST) if how == "sync" else asyncio.run(model.agenerate(REQUEST))
    assert given.texts == ("0 for me", "1 for me", "2 for me", "3 for me")
    assert given.usage == Usage(4, 8, 4)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_sample_that_fails_costs_the_others_nothing(how):
    model = Model(failing=True)
    given = model.generate(REQUEST) if how == "sync" else asyncio.run(model.agenerate(REQUEST))
    assert len(given.texts) == 2
    assert given.failures == ("RuntimeError: broken",) * 2


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_more_calls_are_under_way_than_was_said(at_once):
    model = Model(at_once=at_once)
    model.generate(REQUEST)
    asyncio.run(model.agenerate(REQUEST))
    assert model.most == at_once
    with pytest.raises(ConfigurationError, match="at_once"):
        Model(at_once=0)


def test_a_node_of_llama_index_goes_in_and_comes_out_as_it_was():
    layout = PayloadMap.llama_index()
    origin = {"_node_content": json.dumps({"text": "keys"}), "_node_type": "TextNode", "doc_id": "a"}
    passage = Passage("embedded: keys", metadata={"lang": "en", "file_path": "a.md"}, origin=origin)
    payload = layout.payload(passage)
    assert payload == {"lang": "en", "file_path": "a.md", **origin}
    back = layout.passage(payload, 1)
    assert (back.text, back.source, back.metadata, back.origin) == ("keys", "a.md", {"lang": "en"}, origin)
    assert back == Passage("keys", source="a.md", metadata={"lang": "en"})


@pytest.mark.parametrize("node", [None, 7, "no JSON", "[]", "{}"])
def test_what_is_no_node_is_not_written_as_one(node):
    with pytest.raises(ConfigurationError, match="LlamaIndex"):
        PayloadMap.llama_index().payload(
            Passage("keys", origin={} if node is None else {"_node_content": node})
        )


def test_metadata_cannot_take_a_nodes_place():
    origin = {"_node_content": json.dumps({"text": "keys"})}
    with pytest.raises(ConfigurationError, match="doc_id"):
        PayloadMap.llama_index().payload(Passage("keys", metadata={"doc_id": "other"}, origin=origin))
