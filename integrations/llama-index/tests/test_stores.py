"""Collections of LlamaIndex's Qdrant store are read as they are, and it reads what the indexer wrote."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import ImageNode, IndexNode, MetadataMode, Node, TextNode
from llama_index.core.vector_stores.types import (
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient, models

from hydrant import Bm25Encoder, Collection, EdgeClient
from hydrant.errors import CollectionExists, ConfigurationError, TenantRequired
from hydrant.testing import HashEncoder
from llama_index.retrievers.hydrant import HydrantIndexer, HydrantQueryBundle, HydrantRetriever

ENCODER = HashEncoder(64)
BM25 = Bm25Encoder(average_length=5.0)


class Hashed(BaseEmbedding):
    def _get_query_embedding(self, query):
        return ENCODER.vector(query)

    async def _aget_query_embedding(self, query):
        return ENCODER.vector(query)

    def _get_text_embedding(self, text):
        return ENCODER.vector(text)


EMBEDDING = Hashed(model_name="hashed")


@pytest.fixture(params=[EdgeClient, QdrantClient])
def any_client(request):
    client = request.param(":memory:")
    yield client
    client.close()


def sparse(role):
    encode = BM25.encode_query if role == "query" else BM25.encode_document

    def pairs(texts):
        vectors = encode(texts)
        return [vector.indices for vector in vectors], [vector.values for vector in vectors]

    return pairs


def their_store(client, name="theirs", *, hybrid=False, **given):
    if hybrid:
        given |= {
            "enable_hybrid": True,
            "sparse_doc_fn": sparse("document"),
            "sparse_query_fn": sparse("query"),
            "sparse_config": models.SparseVectorParams(modifier=models.Modifier.IDF),
        }
    return QdrantVectorStore(collection_name=name, client=client, **given)


def _sentences(text):
    return re.split(r"(?<=\. )", text)


def same(found, indexed):
    """The node came back as it was put in, but for its embedding and our note."""
    assert type(found) is type(indexed)
    plain = found.model_copy(
        update={
            "metadata": {key: value for key, value in found.metadata.items() if key != "_hydrant"},
            "excluded_llm_metadata_keys": [k for k in found.excluded_llm_metadata_keys if k != "_hydrant"],
            "excluded_embed_metadata_keys": [
                k for k in found.excluded_embed_metadata_keys if k != "_hydrant"
            ],
        }
    )
    assert plain.model_dump(exclude={"embedding"}) == indexed.model_dump(exclude={"embedding"})


# ---- theirs, read by us ------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_collection_of_their_store_is_read_with_nodes_and_relationships(any_client, nodes, hybrid, how):
    context = StorageContext.from_defaults(vector_store=their_store(any_client, hybrid=hybrid))
    index = VectorStoreIndex(nodes, storage_context=context, embed_model=EMBEDDING)
    retriever = HydrantRetriever.from_client(
        any_client,
        "theirs",
        embed_model=EMBEDDING,
        sparse=BM25 if hybrid else None,
        allow_unindexed=True,
    )
    for node in nodes:
        query = HydrantQueryBundle(node.text, similarity_top_k=1)
        (found,) = retriever.retrieve(query) if how == "sync" else asyncio.run(retriever.aretrieve(query))
        same(found.node, node)
    wanted = MetadataFilters(filters=[MetadataFilter(key="topic", value="rivers")])
    filtered = retriever.with_options(filters=wanted).retrieve("the sea")
    assert [node.metadata["topic"] for node in filtered] == ["rivers"]
    if not hybrid:
        theirs = index.as_retriever(similarity_top_k=6).retrieve("brown sea")
        ours = retriever.with_options(similarity_top_k=6).retrieve("brown sea")
        assert {node.node_id: round(node.score, 4) for node in ours} == {
            node.node_id: round(node.score, 4) for node in theirs
        }


def test_documents_that_they_split_come_back_with_their_source(client):
    text = "Keys open locks. " * 30 + "Rivers flow into the sea. " * 30
    context = StorageContext.from_defaults(vector_store=their_store(client))
    VectorStoreIndex.from_documents(
        [Document(text=text, id_="the-document", metadata={"file_path": "a.md"})],
        storage_context=context,
        embed_model=EMBEDDING,
        transformations=[
            # Its own tokenizer and sentences would be looked for on the network.
            SentenceSplitter(
                chunk_size=24, chunk_overlap=0, tokenizer=str.split, chunking_tokenizer_fn=_sentences
            )
        ],
    )
    retriever = HydrantRetriever.from_client(client, "theirs", embed_model=EMBEDDING, similarity_top_k=3)
    found = retriever.retrieve("rivers and the sea")
    assert len(found) == 3
    for node in found:
        assert node.node.ref_doc_id == "the-document"
        assert node.node.prev_node is not None or node.node.next_node is not None
        assert text[node.node.start_char_idx : node.node.end_char_idx] == node.text


def test_nodes_are_added_to_a_collection_that_they_made(client, nodes):
    store = their_store(client)
    EMBEDDING(nodes)
    store.add(nodes[:3])
    docs = Collection.open(client, "theirs", dense=ENCODER)
    report = HydrantIndexer(docs).add(nodes[3:])
    assert (report.added, report.failures) == (3, ())
    assert {node.node_id for node in store.get_nodes()} == {node.node_id for node in nodes}
    assert docs.count() == 6


# ---- ours, read by them ------------------------------------------------------------------------------------------


@pytest.fixture
def ours(client, nodes):
    indexer = HydrantIndexer.create(client, "ours", dense=ENCODER, sparse=BM25, fields={"topic": "keyword"})
    assert indexer.add(nodes).added == len(nodes)
    return indexer


@pytest.mark.parametrize("hybrid", [False, True])
def test_their_store_reads_what_we_wrote(client, ours, nodes, hybrid):
    store = their_store(client, "ours", hybrid=hybrid, dense_vector_name="dense", sparse_vector_name="sparse")
    index = VectorStoreIndex.from_vector_store(store, embed_model=EMBEDDING)
    mode = VectorStoreQueryMode.HYBRID if hybrid else VectorStoreQueryMode.DEFAULT
    retriever = index.as_retriever(similarity_top_k=1, sparse_top_k=2, vector_store_query_mode=mode)
    for node in nodes:
        same(retriever.retrieve(node.text)[0].node, node)
    wanted = MetadataFilters(filters=[MetadataFilter(key="topic", value="rivers")])
    query = VectorStoreQuery(ENCODER.vector("sea"), similarity_top_k=5, filters=wanted)
    assert [node.metadata["topic"] for node in store.query(query).nodes] == ["rivers"]
    assert len(store.get_nodes(node_ids=[nodes[0].node_id])) == 1
    store.delete("doc-1")
    assert ours.collection.count() == 3


def test_what_they_add_to_our_collection_is_found_by_us(client, ours):
    store = their_store(client, "ours", dense_vector_name="dense")
    added = TextNode(text="zebras graze on grass", metadata={"topic": "zebras"})
    added.embedding = ENCODER.vector(added.text)
    store.add([added])
    found = HydrantRetriever(ours.collection.retriever(sources=("dense",), limit=1)).retrieve(added.text)
    same(found[0].node, added)


# ---- indexing ----------------------------------------------------------------------------------------------------


def test_indexing_again_costs_nothing_and_a_changed_node_replaces_itself(ours, nodes):
    before = ENCODER.documents_encoded
    again = ours.add(nodes)
    assert (again.added, again.updated, again.unchanged) == (0, 0, len(nodes))
    assert ENCODER.documents_encoded == before
    changed = nodes[0].model_copy(update={"text": "new words"})
    report = asyncio.run(ours.aadd([changed, nodes[1]]))
    assert (report.updated, report.unchanged) == (1, 1)
    assert ours.collection.count() == len(nodes)


def test_a_node_whose_relationships_changed_is_written_without_encoding_it_again(ours, nodes):
    before = ENCODER.documents_encoded
    moved = nodes[1].model_copy(update={"relationships": {}})
    assert ours.add([moved]).updated == 1
    assert ENCODER.documents_encoded == before
    found = HydrantRetriever(ours.collection.retriever(limit=1)).retrieve(moved.text)
    assert found[0].node.relationships == {}


def test_indexed_nodes_stay_as_they_were(client, nodes):
    nodes[0].embedding = [1.0, 2.0]
    before = [node.model_dump_json() for node in nodes]
    HydrantIndexer.create(client, "stay", dense=ENCODER).add(nodes)
    assert [node.model_dump_json() for node in nodes] == before


def test_what_is_embedded_is_what_nodes_show_to_embedding_models(client):
    encoder = HashEncoder(16)
    indexer = HydrantIndexer.create(client, "embedded", dense=encoder)
    node = TextNode(
        text="words", metadata={"shown": "yes", "hidden": "no"}, excluded_embed_metadata_keys=["hidden"]
    )
    odd = TextNode(text="more", metadata={"shown": "yes"}, text_template="{content} <- {metadata_str}")
    encoder.calls.clear()
    indexer.add([node, odd])
    embedded = {text for role, texts in encoder.calls if role == "document" for text in texts}
    assert {node.get_content(MetadataMode.EMBED), "more <- shown: yes"} <= embedded
    (found, _) = HydrantRetriever(indexer.collection.retriever(limit=2)).retrieve("words")
    assert found.node.text == "words"


def test_nodes_of_every_kind_come_back_as_what_they_were(client):
    kinds = [
        TextNode(text="plain words", id_="00000000-0000-0000-0000-000000000001"),
        Node(id_="00000000-0000-0000-0000-000000000002", text_resource={"text": "words of a node"}),
        IndexNode(text="words of an index", index_id="table", id_="00000000-0000-0000-0000-000000000003"),
        ImageNode(text="words of a picture", image_path=None, id_="00000000-0000-0000-0000-000000000004"),
    ]
    indexer = HydrantIndexer.create(client, "kinds", dense=ENCODER)
    assert indexer.add(kinds).added == 4
    found = {
        node.node_id: node.node for node in HydrantRetriever(indexer.collection.retriever()).retrieve("words")
    }
    for node in kinds:
        assert type(found[node.node_id]) is type(node)
        assert found[node.node_id].get_content() == node.get_content()


def test_ids_that_are_no_uuids_are_kept(client):
    indexer = HydrantIndexer.create(client, "ids", dense=ENCODER)
    indexer.add([TextNode(text="keys", id_="manual.md#3"), TextNode(text="sea", id_="42")])
    found = HydrantRetriever(indexer.collection.retriever(limit=1)).retrieve("keys")
    assert found[0].node_id == "manual.md#3"
    assert found[0].metadata["_hydrant"]["point_id"] != "manual.md#3"
    assert indexer.add([TextNode(text="keys", id_="manual.md#3")]).unchanged == 1


def test_one_bad_node_stops_no_other_and_is_reported(client):
    class Unserialisable:
        pass

    nodes = [
        TextNode(text="keys", id_="good"),
        TextNode(text="", id_="blank", metadata={"lang": "en"}),
        Node(id_="image-only"),
        TextNode(text="x", id_="odd", metadata={"object": Unserialisable()}),
        "a string",
        TextNode(text="sea", id_="good-too"),
    ]
    report = HydrantIndexer.create(client, "bad", dense=ENCODER).add(nodes)
    assert report.added == 2
    reasons = {failure.source: failure.reason for failure in report.failures}
    assert set(reasons) == {"blank", "image-only", "odd", "item 4"}
    assert "blank" in reasons["blank"]
    assert "blank" in reasons["image-only"]
    assert "serialise" in reasons["odd"]
    assert "LlamaIndex" in reasons["item 4"]


def test_a_single_node_is_refused_in_words(ours, nodes):
    with pytest.raises(ConfigurationError, match="list of one"):
        ours.add(nodes[0])


def test_retrieved_nodes_are_indexed_without_what_hydrant_noted(client, docs):
    found = [each.node for each in HydrantRetriever(docs.retriever()).retrieve("brown sea")]
    indexer = HydrantIndexer.create(client, "again", dense=ENCODER)
    indexer.add(found)
    points, _ = client.scroll("again", limit=10)
    for point in points:
        assert "_hydrant" not in json.loads(point.payload["_node_content"])["metadata"]
    assert all("_hydrant" in node.metadata for node in found)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_documents_nodes_are_deleted_together(ours, how):
    if how == "sync":
        ours.delete_ref_doc("doc-0")
    else:
        asyncio.run(ours.adelete_ref_doc("doc-0"))
    left = HydrantRetriever(ours.collection.retriever()).retrieve("brown sea")
    assert {node.node.ref_doc_id for node in left} == {"doc-1"}


def test_tenants_keep_their_nodes_apart(client):
    acme = HydrantIndexer.create(client, "shared", dense=ENCODER, tenant_field="owner", tenant="acme")
    zeta = HydrantIndexer(acme.collection, tenant="zeta")
    acme.add([TextNode(text="keys of acme", id_="same")])
    zeta.add([TextNode(text="keys of zeta", id_="same")])
    with pytest.raises(TenantRequired):
        HydrantIndexer(acme.collection).add([TextNode(text="keys")])
    retriever = HydrantRetriever(acme.collection.retriever(), tenant="acme")
    assert [(node.node_id, node.text) for node in retriever.retrieve("keys")] == [("same", "keys of acme")]


def test_another_layout_or_a_second_collection_of_the_name_is_refused(client, plain_docs):
    with pytest.raises(ConfigurationError, match=r"HydrantIndexer\.create"):
        HydrantIndexer(plain_docs)
    with pytest.raises(ConfigurationError, match="Collection"):
        HydrantIndexer("docs")
    HydrantIndexer.create(client, "once", dense=ENCODER)
    with pytest.raises(CollectionExists):
        HydrantIndexer.create(client, "once", dense=ENCODER)
