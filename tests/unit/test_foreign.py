"""Collections that LangChain, LlamaIndex, Haystack and the MCP server wrote, opened and searched."""

from __future__ import annotations

import warnings

import pytest
from qdrant_client import QdrantClient, models

from hydrant import Bm25Encoder, Collection, EdgeClient, PayloadMap
from hydrant.errors import ConfigurationError, PayloadUnmapped
from hydrant.testing import HashEncoder

TEXTS = {
    "keys": "keys open locks and doors",
    "foxes": "the quick brown fox",
    "rivers": "rivers flow into the sea",
    "gardens": "gardens need water and sun",
}
ENCODER = HashEncoder(64)


@pytest.fixture(params=[EdgeClient, QdrantClient])
def client(request):
    client = request.param(":memory:")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Payload indexes have no effect", UserWarning)
        yield client
    client.close()


def checked(docs, topic, *, sources):
    """The passage of each topic comes first, with the metadata that its writer gave it."""
    for name, text in TEXTS.items():
        hit = docs.retriever(limit=2, sources=sources, explain=True).run(text).hits[0]
        assert hit.text == text
        assert hit.metadata[topic] == name
        assert not set(hit.metadata) & {"_node_content", "page_content", "text", "_hydrant"}
        assert set(hit.stages) == {*sources} | ({"fusion"} if len(sources) > 1 else set())


# ---- LangChain ---------------------------------------------------------------------------------------------------


def embeddings():
    from langchain_core.embeddings import Embeddings

    class Hashed(Embeddings):
        def embed_documents(self, texts):
            return [ENCODER.vector(text) for text in texts]

        def embed_query(self, text):
            return ENCODER.vector(text)

    return Hashed()


def sparse_embeddings():
    from langchain_qdrant import SparseEmbeddings, SparseVector

    bm25 = Bm25Encoder(average_length=5.0)

    class Sparse(SparseEmbeddings):
        def embed_documents(self, texts):
            return [SparseVector(indices=v.indices, values=v.values) for v in bm25.encode_document(texts)]

        def embed_query(self, text):
            (vector,) = bm25.encode_query([text])
            return SparseVector(indices=vector.indices, values=vector.values)

    return Sparse()


@pytest.mark.parametrize(
    "names", [{}, {"vector_name": "text"}, {"content_payload_key": "body", "metadata_payload_key": "about"}]
)
def test_langchains_dense_store_is_read(client, names):
    from langchain_core.documents import Document
    from langchain_qdrant import QdrantVectorStore

    client.create_collection(
        "lc",
        vectors_config=(
            {names["vector_name"]: models.VectorParams(size=64, distance=models.Distance.COSINE)}
            if "vector_name" in names
            else models.VectorParams(size=64, distance=models.Distance.COSINE)
        ),
    )
    store = QdrantVectorStore(client, "lc", embedding=embeddings(), **names)
    store.add_documents(
        [Document(text, metadata={"topic": name, "source": f"{name}.txt"}) for name, text in TEXTS.items()]
    )
    if "content_payload_key" in names:
        with pytest.raises(PayloadUnmapped, match="'about', 'body'"):
            Collection.open(client, "lc", dense=ENCODER)
        docs = Collection.open(client, "lc", dense=ENCODER, payload=PayloadMap.langchain("body", "about"))
    else:
        docs = Collection.open(client, "lc", dense=ENCODER)
        assert docs.payload == PayloadMap.langchain()
    checked(docs, "topic", sources=("dense",))
    hit = docs.retriever().run(TEXTS["keys"]).hits[0]
    assert hit.source == "keys.txt"
    assert docs.get([hit.id]) == [hit.passage]
    theirs = store.similarity_search_with_score("brown water", k=4)
    ours = docs.retriever(limit=4).run("brown water").hits
    assert {document.page_content: round(score, 4) for document, score in theirs} == {
        hit.text: round(hit.score, 4) for hit in ours
    }


