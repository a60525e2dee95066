"""Creating, opening and dropping collections, with every kind of client."""

from __future__ import annotations

import asyncio
import json

import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from hydrant import (
    AsyncEdgeClient,
    Bm25Encoder,
    Chunker,
    Collection,
    DenseEncoder,
    EdgeClient,
    Passage,
    PayloadMap,
)
from hydrant.collection.profile import RECORD_KEY
from hydrant.encode.base import Encoder
from hydrant.errors import (
    CollectionExists,
    CollectionNotFound,
    ConfigurationError,
    EncoderMismatch,
    FilterError,
    InputError,
    PayloadUnmapped,
    UnknownArgument,
    UnknownVector,
    VectorMismatch,
)
from hydrant.testing import HashEncoder

# Python's local mode says so at every payload index that is created.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")

ITEMS = [
    {"id": "a", "text": "keys and locks", "lang": "en"},
    {"id": 2, "text": "doors and windows", "lang": "de"},
    {"text": "no id of its own"},
]


@pytest.mark.parametrize("make", [EdgeClient, QdrantClient])
def test_life_of_a_collection_sync(make):
    client = make(":memory:")
    docs = Collection.create(
        client, "docs", dense=HashEncoder(), sparse=Bm25Encoder(), fields={"lang": "keyword"}
    )
    assert docs.indexer(progress=False).add(ITEMS).added == 3
    again = Collection.open(client, "docs", dense=HashEncoder())
    assert again.sources["sparse"].encoder == docs.sources["sparse"].encoder
    assert again.sources["sparse"].encoder.average_length == pytest.approx(2, abs=0.7)
    assert again.count() == 3
    assert again.count({"lang": "en"}) == 1
    hits = again.retriever().run("locks").hits
    assert hits[0].id == "a"
    assert [each.text for each in again.get([2, "missing", "a"])] == ["doors and windows", "keys and locks"]
    assert again.get([hits[0].point_id])[0].id == "a"
    nameless = next(hit for hit in hits if hit.passage.id is None)
    assert again.get([nameless.id]) == [nameless.passage]
    again.delete([2, nameless.id, "missing"])
    assert again.count() == 1
    again.delete(filter={"lang": "en"})
    assert again.count() == 0
    again.drop()
    assert not client.collection_exists("docs")
    client.close()


@pytest.mark.parametrize("make", [AsyncEdgeClient, AsyncQdrantClient])
async def test_life_of_a_collection_async(make):
    client = make(":memory:")
    docs = await Collection.acreate(
        client, "docs", dense=HashEncoder(), sparse=Bm25Encoder(), fields={"lang": "keyword"}
    )
    assert (await docs.indexer(progress=False).aadd(ITEMS)).added == 3
    again = await Collection.aopen(client, "docs", dense=HashEncoder())
    assert await again.acount() == 3
    assert await again.acount({"lang": "en"}) == 1
    assert (await again.retriever().arun("locks")).hits[0].id == "a"
    assert [each.text for each in await again.aget([2, "missing", "a"])] == [
        "doors and windows",
        "keys and locks",
    ]
    await again.aindex_field("year", "integer")
    assert await again.acount({"year": 5}) == 0
    await again.adelete([2])
    assert await again.acount() == 2
    await again.adrop()
    assert not await client.collection_exists("docs")
    await client.close()


async def test_async_calls_on_a_sync_client_borrow_threads(edge):
    docs = await Collection.acreate(edge, "docs", dense=HashEncoder())
    await docs.indexer(progress=False).aadd(ITEMS)
    assert (await docs.retriever().arun("locks", deadline=20)).hits[0].id == "a"


async def test_sync_calls_on_an_async_client_alone_say_what_to_do():
    client = AsyncEdgeClient(":memory:")
    docs = await Collection.acreate(client, "docs", dense=HashEncoder())
    for call in (
        docs.count,
        lambda: docs.retriever().run("x"),
        lambda: docs.indexer(progress=False).add(["x"]),
    ):
        with pytest.raises(ConfigurationError, match="AsyncQdrantClient alone"):
            call()
    await client.close()


async def test_a_sync_and_an_async_client_side_by_side(edge):
    beside = edge.async_client()
    docs = Collection.create(edge, "docs", dense=HashEncoder(), async_client=beside)
    docs.indexer(progress=False).add(ITEMS)
    assert (await docs.retriever().arun("locks")).hits == docs.retriever().run("locks").hits


