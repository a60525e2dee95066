"""HydrantIndex: documents put in by id, found as with any retriever, and LangChain's indexing API over it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from pydantic import ValidationError

from hydrant import Bm25Encoder, Collection, EdgeClient, PayloadMap
from hydrant.errors import ConfigurationError, InputError, TenantRequired, UnknownArgument
from hydrant.testing import HashEncoder
from langchain_hydrant import HydrantIndex

LAYOUTS = {
    "hydrant": PayloadMap.hydrant(),
    "langchain": PayloadMap.langchain(),
    "flat": PayloadMap.flat("body", title="title", source="source", id="id"),
}


def made(client, layout="hydrant", **more):
    return HydrantIndex(
        collection=Collection.create(
            client, "index", dense=HashEncoder(), sparse=Bm25Encoder(), payload=LAYOUTS[layout], **more
        )
    )


@pytest.mark.parametrize("layout", ["hydrant", "flat"])
@pytest.mark.parametrize("own", ["faq-7", "42", "0042", "a b/c?ü", "8d1a2a46-4c8f-4f0a-9d0e-3d3d0a6a3b11"])
async def test_any_id_and_metadata_come_back_as_they_went_in(fresh, layout, own):
    documents = made(fresh, layout)
    metadata = {"title": "Keys", "source": "a.md", "lang": "en", "deep": {"list": [1, 2.5, None]}}
    document = Document("Keys are rotated.", id=own, metadata=metadata)
    assert documents.upsert([document]) == {"succeeded": [own], "failed": []}
    assert documents.get([own]) == await documents.aget([own]) == [document]
    (found,) = documents.invoke("keys")
    assert found.id == own
    assert {key: found.metadata[key] for key in metadata} == metadata
    assert (await documents.adelete([own]))["succeeded"] == [own]
    assert documents.get([own]) == []


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.none()
        | st.booleans()
        | st.integers(-(2**62), 2**62)
        | st.text(max_size=8)
        | st.lists(st.integers(0, 9)),
        max_size=4,
    )
)
def test_metadata_of_any_kind_comes_back(metadata):
    from hydrant.ingest.text import clean

    # What no database can store is repaired on the way in.
    metadata = {clean(key)[0]: clean(v)[0] if isinstance(v, str) else v for key, v in metadata.items()}
    with EdgeClient(":memory:") as client:
        documents = HydrantIndex(collection=Collection.create(client, "index", dense=HashEncoder()))
        assert documents.upsert([Document("Keys", id="1", metadata=metadata)])["failed"] == []
        assert documents.get(["1"])[0].metadata == metadata


def test_a_document_without_an_id_gets_one_from_its_content(fresh):
    documents = made(fresh)
    twice = [Document("Keys", metadata={"page": 1}), Document("Keys", metadata={"page": 2})]
    first, second = documents.upsert(twice)["succeeded"], documents.upsert(twice)["succeeded"]
    assert first == second
    assert len(set(first)) == documents.collection.count() == 2


def test_documents_that_cannot_be_indexed_are_named_and_stop_no_other(fresh, caplog):
    documents = made(fresh)
    bad = [
        Document("", id="blank"),
        Document("Keys", id="good"),
        Document("Keys", id="odd", metadata={"when": object()}),
        Document("first", id="twice"),
        Document("second", id="twice"),
    ]
    assert documents.upsert(bad) == {"succeeded": ["good"], "failed": ["blank", "odd", "twice"]}
    assert "blank: text must not be blank" in caplog.text
    with pytest.raises(InputError, match=r"2 of 2 documents.*blank.*odd"):
        documents.upsert([bad[0], bad[2]], on_error="raise")


def test_documents_that_were_found_go_back_in_as_they_were_stored(fresh):
    documents = made(fresh)
    document = Document("Keys", id="1", metadata={"score": 3, "lang": "en"})
    documents.upsert([document])
    (found,) = documents.invoke("keys")
    assert found.metadata["score"] != 3
    documents.upsert([found])
    assert documents.get(["1"]) == [document]


def test_points_with_numbers_for_ids_are_meant_by_their_digits(fresh):
    documents = made(fresh)
    documents.collection.indexer(progress=False).add([{"id": 42, "text": "Keys"}])
    (found,) = documents.invoke("keys")
    assert found.id == "42"
    assert [document.id for document in documents.get(["42"])] == ["42"]
    assert documents.delete(["42", "43"])["succeeded"] == ["42"]
    assert documents.collection.count() == 0


def test_a_number_beyond_what_qdrant_takes_is_just_a_name(fresh):
    documents = made(fresh)
    own = str(2**64)
    assert documents.upsert([Document("Keys", id=own)])["succeeded"] == [own]
    assert documents.get([own])[0].id == own


def test_deleting_needs_ids(fresh):
    documents = made(fresh)
    for wrong in (None, "1"):
        with pytest.raises(InputError, match="list of ids"):
            documents.delete(wrong)
    assert documents.delete([])["num_deleted"] == 0


@pytest.mark.parametrize("call", ["upsert", "delete", "get"])
async def test_unknown_keywords_are_errors(fresh, call):
    documents = made(fresh)
    given = [Document("Keys")] if call == "upsert" else ["1"]
    with pytest.raises(UnknownArgument, match=r"'tenant'.*namespace"):
        getattr(documents, call)(given, namespace="x")
    with pytest.raises(UnknownArgument, match=r"'tenant'.*namespace"):
        await getattr(documents, f"a{call}")(given, namespace="x")
    with pytest.raises(ConfigurationError, match="on_error"):
        documents.upsert([Document("Keys")], on_error="ignore")


async def test_what_is_no_document_is_refused_in_words(fresh):
    documents = made(fresh)
    with pytest.raises(InputError, match="Documents, got 'Keys'"):
        documents.upsert(["Keys"])
    with pytest.raises(InputError, match="Documents, got 'Keys'"):
        await documents.aupsert(["Keys"])


async def test_tenants_cannot_touch_each_others_documents(fresh):
    documents = made(fresh, tenant="tenant")
    with pytest.raises(TenantRequired):
        documents.upsert([Document("Keys", id="1")])
    documents.upsert([Document("Keys of acme", id="1")], tenant="acme")
    await documents.aupsert([Document("Keys of other", id="1")], tenant="other")
    assert [each.page_content for each in documents.get(["1"], tenant="acme")] == ["Keys of acme"]
    assert documents.delete(["1"], tenant="acme")["num_deleted"] == 1
    own = HydrantIndex(collection=documents.collection, tenant="other")
    assert [each.page_content for each in await own.aget(["1"])] == ["Keys of other"]
    assert [each.page_content for each in own.invoke("keys")] == ["Keys of other"]


def test_it_searches_with_any_pipeline(fresh):
    from hydrant import Top

    collection = made(fresh).collection
    documents = HydrantIndex(collection=collection, pipeline=collection.retriever() >> Top(1))
    documents.upsert([Document("Keys", id="1"), Document("Keys again", id="2")])
    assert len(documents.invoke("keys")) == 1


def test_a_collection_must_be_one():
    with pytest.raises(ValidationError, match="collection must be a hydrant Collection"):
        HydrantIndex(collection="docs")


DOCUMENTS = [
    Document("Keys are rotated with keyctl.", metadata={"source": "keys.md"}),
    Document("Keys are revoked when they leak.", metadata={"source": "keys.md"}),
    Document("Backups are written every night.", metadata={"source": "backups.md"}),
]


def records():
    manager = InMemoryRecordManager("hydrant/index")
    manager.create_schema()
    return manager


class TestIndexingApi:
    def run(self, documents, kept, found, **more):
        return index(found, kept, documents, key_encoder="blake2b", source_id_key="source", **more)

    @pytest.mark.parametrize("layout", ["hydrant", "langchain", "flat"])
    @pytest.mark.parametrize("cleanup", ["full", "incremental", "scoped_full"])
    def test_what_is_new_is_written_and_what_is_gone_is_deleted(self, fresh, layout, cleanup):
        documents, kept = made(fresh, layout), records()
        first = self.run(documents, kept, DOCUMENTS, cleanup=cleanup)
        assert first == {"num_added": 3, "num_updated": 0, "num_skipped": 0, "num_deleted": 0}
        again = self.run(documents, kept, DOCUMENTS, cleanup=cleanup)
        assert again == {"num_added": 0, "num_updated": 0, "num_skipped": 3, "num_deleted": 0}
        changed = [DOCUMENTS[0], Document("Leaked keys are revoked at once.", metadata={"source": "keys.md"})]
        gone = 2 if cleanup == "full" else 1
        third = self.run(documents, kept, changed, cleanup=cleanup)
        assert third == {"num_added": 1, "num_updated": 0, "num_skipped": 1, "num_deleted": gone}
        assert documents.collection.count() == 4 - gone
        found = {document.page_content for document in documents.invoke("keys", k=10)}
        assert DOCUMENTS[1].page_content not in found
        assert changed[1].page_content in found

    async def test_async_does_the_same(self, fresh):
        documents, kept = made(fresh), records()
        settings = {"cleanup": "full", "key_encoder": "sha256"}
        await aindex(DOCUMENTS, kept, documents, **settings)
        result = await aindex(DOCUMENTS[:1], kept, documents, **settings)
        assert result == {"num_added": 0, "num_updated": 0, "num_skipped": 1, "num_deleted": 2}
        assert documents.collection.count() == 1

    def test_a_forced_update_writes_again(self, fresh):
        documents, kept = made(fresh), records()
        self.run(documents, kept, DOCUMENTS)
        result = self.run(documents, kept, DOCUMENTS, force_update=True)
        assert result["num_updated"] == 3
        assert documents.collection.count() == 3

    def test_a_document_that_fails_is_not_recorded_as_written(self, fresh):
        documents, kept = made(fresh), records()
        bad = [Document("", metadata={"source": "x"})]
        with pytest.raises(InputError):
            self.run(documents, kept, bad, upsert_kwargs={"on_error": "raise"})
        assert kept.list_keys() == []
