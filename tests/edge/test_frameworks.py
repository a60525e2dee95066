"""The Qdrant stores of LangChain and LlamaIndex run on the embedded engine unchanged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from qdrant_client import models

from hydrant.edge import EdgeClient

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXTS = [
    "the amber birch stands by the dune",
    "a cedar grows slowly",
    "the fjord is deep and cold",
    "elm leaves fall in autumn",
    "a dune moves with the wind",
]
DIM = 32


@pytest.fixture
def client() -> Iterator[EdgeClient]:
    with EdgeClient(":memory:") as made:
        yield made


def dense(text: str) -> list[float]:
    """Words hashed into a few dimensions: texts that share words are near."""
    vector = [0.0] * DIM
    for word in text.lower().split():
        vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % DIM] += 1.0
    return vector


def sparse(text: str) -> tuple[list[int], list[float]]:
    words = sorted(
        {int(hashlib.sha256(word.encode()).hexdigest(), 16) % 10_000 for word in text.lower().split()}
    )
    return words, [1.0] * len(words)


class TestLangChain:
    def store(self, client: EdgeClient, mode: str) -> Any:
        langchain = pytest.importorskip("langchain_qdrant")
        from langchain_core.embeddings import Embeddings

        class Dense(Embeddings):
            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [dense(text) for text in texts]

            def embed_query(self, text: str) -> list[float]:
                return dense(text)

        class Sparse(langchain.SparseEmbeddings):
            def embed_documents(self, texts: list[str]) -> list[Any]:
                return [self.embed_query(text) for text in texts]

            def embed_query(self, text: str) -> Any:
                indices, values = sparse(text)
                return langchain.SparseVector(indices=indices, values=values)

        client.create_collection(
            "docs",
            vectors_config={"dense": models.VectorParams(size=DIM, distance=models.Distance.COSINE)},
            sparse_vectors_config={"sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        return langchain.QdrantVectorStore(
            client=client,
            collection_name="docs",
            embedding=Dense(),
            sparse_embedding=Sparse(),
            retrieval_mode=langchain.RetrievalMode(mode),
            vector_name="dense",
            sparse_vector_name="sparse",
        )

    @pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
    def test_round_trip(self, client: EdgeClient, mode: str) -> None:
        store = self.store(client, mode)
        ids = store.add_texts(TEXTS, metadatas=[{"at": at} for at in range(len(TEXTS))])
        found = store.similarity_search_with_score("deep cold fjord", k=2)
        assert found[0][0].page_content == TEXTS[2]
        assert found[0][0].metadata["at"] == 2
        keep = models.Filter(must=[models.FieldCondition(key="metadata.at", range=models.Range(gte=3))])
        kept = store.similarity_search("dune", k=3, filter=keep)
        assert kept[0].page_content == TEXTS[4]
        assert {document.metadata["at"] for document in kept} <= {3, 4}
        assert [document.page_content for document in store.get_by_ids(ids[:2])] == TEXTS[:2]
        store.delete([ids[2]])
        assert TEXTS[2] not in [document.page_content for document in store.similarity_search("fjord", k=5)]
        retriever = store.as_retriever(search_kwargs={"k": 1})
        assert retriever.invoke("slowly cedar")[0].page_content == TEXTS[1]

    def test_diversity(self, client: EdgeClient) -> None:
        store = self.store(client, "dense")
        store.add_texts(TEXTS)
        assert len(store.max_marginal_relevance_search("dune", k=3, fetch_k=5)) == 3

    @pytest.mark.parametrize("mode", ["dense", "sparse", "hybrid"])
    async def test_round_trip_async(self, client: EdgeClient, mode: str) -> None:
        store = self.store(client, mode)
        ids = await store.aadd_texts(TEXTS)
        found = await store.asimilarity_search_with_score("deep cold fjord", k=2)
        assert found[0][0].page_content == TEXTS[2]
        await store.adelete(ids[2:3])
        assert client.count("docs").count == 4

    def test_it_makes_its_own_collection(self, tmp_path: Any, client: EdgeClient) -> None:
        langchain = pytest.importorskip("langchain_qdrant")
        from langchain_core.embeddings import DeterministicFakeEmbedding

        embedding = DeterministicFakeEmbedding(size=DIM)
        client.create_collection("own", models.VectorParams(size=DIM, distance=models.Distance.COSINE))
        store = langchain.QdrantVectorStore(client=client, collection_name="own", embedding=embedding)
        store.add_texts(TEXTS)
        assert store.similarity_search(TEXTS[3], k=1)[0].page_content == TEXTS[3]


class TestLlamaIndex:
    def store(self, client: EdgeClient, *, hybrid: bool) -> Any:
        module = pytest.importorskip("llama_index.vector_stores.qdrant")

        def encode(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
            pairs = [sparse(text) for text in texts]
            return [pair[0] for pair in pairs], [pair[1] for pair in pairs]

        return module.QdrantVectorStore(
            collection_name="docs",
            client=client,
            aclient=client.async_client(),
            enable_hybrid=hybrid,
            sparse_doc_fn=encode,
            sparse_query_fn=encode,
        )

    def nodes(self) -> list[Any]:
        from llama_index.core.schema import TextNode

        return [
            TextNode(
                text=text,
                id_=f"00000000-0000-0000-0000-00000000000{at}",
                embedding=dense(text),
                metadata={"at": at},
            )
            for at, text in enumerate(TEXTS)
        ]

    def query(self, text: str, *, hybrid: bool, **more: Any) -> Any:
        from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

        mode = VectorStoreQueryMode.HYBRID if hybrid else VectorStoreQueryMode.DEFAULT
        return VectorStoreQuery(
            query_embedding=dense(text), query_str=text, similarity_top_k=2, sparse_top_k=4, mode=mode, **more
        )

    @pytest.mark.parametrize("hybrid", [False, True])
    def test_round_trip(self, client: EdgeClient, hybrid: bool) -> None:
        pytest.importorskip("llama_index.vector_stores.qdrant")
        from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters

        store = self.store(client, hybrid=hybrid)
        nodes = self.nodes()
        store.add(nodes)
        found = store.query(self.query("deep cold fjord", hybrid=hybrid))
        assert found.nodes[0].get_content() == TEXTS[2]
        late = MetadataFilters(filters=[MetadataFilter(key="at", value=3, operator=FilterOperator.GTE)])
        found = store.query(self.query("dune", hybrid=hybrid, filters=late))
        assert found.nodes[0].get_content() == TEXTS[4]
        assert len(store.get_nodes(node_ids=[nodes[0].node_id])) == 1
        store.delete_nodes(node_ids=[nodes[2].node_id])
        assert client.count("docs").count == 4

    @pytest.mark.parametrize("hybrid", [False, True])
    async def test_round_trip_async(self, client: EdgeClient, hybrid: bool) -> None:
        store = self.store(client, hybrid=hybrid)
        await store.async_add(self.nodes())
        found = await store.aquery(self.query("deep cold fjord", hybrid=hybrid))
        assert found.nodes[0].get_content() == TEXTS[2]
        await store.adelete_nodes(node_ids=[self.nodes()[2].node_id])
        assert client.count("docs").count == 4