def test_langchains_hybrid_store_is_read_and_written_so_that_langchain_reads_it_back(client):
    from langchain_core.documents import Document
    from langchain_qdrant import QdrantVectorStore, RetrievalMode

    client.create_collection(
        "lc",
        vectors_config={"dense": models.VectorParams(size=64, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    store = QdrantVectorStore(
        client,
        "lc",
        embedding=embeddings(),
        sparse_embedding=sparse_embeddings(),
        retrieval_mode=RetrievalMode.HYBRID,
        vector_name="dense",
        sparse_vector_name="bm25",
    )
    store.add_documents([Document(text, metadata={"topic": name}) for name, text in TEXTS.items()])
    docs = Collection.open(
        client, "lc", dense=ENCODER, sparse=Bm25Encoder(average_length=5.0), allow_unindexed=True
    )
    checked(docs, "topic", sources=("dense", "sparse"))
    checked(docs, "topic", sources=("sparse",))
    assert [hit.metadata["topic"] for hit in docs.retriever().run("x y", filter={"topic": "foxes"}).hits] == [
        "foxes"
    ]
    report = docs.indexer(progress=False).add([{"text": "zebras graze on grass", "topic": "zebras"}])
    assert (report.added, report.failures) == (1, ())
    (document, *_) = store.similarity_search("zebras graze on grass", k=1)
    assert document.page_content == "zebras graze on grass"
    assert document.metadata["topic"] == "zebras"
    assert docs.count() == 5


def test_bm25_that_a_foreign_collection_cannot_remember_has_to_be_given_its_length(client):
    client.create_collection(
        "lc",
        vectors_config={},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    docs = Collection.open(client, "lc", sparse=Bm25Encoder())
    with pytest.raises(ConfigurationError, match="average_length"):
        docs.indexer(progress=False).add(["text"])


# ---- LlamaIndex --------------------------------------------------------------------------------------------------


def nodes():
    from llama_index.core.schema import TextNode

    return [
        TextNode(
            text=text,
            metadata={"topic": name, "file_path": f"{name}.md", "year": 2020},
            embedding=ENCODER.vector(text),
        )
        for name, text in TEXTS.items()
    ]


def llama_store(client, **given):
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    return QdrantVectorStore(collection_name="li", client=client, **given)


def sparse_pairs(role):
    bm25 = Bm25Encoder(average_length=5.0)
    encode = bm25.encode_query if role == "query" else bm25.encode_document

    def pairs(texts):
        vectors = encode(texts)
        return [vector.indices for vector in vectors], [vector.values for vector in vectors]

    return pairs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("hybrid", [False, True])
def test_llama_indexs_store_is_read(client, hybrid):
    given = {}
    if hybrid:
        given = {
            "enable_hybrid": True,
            "sparse_doc_fn": sparse_pairs("document"),
            "sparse_query_fn": sparse_pairs("query"),
            "sparse_config": models.SparseVectorParams(modifier=models.Modifier.IDF),
        }
    store = llama_store(client, **given)
    ids = store.add(nodes())
    sparse = {"sparse": Bm25Encoder(average_length=5.0)} if hybrid else {}
    docs = Collection.open(client, "li", dense=ENCODER, allow_unindexed=True, **sparse)
    assert docs.payload == PayloadMap.llama_index()
    checked(docs, "topic", sources=("dense", "sparse") if hybrid else ("dense",))
    hit = docs.retriever().run(TEXTS["rivers"], filter={"topic": "rivers", "year": {"gte": 2000}}).hits[0]
    assert hit.source == "rivers.md"
    assert hit.id in ids
    assert docs.get([hit.id])[0].text == TEXTS["rivers"]
    report = docs.indexer(progress=False).add(["new"])
    assert "LlamaIndex" in report.failures[0].reason
    assert docs.count() == 4


# ---- Haystack and the MCP server, as they write it ---------------------------------------------------------------


def fill(client, payload, *, name=None):
    params = models.VectorParams(size=64, distance=models.Distance.COSINE)
    client.create_collection("other", vectors_config=params if name is None else {name: params})
    client.upsert(
        "other",
        [
            models.PointStruct(
                id=number,
                vector=ENCODER.vector(text) if name is None else {name: ENCODER.vector(text)},
                payload=payload(topic, text),
            )
            for number, (topic, text) in enumerate(TEXTS.items())
        ],
    )


def test_haystacks_documents_are_read(client):
    fill(
        client,
        lambda topic, text: {
            "id": f"hash-{topic}",
            "content": text,
            "blob": None,
            "meta": {"topic": topic, "file_path": f"{topic}.pdf"},
            "score": None,
        },
        name="text-dense",
    )
    docs = Collection.open(client, "other", dense=ENCODER)
    assert docs.payload == PayloadMap.haystack()
    checked(docs, "topic", sources=("dense",))
    hit = docs.retriever().run(TEXTS["foxes"]).hits[0]
    assert (hit.id, hit.source) == ("hash-foxes", "foxes.pdf")


def test_the_mcp_servers_entries_are_read(client):
    fill(
        client,
        lambda topic, text: {"document": text, "metadata": {"topic": topic}},
        name="fast-all-minilm-l6-v2",
    )
    docs = Collection.open(client, "other", dense=ENCODER)
    assert docs.payload == PayloadMap.mcp()
    checked(docs, "topic", sources=("dense",))


def test_flat_payloads_are_read_and_written_back(client):
    fill(client, lambda topic, text: {"body": text, "topic": topic, "url": f"https://x/{topic}"})
    docs = Collection.open(client, "other", dense=ENCODER, payload=PayloadMap.flat("body", source="url"))
    for name, text in TEXTS.items():
        hit = docs.retriever(limit=1).run(text).hits[0]
        assert (hit.text, hit.metadata, hit.source) == (text, {"topic": name}, f"https://x/{name}")
    docs.indexer(progress=False).add(
        [{"id": 77, "text": "zebras", "topic": "zebra", "source": "https://x/z"}]
    )
    (record,) = client.retrieve("other", [77])
    assert {key: value for key, value in record.payload.items() if key != "_hydrant"} == {
        "body": "zebras",
        "topic": "zebra",
        "url": "https://x/z",
    }


def test_opening_and_searching_changes_nothing_in_a_foreign_collection(client):
    fill(client, lambda topic, text: {"page_content": text, "metadata": {"topic": topic}})

    def everything():
        points, _ = client.scroll("other", limit=100, with_vectors=True)
        info = client.get_collection("other")
        # Local mode hands out vectors that differ in the last bit from call to call.
        seen = [(point.id, point.payload, [round(value, 5) for value in point.vector]) for point in points]
        return seen, info.config, info.payload_schema

    before = everything()
    docs = Collection.open(client, "other", dense=ENCODER)
    docs.retriever(explain=True).run("keys")
    docs.count()
    docs.get([1])
    assert everything() == before
