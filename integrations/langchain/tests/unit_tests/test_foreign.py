"""Collections that langchain_qdrant wrote are read as they are, and it reads what we wrote."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode, SparseEmbeddings, SparseVector
from qdrant_client import models

from hydrant import Bm25Encoder, Collection, PayloadMap
from hydrant.encode.base import Encoder
from hydrant.errors import PayloadUnmapped, TenantRequired, UnknownVector
from hydrant.testing import HashEncoder
from langchain_hydrant import EmbeddingsEncoder, HydrantIndex, HydrantRetriever

SIZE = 64
IDS = [f"00000000-0000-0000-0000-00000000000{at}" for at in range(3)]
DOCUMENTS = [
    Document("Keys are rotated with keyctl.", metadata={"source": "keys.md", "page": 1}),
    Document("Backups are written every night.", metadata={"source": "backups.md", "page": 2}),
    Document("Logs are kept for thirty days.", metadata={}),
]


class Hashed(Embeddings):
    """Hydrant's model-free encoder as LangChain's embeddings."""

    def __init__(self):
        self._encoder = HashEncoder(SIZE)

    def embed_documents(self, texts):
        return self._encoder.encode_document(texts)

    def embed_query(self, text):
        return self._encoder.encode_query([text])[0]


class Words(SparseEmbeddings):
    """Hydrant's BM25 as langchain_qdrant's sparse embeddings."""

    def __init__(self, encoder: Encoder):
        self._encoder = encoder

    def embed_documents(self, texts):
        return [self._vector(each) for each in self._encoder.encode_document(texts)]

    def embed_query(self, text):
        return self._vector(self._encoder.encode_query([text])[0])

    def _vector(self, sparse):
        return SparseVector(indices=list(sparse.indices), values=list(sparse.values))


def theirs(client, *, dense="", sparse=None, **keys):
    params = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
    client.create_collection(
        "theirs",
        vectors_config={dense: params} if dense else params,
        sparse_vectors_config=sparse and {sparse: models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    store = QdrantVectorStore(
        client=client,
        collection_name="theirs",
        embedding=Hashed(),
        vector_name=dense,
        **(
            {"sparse_embedding": Words(Bm25Encoder(average_length=5.0)), "sparse_vector_name": sparse}
            if sparse
            else {}
        ),
        retrieval_mode=RetrievalMode.HYBRID if sparse else RetrievalMode.DENSE,
        **keys,
    )
    store.add_documents(DOCUMENTS, ids=IDS)
    return store


@pytest.mark.parametrize("name", ["", "dense", "my-vector"])
def test_a_dense_collection_of_theirs_is_read_as_it_is(fresh, name):
    store = theirs(fresh, dense=name)
    retriever = HydrantRetriever.from_collection(
        fresh, "theirs", dense=EmbeddingsEncoder(Hashed()), allow_unindexed=True, k=3
    )
    found = retriever.invoke("keys rotated")
    expected = store.similarity_search_with_score("keys rotated", k=3)
    assert [each.page_content for each in found] == [document.page_content for document, _ in expected]
    assert [each.metadata["score"] for each in found] == pytest.approx([score for _, score in expected])
    assert [each.id for each in found] == [document.metadata["_id"] for document, _ in expected]
    assert found[0].metadata["page"] == 1
    assert found[0].metadata["source"] == "keys.md"
    (only,) = retriever.invoke("keys", filter={"page": 2})
    assert only.id == IDS[1]


def test_a_hybrid_collection_of_theirs_is_searched_both_ways(fresh):
    theirs(fresh, dense="dense", sparse="sparse")
    retriever = HydrantRetriever.from_collection(
        fresh, "theirs", dense=EmbeddingsEncoder(Hashed()), sparse=Bm25Encoder(average_length=5.0), k=1
    )
    (document,) = retriever.invoke("keys rotated")
    assert document.id == IDS[0]
    assert {"dense", "sparse"} <= set(document.metadata["_hydrant"]["stages"])


def test_keys_of_their_own_are_named(fresh):
    theirs(fresh, content_payload_key="body", metadata_payload_key="meta")
    with pytest.raises(PayloadUnmapped, match=r"keys seen: \['body', 'meta'\]"):
        HydrantRetriever.from_collection(fresh, "theirs", dense=EmbeddingsEncoder(Hashed()))
    layout = PayloadMap.langchain(text="body", metadata="meta")
    retriever = HydrantRetriever.from_collection(
        fresh, "theirs", dense=EmbeddingsEncoder(Hashed()), payload=layout, k=1
    )
    assert retriever.invoke("keys")[0].metadata["source"] == "keys.md"


def test_a_vector_that_is_not_there_names_those_that_are(fresh):
    theirs(fresh, dense="text-dense")
    with pytest.raises(UnknownVector, match="text-dense"):
        HydrantRetriever.from_collection(
            fresh, "theirs", dense=EmbeddingsEncoder(Hashed()), vectors={"dense": "vector"}
        )


def test_documents_are_put_into_their_collection_and_they_find_them(fresh):
    store = theirs(fresh)
    collection = Collection.open(fresh, "theirs", dense=EmbeddingsEncoder(Hashed()))
    documents = HydrantIndex(collection=collection)
    own = "00000000-0000-0000-0000-0000000000ff"
    documents.upsert([Document("Certificates are renewed.", id=own, metadata={"source": "c.md"})])
    (found,) = store.similarity_search("certificates renewed", k=1)
    assert found.page_content == "Certificates are renewed."
    assert found.metadata["source"] == "c.md"
    assert store.get_by_ids([own])[0].page_content == "Certificates are renewed."
    assert [each.metadata for each in documents.get(IDS[:1])] == [DOCUMENTS[0].metadata]
    documents.delete(IDS[:1])
    assert store.get_by_ids(IDS[:1]) == []


def test_a_collection_of_ours_in_their_layout_is_theirs_to_read(fresh):
    ours = Collection.create(
        fresh, "ours", dense=HashEncoder(SIZE), sparse=Bm25Encoder(), payload=PayloadMap.langchain()
    )
    HydrantIndex(collection=ours).upsert(
        [
            Document(each.page_content, id=own, metadata=each.metadata)
            for each, own in zip(DOCUMENTS, IDS, strict=True)
        ]
    )
    # What BM25 learned of the passages is the collection's.
    words = Words(ours.sources["sparse"].encoder)
    store = QdrantVectorStore(
        client=fresh,
        collection_name="ours",
        embedding=Hashed(),
        sparse_embedding=words,
        vector_name="dense",
        sparse_vector_name="sparse",
        retrieval_mode=RetrievalMode.HYBRID,
    )
    (found,) = store.similarity_search("keys rotated", k=1)
    assert found.page_content == DOCUMENTS[0].page_content
    assert {key: found.metadata[key] for key in ("source", "page")} == DOCUMENTS[0].metadata
    assert found.metadata["_id"] == IDS[0]


def test_a_collection_that_nobody_can_map_says_which_keys_were_seen(fresh):
    fresh.create_collection("odd", models.VectorParams(size=SIZE, distance=models.Distance.COSINE))
    fresh.upsert("odd", [models.PointStruct(id=1, vector=[0.1] * SIZE, payload={"abstract": "x", "year": 1})])
    with pytest.raises(PayloadUnmapped, match=r"\['abstract', 'year'\]"):
        HydrantRetriever.from_collection(fresh, "odd", dense=HashEncoder(SIZE))
    retriever = HydrantRetriever.from_collection(
        fresh, "odd", dense=HashEncoder(SIZE), payload=PayloadMap.flat("abstract")
    )
    (document,) = retriever.invoke("x")
    assert (document.id, document.page_content, document.metadata["year"]) == ("1", "x", 1)


def test_a_field_of_theirs_keeps_tenants_apart_when_it_is_named(fresh):
    store = theirs(fresh)
    own = "00000000-0000-0000-0000-0000000000aa"
    store.add_texts(["Keys of acme."], metadatas=[{"customer": "acme"}], ids=[own])
    retriever = HydrantRetriever.from_collection(
        fresh, "theirs", dense=EmbeddingsEncoder(Hashed()), tenant_field="metadata.customer", tenant="acme"
    )
    assert [document.id for document in retriever.invoke("keys")] == [own]
    with pytest.raises(TenantRequired):
        retriever.invoke("keys", tenant=None)
