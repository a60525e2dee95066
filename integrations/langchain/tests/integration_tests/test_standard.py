"""LangChain's own standard tests, all of them, none skipped and none overridden."""

from __future__ import annotations

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    ToolsIntegrationTests,
)
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite
from langchain_tests.unit_tests import EmbeddingsUnitTests, ToolsUnitTests

from hydrant import Bm25Encoder, Collection, EdgeClient, Hyde, PayloadMap, Top
from hydrant.testing import HashEncoder
from langchain_hydrant import (
    ChatModelGenerator,
    HydeEmbeddings,
    HydrantIndex,
    HydrantRetriever,
    create_hydrant_tool,
)


@pytest.fixture(scope="module", autouse=True)
def shared(docs):
    """What the properties of the standard classes, which take no fixtures, are made of."""
    Shared.docs = docs


class Shared:
    docs: Collection


def chat_model():
    return FakeListChatModel(responses=["Rotate keys with keyctl.", "Keys are kept in the vault."])


class TestRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self):
        return HydrantRetriever

    @property
    def retriever_constructor_params(self):
        return {"pipeline": Shared.docs.retriever()}

    @property
    def retriever_query_example(self):
        return "How are keys rotated?"


class TestRetrieverOfAPipeline(TestRetriever):
    @property
    def retriever_constructor_params(self):
        llm = ChatModelGenerator(chat_model())
        return {"pipeline": Hyde(llm, hypotheses=2) >> Shared.docs.retriever() >> Top(5), "k": 2}


class TestIndexAsARetriever(TestRetriever):
    @property
    def retriever_constructor(self):
        return HydrantIndex

    @property
    def retriever_constructor_params(self):
        return {"collection": Shared.docs}


class TestHydeEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return HydeEmbeddings

    @property
    def embedding_model_params(self):
        hyde = Hyde(ChatModelGenerator(chat_model()), hypotheses=2)
        return {"hyde": hyde, "embeddings": DeterministicFakeEmbedding(size=8)}


class TestHydeEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return HydeEmbeddings

    @property
    def embedding_model_params(self):
        hyde = Hyde(ChatModelGenerator(chat_model()), hypotheses=2)
        return {"hyde": hyde, "embeddings": DeterministicFakeEmbedding(size=8)}


def tool():
    retriever = HydrantRetriever(pipeline=Shared.docs.retriever(), k=2)
    return create_hydrant_tool(retriever, "search_manual", "Searches the manual.")


class TestToolUnit(ToolsUnitTests):
    @property
    def tool_constructor(self):
        return tool()

    @property
    def tool_invoke_params_example(self):
        return {"query": "How are keys rotated?"}


class TestTool(ToolsIntegrationTests):
    @property
    def tool_constructor(self):
        return tool()

    @property
    def tool_invoke_params_example(self):
        return {"query": "How are keys rotated?"}


def empty(client):
    return Collection.create(client, "index", dense=HashEncoder(), sparse=Bm25Encoder())


class TestIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, fresh):
        return HydrantIndex(collection=empty(fresh))


class TestAsyncIndex(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    async def index(self, fresh):
        return HydrantIndex(collection=empty(fresh))


class TestIndexInLangChainsLayout(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, fresh):
        made = Collection.create(fresh, "index", dense=HashEncoder(), payload=PayloadMap.langchain())
        return HydrantIndex(collection=made)


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
class TestIndexOnQdrantsLocalMode(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self):
        from qdrant_client import QdrantClient

        client = QdrantClient(":memory:")
        yield HydrantIndex(collection=Collection.create(client, "index", dense=HashEncoder()))
        client.close()


def test_the_engine_is_the_real_one(docs):
    assert isinstance(docs.clients.sync, EdgeClient)