@pytest.mark.parametrize("client", [None, "http://localhost:6333", object(), 5])
def test_something_else_than_a_client_is_refused(client):
    with pytest.raises(ConfigurationError, match="client must be"):
        Collection.create(client, "docs", dense=HashEncoder())
    with pytest.raises(ConfigurationError, match="client must be"):
        Collection.open(client, "docs")


def test_two_clients_of_the_same_kind_are_refused(edge):
    with pytest.raises(ConfigurationError, match="AsyncQdrantClient"):
        Collection.create(edge, "docs", dense=HashEncoder(), async_client=edge)


# ---- creating ----------------------------------------------------------------------------------------------------


def test_creating_twice_is_refused_and_changes_nothing(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    docs.indexer(progress=False).add(ITEMS)
    with pytest.raises(CollectionExists, match="'docs'"):
        Collection.create(edge, "docs", dense=HashEncoder(32))
    assert docs.count() == 3


def test_a_collection_needs_an_encoder(edge):
    with pytest.raises(ConfigurationError, match="at least one encoder"):
        Collection.create(edge, "docs")


@pytest.mark.parametrize("dense", ["all-MiniLM-L6-v2", 5, HashEncoder, object()])
def test_something_else_than_an_encoder_is_refused_with_its_type(edge, dense):
    with pytest.raises(ConfigurationError, match=r"dense must be.*Encoder"):
        Collection.create(edge, "docs", dense=dense)
    with pytest.raises(ConfigurationError, match=r"dense must be.*Encoder"):
        Collection.open(edge, "docs", dense=dense)


def test_encoders_in_each_others_place_are_refused(edge):
    with pytest.raises(ConfigurationError, match="dense must be"):
        Collection.create(edge, "docs", dense=Bm25Encoder())
    with pytest.raises(ConfigurationError, match="sparse must be"):
        Collection.create(edge, "docs", sparse=HashEncoder())


@pytest.mark.parametrize("option", ["vectors_config", "sparse_vectors_config", "metadata", "collection_name"])
def test_options_cannot_say_again_what_the_encoders_say(edge, option):
    with pytest.raises(ConfigurationError, match=option):
        Collection.create(edge, "docs", dense=HashEncoder(), options={option: {}})


def test_options_reach_qdrant(edge):
    Collection.create(edge, "docs", dense=HashEncoder(), options={"hnsw_config": models.HnswConfigDiff(m=0)})
    assert edge.get_collection("docs").config.hnsw_config.m == 0


@pytest.mark.parametrize("kind", ["keywords", "", "number", 5, None])
def test_an_unknown_type_of_field_lists_the_types(edge, kind):
    with pytest.raises(ConfigurationError, match=r"'year'.*keyword, integer"):
        Collection.create(edge, "docs", dense=HashEncoder(), fields={"year": kind})
    assert not edge.collection_exists("docs")
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    with pytest.raises(ConfigurationError, match=r"'year'.*keyword, integer"):
        docs.index_field("year", kind)


def test_unknown_keywords_are_type_errors(edge):
    with pytest.raises(TypeError, match="encoder"):
        Collection.create(edge, "docs", encoder=HashEncoder())
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    for call in (docs.retriever, docs.indexer, lambda **given: Collection.open(edge, "docs", **given)):
        with pytest.raises(TypeError, match="top_k"):
            call(top_k=3)


# ---- opening -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [EdgeClient, QdrantClient])
def test_a_missing_collection_lists_what_exists(make):
    client = make(":memory:")
    with pytest.raises(CollectionNotFound, match="none"):
        Collection.open(client, "docs")
    for name in ("manual", "faq"):
        Collection.create(client, name, dense=HashEncoder())
    with pytest.raises(CollectionNotFound, match=r"'docs'.*'faq', 'manual'"):
        Collection.open(client, "docs", dense=HashEncoder())
    client.close()


class Other(HashEncoder):
    def record(self):
        return {"encoder": "other", "dimensions": self.dimensions, "prompt": "query: "}


@pytest.mark.parametrize("encoder", [HashEncoder(32), Other()])
def test_another_encoder_than_the_one_that_made_it_is_refused_with_both(edge, encoder):
    Collection.create(edge, "docs", dense=HashEncoder(64))
    with pytest.raises(EncoderMismatch) as caught:
        Collection.open(edge, "docs", dense=encoder)
    message = str(caught.value)
    assert "'docs'" in message
    assert json.dumps(HashEncoder(64).record()) in message
    assert json.dumps(encoder.record()) in message


def test_another_bm25_is_refused_too(edge):
    Collection.create(edge, "docs", sparse=Bm25Encoder("german"))
    with pytest.raises(EncoderMismatch, match=r"german.*english"):
        Collection.open(edge, "docs", sparse=Bm25Encoder())
    assert Collection.open(edge, "docs").sources["sparse"].encoder == Bm25Encoder("german")


def test_an_encoder_for_a_source_that_it_lacks_is_refused(edge):
    Collection.create(edge, "docs", dense=HashEncoder())
    with pytest.raises(EncoderMismatch, match=r"\['dense'\].*\['sparse'\]"):
        Collection.open(edge, "docs", dense=HashEncoder(), sparse=Bm25Encoder())


def test_an_encoder_that_a_record_cannot_bring_back_has_to_be_handed_in(edge):
    Collection.create(edge, "docs", dense=HashEncoder())
    with pytest.raises(ConfigurationError, match="Hand the encoder"):
        Collection.open(edge, "docs")


@pytest.mark.parametrize(
    "record",
    [
        {"format": 2, "sources": {}},
        {"format": 99},
    ],
)
def test_a_record_of_a_newer_format_says_to_upgrade(edge, record):
    Collection.create(edge, "docs", dense=HashEncoder())
    edge.update_collection("docs", metadata={RECORD_KEY: record})
    with pytest.raises(ConfigurationError, match="newer"):
        Collection.open(edge, "docs", dense=HashEncoder())


@pytest.mark.parametrize(
    "record",
    [
        {"format": 1},
        {"format": "1"},
        {"sources": 5, "payload": {}},
        {"format": 1, "sources": {"dense": {}}, "payload": {}},
        "text",
    ],
)
def test_a_damaged_record_is_named_as_such(edge, record):
    Collection.create(edge, "docs", dense=HashEncoder())
    edge.update_collection("docs", metadata={RECORD_KEY: record})
    with pytest.raises(ConfigurationError, match=r"damaged"):
        Collection.open(edge, "docs", dense=HashEncoder())


def test_a_recorded_collection_refuses_to_be_told_its_vectors_or_tenant(edge):
    Collection.create(edge, "docs", dense=HashEncoder(), tenant="who")
    for given in ({"vectors": {"dense": "dense"}}, {"tenant": "other"}):
        with pytest.raises(ConfigurationError, match="itself"):
            Collection.open(edge, "docs", dense=HashEncoder(), **given)
    assert Collection.open(edge, "docs", dense=HashEncoder(), tenant="who").tenant_field == "who"


# ---- foreign collections -----------------------------------------------------------------------------------------


@pytest.fixture
def foreign(edge):
    edge.create_collection(
        "foreign",
        vectors_config={
            "text-dense": models.VectorParams(size=64, distance=models.Distance.COSINE),
            "image": models.VectorParams(size=8, distance=models.Distance.DOT),
        },
        sparse_vectors_config={"text-sparse": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    encoder = HashEncoder()
    edge.upsert(
        "foreign",
        [
            models.PointStruct(
                id=number,
                vector={"text-dense": encoder.vector(text)},
                payload={"body": text, "lang": "en"},
            )
            for number, text in enumerate(["keys and locks", "doors", "windows"])
        ],
    )
    return edge


def test_a_wrong_vector_name_lists_the_right_ones(foreign):
    with pytest.raises(UnknownVector) as caught:
        Collection.open(
            foreign,
            "foreign",
            dense=HashEncoder(),
            vectors={"dense": "dense"},
            payload=PayloadMap.flat("body"),
        )
    assert "['image', 'text-dense']" in str(caught.value)
    assert "['text-sparse']" in str(caught.value)
    assert "'dense'" in str(caught.value)


def test_several_vectors_to_choose_from_have_to_be_named(foreign):
    with pytest.raises(UnknownVector, match="vectors="):
        Collection.open(foreign, "foreign", dense=HashEncoder())


def test_a_foreign_collection_without_an_encoder_says_what_it_has(foreign):
    with pytest.raises(ConfigurationError, match="text-dense"):
        Collection.open(foreign, "foreign")
    with pytest.raises(ConfigurationError, match="'sparse'"):
        Collection.open(
            foreign, "foreign", dense=HashEncoder(), vectors={"dense": "text-dense", "sparse": "x"}
        )


def test_a_payload_in_no_known_layout_lists_its_keys(foreign):
    with pytest.raises(PayloadUnmapped, match=r"'body', 'lang'"):
        Collection.open(foreign, "foreign", dense=HashEncoder(), vectors={"dense": "text-dense"})


def test_a_foreign_collection_is_searched_by_its_own_names(foreign):
    docs = Collection.open(
        foreign,
        "foreign",
        dense=HashEncoder(),
        vectors={"dense": "text-dense"},
        payload=PayloadMap.flat("body"),
        allow_unindexed=True,
    )
    (hit, *_) = docs.retriever().run("locks", filter={"lang": "en"}).hits
    assert (hit.text, hit.id, hit.metadata) == ("keys and locks", 0, {"lang": "en"})
    with pytest.raises(FilterError, match="lang"):
        Collection.open(
            foreign,
            "foreign",
            dense=HashEncoder(),
            vectors={"dense": "text-dense"},
            payload=PayloadMap.flat("body"),
        ).count({"lang": "en"})


def test_an_encoder_of_another_size_is_refused_before_anything_is_searched(foreign):
    docs = Collection.open(
        foreign, "foreign", dense=HashEncoder(), vectors={"dense": "image"}, payload=PayloadMap.flat("body")
    )
    with pytest.raises(VectorMismatch, match=r"64.*8"):
        docs.retriever().run("locks")
    report = docs.indexer(progress=False).add(["new"])
    assert report.added == 0
    assert "8" in report.failures[0].reason


def test_an_empty_foreign_collection_can_be_filled(edge):
    edge.create_collection(
        "empty", vectors_config=models.VectorParams(size=64, distance=models.Distance.COSINE)
    )
    docs = Collection.open(edge, "empty", dense=HashEncoder())
    assert docs.indexer(progress=False).add(ITEMS).added == 3
    assert docs.retriever().run("locks").hits[0].id == "a"


# ---- indexes, ids, several at a time -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [EdgeClient, QdrantClient])
def test_an_index_that_is_made_later_is_known_to_whoever_opens_later(make):
    client = make(":memory:")
    docs = Collection.create(client, "docs", dense=HashEncoder())
    docs.indexer(progress=False).add(ITEMS)
    with pytest.raises(FilterError, match="index_field"):
        docs.count({"lang": "en"})
    docs.index_field("lang", "keyword")
    assert docs.count({"lang": "en"}) == 1
    assert Collection.open(client, "docs", dense=HashEncoder()).count({"lang": "en"}) == 1
    client.close()


@pytest.mark.parametrize("given", [{}, {"ids": [1], "filter": {"lang": "en"}}])
def test_delete_takes_either_ids_or_a_filter(edge, given):
    docs = Collection.create(edge, "docs", dense=HashEncoder(), fields={"lang": "keyword"})
    with pytest.raises(InputError, match="either ids or a filter"):
        docs.delete(**given)


def test_no_ids_delete_and_get_nothing(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    docs.indexer(progress=False).add(ITEMS)
    docs.delete([])
    assert docs.count() == 3
    assert docs.get([]) == []


@pytest.mark.parametrize("ids", ["a", b"a"])
def test_one_id_in_the_place_of_several_is_refused(edge, ids):
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    docs.indexer(progress=False).add(ITEMS)
    for call in (docs.get, docs.delete):
        with pytest.raises(InputError, match="ids"):
            call(ids)
    assert docs.count() == 3


def test_getting_many_ids_gives_all_of_them_in_order(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    ids = [f"id {number}" for number in range(700)]
    docs.indexer(progress=False).add([{"id": each, "text": each} for each in ids])
    assert [each.id for each in docs.get(ids[::-1])] == ids[::-1]
    assert [each.id for each in docs.get([ids[3], ids[3]])] == [ids[3], ids[3]]


async def test_concurrent_opens_agree(edge):
    Collection.create(edge, "docs", dense=HashEncoder(), sparse=Bm25Encoder()).indexer(progress=False).add(
        ITEMS
    )
    opened = await asyncio.gather(*(Collection.aopen(edge, "docs", dense=HashEncoder()) for _ in range(8)))
    assert len({str(each.sources) for each in opened}) == 1
    assert {await each.acount() for each in opened} == {3}


def test_what_one_opened_collection_learns_another_does_not_unlearn(edge):
    first = Collection.create(edge, "docs", sparse=Bm25Encoder())
    second = Collection.open(edge, "docs")
    first.indexer(progress=False).add(["one two three four five six"] * 1 + ["one two"])
    second.index_field("lang", "keyword")
    learned = first.sources["sparse"].encoder.average_length
    assert Collection.open(edge, "docs").sources["sparse"].encoder.average_length == learned


def test_two_opened_collections_weigh_with_one_average_length(edge):
    first = Collection.create(edge, "docs", sparse=Bm25Encoder())
    second = Collection.open(edge, "docs")
    first.indexer(progress=False).add([f"word{number} more text here" for number in range(50)])
    second.indexer(progress=False).add(["short"])
    assert second.sources["sparse"].encoder == first.sources["sparse"].encoder


def test_closing_a_collection_leaves_the_client_open(edge):
    with Collection.create(edge, "docs", dense=HashEncoder()) as docs:
        docs.warm_up()
        docs.indexer(progress=False).add(ITEMS)
    assert docs.count() == 3


def test_a_constructor_calls_neither_model_nor_engine(monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("nobody asked for this yet")

    monkeypatch.setattr("hydrant.encode.dense.DenseEncoder._load", forbidden)
    DenseEncoder("some/model")
    EdgeClient("/nonexistent/folder/index").close()
    assert issubclass(DenseEncoder, Encoder)


def test_the_repr_names_what_matters(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder(), tenant="who")
    assert repr(docs) == "<Collection 'docs', sources=['dense'], tenant='who'>"


def test_deleting_by_an_empty_mapping_is_refused_and_deletes_nothing(edge):
    docs = Collection.create(edge, "docs", dense=HashEncoder())
    docs.indexer(progress=False).add(ITEMS)
    before = docs.count()
    with pytest.raises(InputError, match="everything"):
        docs.delete(filter={})
    assert docs.count() == before


@pytest.mark.parametrize("name", ["", "  ", None])
def test_a_collection_without_a_name_is_refused(edge, name):
    with pytest.raises(ConfigurationError, match="name"):
        Collection.create(edge, name, dense=HashEncoder())


def test_fields_without_types_are_refused(edge):
    with pytest.raises(ConfigurationError, match="'lang': 'keyword'"):
        Collection.create(edge, "docs", dense=HashEncoder(), fields=["lang"])


def test_an_option_that_qdrant_does_not_know_is_named_with_those_it_does(edge):
    with pytest.raises(UnknownArgument, match=r"hnsw_config.*got .'foo'"):
        Collection.create(edge, "docs", dense=HashEncoder(), options={"foo": 1})


def test_two_compressions_at_once_are_refused(edge):
    config = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    with pytest.raises(ConfigurationError, match="give one of them"):
        Collection.create(
            edge, "docs", dense=HashEncoder(), quantization="scalar", options={"quantization_config": config}
        )


def test_the_tenant_field_of_a_foreign_collection_is_checked_too(edge):
    edge.create_collection("theirs", models.VectorParams(size=64, distance=models.Distance.COSINE))
    with pytest.raises(ConfigurationError, match="tenant must be a payload key of its own"):
        Collection.open(edge, "theirs", dense=HashEncoder(), tenant="text")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Chunker(max_tokens="200"),
        lambda: Chunker(overlap=True),
        lambda: Chunker(tokenizer=5),
        lambda: Bm25Encoder(k="1"),
        lambda: Bm25Encoder(b=None),
        lambda: Bm25Encoder(average_length="long"),
    ],
)
def test_settings_of_a_wrong_type_are_configuration_errors(make):
    with pytest.raises(ConfigurationError, match="got"):
        make()


def test_find_answers_by_the_ids_that_were_asked_for(edge):
    docs = Collection.create(edge, "found", dense=HashEncoder())
    docs.indexer(progress=False).add([Passage("first", id="a"), Passage("second", id=7), Passage("third")])
    found = docs.find(["a", 7, "missing", "a"])
    assert {key: (passage.text, passage.id) for key, passage in found.items()} == {
        "a": ("first", "a"),
        7: ("second", 7),
    }


async def test_find_names_passages_by_their_points_where_the_layout_keeps_no_id(edge):
    docs = Collection.create(edge, "found", dense=HashEncoder(), payload=PayloadMap.langchain())
    docs.indexer(progress=False).add([Passage("first", id="a"), Passage("second", id=7)])
    found = await docs.afind(["a", 7])
    assert found[7].id == 7
    assert docs.find([found["a"].id])[found["a"].id].text == "first"
