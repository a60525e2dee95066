"""What the tests of this package share: a small collection of nodes, events that were heard, offline models."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from llama_index.core.bridge.pydantic import Field
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import MockLLM
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.settings import Settings

from hydrant import Bm25Encoder, Collection, EdgeClient
from hydrant.testing import HashEncoder
from llama_index.retrievers.hydrant import HydrantIndexer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LONG = os.environ.get("HYDRANT_LONG") == "1"
_MEMORY = "/dev/shm"
if os.access(_MEMORY, os.W_OK):
    tempfile.tempdir = _MEMORY

settings.register_profile(
    "default",
    deadline=None,
    derandomize=not LONG,
    max_examples=300 if LONG else 40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("default")

TEXTS = {
    "keys": "keys open locks and doors",
    "foxes": "the quick brown fox runs",
    "rivers": "rivers flow into the sea",
    "gardens": "gardens need water and sun",
    "locks": "old locks of brown iron",
    "sea": "the sea is deep and the water cold",
}


def make_nodes():
    """A node for each text, of two documents, each with the one before it as its neighbour."""
    nodes = []
    for number, (topic, text) in enumerate(TEXTS.items()):
        node = TextNode(
            id_=f"00000000-0000-0000-0000-00000000000{number}",
            text=text,
            metadata={
                "topic": topic,
                "year": 2020 + number,
                "even": str(number % 2 == 0),
                "weight": number / 2,
            },
            excluded_embed_metadata_keys=["topic", "year", "even", "weight"],
            excluded_llm_metadata_keys=["weight"],
        )
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=f"doc-{number % 2}")
        if nodes:
            node.relationships[NodeRelationship.PREVIOUS] = nodes[-1].as_related_node_info()
        nodes.append(node)
    return nodes


FIELDS = {"topic": "keyword", "year": "integer", "even": "keyword", "weight": "float"}


@pytest.fixture
def nodes():
    return make_nodes()


@pytest.fixture
def client():
    """The embedded engine, empty."""
    with EdgeClient(":memory:") as made:
        yield made


@pytest.fixture(scope="session")
def shared_client():
    """The embedded engine for tests that only read."""
    with EdgeClient(":memory:") as made:
        yield made


@pytest.fixture(scope="session")
def docs(shared_client):
    """A collection of the nodes, dense and sparse, as our indexer writes it. Tests only read it."""
    indexer = HydrantIndexer.create(
        shared_client, "nodes", dense=HashEncoder(64), sparse=Bm25Encoder(), fields=FIELDS
    )
    assert indexer.add(make_nodes()).added == len(TEXTS)
    return indexer.collection


@pytest.fixture(scope="session")
def plain_docs(shared_client):
    """A collection in Hydrant's own layout: titles, sources, ids of its own. Tests only read it."""
    docs = Collection.create(
        shared_client,
        "plain",
        dense=HashEncoder(64),
        sparse=Bm25Encoder(),
        fields={"topic": "keyword", "year": "integer"},
    )
    docs.indexer(progress=False).add(
        {
            "id": f"own-{topic}",
            "text": text,
            "title": topic.title(),
            "source": f"{topic}.md",
            "topic": topic,
            "year": 2020 + number,
        }
        for number, (topic, text) in enumerate(TEXTS.items())
    )
    return docs


@pytest.fixture(autouse=True)
def _no_default_models(monkeypatch):
    """Whatever LlamaIndex would take from the network by default is a stand-in."""
    monkeypatch.setattr(Settings, "_llm", MockLLM())
    monkeypatch.setattr(Settings, "_embed_model", MockEmbedding(embed_dim=8))


class Heard(BaseEventHandler):
    """Keeps the events that were raised."""

    events: list = Field(default_factory=list)

    @classmethod
    def class_name(cls):
        return "Heard"

    def handle(self, event, **kwargs):
        self.events.append(event)

    def of(self, kind):
        return [event for event in self.events if type(event).__name__ == kind]


@pytest.fixture
def heard():
    """Every event of LlamaIndex's instrumentation while the test runs."""
    handler = Heard(events=[])
    root = get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)
