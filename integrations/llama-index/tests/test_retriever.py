"""The retriever: what it makes of queries and hits, and the habits of LlamaIndex that it keeps."""

from __future__ import annotations

import asyncio
import copy
import json
import threading

import pytest
from llama_index.core.schema import MetadataMode, QueryBundle, TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from hydrant import AsyncEdgeClient, CallableGenerator, Collection, Hyde, PayloadMap, Rrf, Top
from hydrant.errors import ConfigurationError, EmptyQuery, FilterError, InputError, PayloadUnmapped
from hydrant.testing import FailingStage, FunctionStage, HangingStage, HashEncoder
from llama_index.retrievers.hydrant import HydrantIndexer, HydrantQueryBundle, HydrantRetriever

QUESTION = "brown water"


def ids(found):
    return [node.node_id for node in found]


def topics(found):
    return [node.metadata["topic"] for node in found]


# ---- what comes back ---------------------------------------------------------------------------------------------


def test_nodes_come_back_as_they_were_indexed(docs, nodes):
    by_id = {node.node_id: node for node in nodes}
    found = HydrantRetriever(docs.retriever()).retrieve(QUESTION)
    assert len(found) > 1
    for each in found:
        indexed = by_id[each.node_id]
        assert type(each.node) is TextNode
        assert each.node.text == indexed.text
        assert each.node.relationships == indexed.relationships
        assert each.node.ref_doc_id == indexed.ref_doc_id
        assert {key: value for key, value in each.metadata.items() if key != "_hydrant"} == indexed.metadata
        for mode in (MetadataMode.LLM, MetadataMode.EMBED, MetadataMode.NONE):
            assert each.get_content(mode) == indexed.get_content(mode)


def test_a_node_is_the_same_node_whatever_found_it(docs, nodes):
    hashes = {node.node_id: node.hash for node in nodes}
    by_text = HydrantRetriever(docs.retriever(sources=("sparse",))).retrieve("sea and water")
    for each in (*HydrantRetriever(docs.retriever()).retrieve(QUESTION), *by_text):
        assert each.node.hash == hashes[each.node_id]
        assert "_hydrant" not in str(each.metadata)
        assert "_hydrant" in repr(each.metadata)
        assert "_hydrant" in json.loads(each.to_json())["node"]["metadata"]


def test_every_stages_score_is_on_the_node_as_python_numbers(docs):
    search = docs.retriever(explain=True)
    result = search.run(QUESTION)
    for node, hit in zip(HydrantRetriever(search).retrieve(QUESTION), result.hits, strict=True):
        note = node.metadata["_hydrant"]
        assert type(node.score) is float
        assert node.score == hit.score == note["score"]
        assert note["stages"] == {k: {"score": s.score, "rank": s.rank} for k, s in hit.stages.items()}
        assert note["point_id"] == hit.point_id
        assert {type(said["score"]) for said in note["stages"].values()} == {float}
        assert {type(said["rank"]) for said in note["stages"].values()} == {int}


def test_passages_of_a_foreign_layout_become_text_nodes_with_title_and_source(plain_docs):
    (first, *_) = HydrantRetriever(plain_docs.retriever()).retrieve("keys open locks and doors")
    assert (first.node_id, first.text) == ("own-keys", "keys open locks and doors")
    assert (first.metadata["title"], first.metadata["source"], first.metadata["year"]) == (
        "Keys",
        "keys.md",
        2020,
    )
    assert first.node.ref_doc_id == "keys.md"
    assert "_hydrant" not in first.get_content(MetadataMode.LLM)
    assert "_hydrant" not in first.get_content(MetadataMode.EMBED)
    assert "source: keys.md" in first.get_content(MetadataMode.LLM)


def test_metadata_called_title_or_source_is_not_overwritten(client):
    docs = Collection.create(client, "own", dense=HashEncoder(16))
    record = {"text": "keys", "title": "ours", "source": "a.md", "metadata": {"title": "theirs", "source": 7}}
    docs.indexer(progress=False).add([record])
    (found,) = HydrantRetriever(docs.retriever()).retrieve("keys")
    assert (found.metadata["title"], found.metadata["source"]) == ("theirs", 7)


# ---- what is asked -----------------------------------------------------------------------------------------------


def test_a_ready_embedding_is_searched_with(docs):
    vector = HashEncoder(64).vector("rivers flow into the sea")
    retriever = HydrantRetriever(docs.retriever(sources=("dense",)))
    found = retriever.retrieve(QueryBundle("something else entirely", embedding=vector))
    assert topics(found)[0] == "rivers"
    assert found[0].score == pytest.approx(1.0, abs=1e-5)


def test_a_ready_embedding_leaves_the_other_sources_the_text(docs):
    vector = HashEncoder(64).vector("rivers flow into the sea")
    found = HydrantRetriever(docs.retriever(fusion=Rrf(), explain=True)).retrieve(
        QueryBundle("fox", embedding=vector)
    )
    first = {
        source: next(
            node.metadata["topic"]
            for node in found
            if node.metadata["_hydrant"]["stages"].get(source, {}).get("rank") == 1
        )
        for source in ("dense", "sparse")
    }
    assert first == {"dense": "rivers", "sparse": "foxes"}


def test_custom_embedding_strings_replace_the_query_in_the_dense_source(docs):
    retriever = HydrantRetriever(docs.retriever(sources=("dense",)))
    custom = ["rivers flow into the sea"]
    found = retriever.retrieve(QueryBundle("fox", custom_embedding_strs=custom))
    assert topics(found)[0] == "rivers"
    assert found[0].score == pytest.approx(1.0, abs=1e-5)


def test_the_mean_of_custom_strings_is_that_of_llama_index(docs):
    encoder = HashEncoder(64)
    custom = ["rivers flow into the sea", "fox", "gardens need sun"]
    vectors = [encoder.vector(text) for text in custom]
    mean = [sum(values) / len(values) for values in zip(*vectors, strict=True)]
    retriever = HydrantRetriever(docs.retriever(sources=("dense",)))
    ours = retriever.retrieve(QueryBundle("fox", custom_embedding_strs=custom))
    theirs = retriever.retrieve(QueryBundle("fox", embedding=mean))
    assert ids(ours) == ids(theirs)
    assert [node.score for node in ours] == pytest.approx([node.score for node in theirs], abs=1e-5)


@pytest.mark.parametrize("custom", [None, [], ["fox"]])
def test_custom_strings_that_say_nothing_new_change_nothing(docs, custom):
    retriever = HydrantRetriever(docs.retriever())
    found = retriever.retrieve(QueryBundle("fox", custom_embedding_strs=custom))
    plain = retriever.retrieve("fox")
    assert [(node.node_id, node.score) for node in found] == [(node.node_id, node.score) for node in plain]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_bundle_stays_as_it_was(docs, how):
    retriever = HydrantRetriever(docs.retriever(), similarity_top_k=2, filters={"even": "True"})
    bundle = HydrantQueryBundle(
        "fox", custom_embedding_strs=["sea"], similarity_top_k=1, filters={"year": {"gte": 2020}}
    )
    before = copy.deepcopy(bundle)
    if how == "sync":
        retriever.retrieve(bundle)
    else:
        asyncio.run(retriever.aretrieve(bundle))
    assert bundle == before
    assert bundle.embedding is None


def test_top_k_is_the_retrievers_or_the_querys(docs):
    assert len(HydrantRetriever(docs.retriever()).retrieve(QUESTION)) == 6
    retriever = HydrantRetriever(docs.retriever(limit=5), similarity_top_k=3)
    assert retriever.similarity_top_k == 3
    assert len(retriever.retrieve(QUESTION)) == 3
    assert len(retriever.retrieve(HydrantQueryBundle(QUESTION, similarity_top_k=2))) == 2
    assert len(retriever.with_options(similarity_top_k=1).retrieve(QUESTION)) == 1
    assert len(retriever.with_options(similarity_top_k=None).retrieve(QUESTION)) == 5
    assert len(retriever.retrieve(QUESTION)) == 3


def test_filters_of_retriever_and_query_must_both_hold(docs):
    even = MetadataFilters(filters=[MetadataFilter(key="even", value="True")])
    retriever = HydrantRetriever(docs.retriever(), filters=even)
    assert set(topics(retriever.retrieve(QUESTION))) == {"keys", "rivers", "locks"}
    late = MetadataFilters(filters=[MetadataFilter(key="year", value=2022, operator=">=")])
    found = retriever.retrieve(HydrantQueryBundle(QUESTION, filters=late))
    assert set(topics(found)) == {"rivers", "locks"}
    everything = retriever.with_options(filters=None)
    assert len(everything.retrieve(QUESTION)) == 6


@pytest.fixture
def tenants(client):
    docs = Collection.create(client, "tenants", dense=HashEncoder(32), tenant="owner")
    docs.indexer(progress=False).add(["keys of acme"], tenant="acme")
    docs.indexer(progress=False).add(["keys of zeta"], tenant="zeta")
    return docs.retriever()


def test_a_tenant_belongs_to_the_retriever_or_to_the_query(tenants):
    from hydrant.errors import TenantRequired

    def texts(retriever, query):
        return [node.text for node in retriever.retrieve(query)]

    open_to_all = HydrantRetriever(tenants)
    with pytest.raises(TenantRequired):
        open_to_all.retrieve("keys")
    assert texts(open_to_all, HydrantQueryBundle("keys", tenant="zeta")) == ["keys of zeta"]
    acme = HydrantRetriever(tenants, tenant="acme")
    assert texts(acme, "keys") == ["keys of acme"]
    assert texts(acme, HydrantQueryBundle("keys", tenant="acme")) == ["keys of acme"]
    assert texts(acme.with_options(tenant="zeta"), "keys") == ["keys of zeta"]


def test_a_retriever_bound_to_a_tenant_refuses_a_query_for_another(tenants):
    with pytest.raises(InputError, match=r"'acme'.*'zeta'"):
        HydrantRetriever(tenants, tenant="acme").retrieve(HydrantQueryBundle("keys", tenant="zeta"))


# ---- async -------------------------------------------------------------------------------------------------------


def test_async_retrieval_waits_without_holding_the_event_loop(docs):
    release = threading.Event()
    waiting = FunctionStage(lambda state: (release.wait(5), state)[1], "waiting")
    retriever = HydrantRetriever(waiting >> docs.retriever())

    async def both():
        search = asyncio.ensure_future(retriever.aretrieve(QUESTION))
        await asyncio.sleep(0.02)
        assert not search.done()
        release.set()
        return await search

    assert ids(asyncio.run(both())) == ids(HydrantRetriever(docs.retriever()).retrieve(QUESTION))


def test_an_async_language_model_is_awaited_in_the_callers_loop(docs):
    seen = []

    async def write(prompt):
        seen.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return "rivers flow into the sea"

    retriever = HydrantRetriever(Hyde(CallableGenerator(write), hypotheses=2) >> docs.retriever())

    async def search():
        await retriever.aretrieve(QUESTION)
        return asyncio.get_running_loop()

    assert seen == [asyncio.run(search())] * 2


# ---- what goes wrong ---------------------------------------------------------------------------------------------


def test_what_a_search_went_on_without_is_on_its_nodes_in_the_log_and_in_the_trace(docs, heard, caplog):
    search = FailingStage(RuntimeError("no model"), "hyde") >> docs.retriever(limit=2)
    found = HydrantRetriever(search).retrieve(QUESTION)
    assert len(found) == 2
    for node in found:
        assert node.metadata["_hydrant"]["degraded"] == ["hyde: RuntimeError: no model"]
    (event,) = heard.of("HydrantSearchEvent")
    assert event.degraded == ["hyde: RuntimeError: no model"]
    assert "hyde: RuntimeError: no model" in caplog.text


def test_what_tracers_are_told_serialises(docs, heard):
    query = HydrantQueryBundle(
        "fox", filters=MetadataFilters(filters=[MetadataFilter(key="even", value="True")])
    )
    HydrantRetriever(docs.retriever()).retrieve(query)
    assert {"RetrievalStartEvent", "HydrantSearchEvent", "RetrievalEndEvent"} <= {
        event.class_name() for event in heard.events if event.model_dump_json()
    }


def test_a_deadline_is_kept(docs):
    with HangingStage("hyde") as hanging:
        found = HydrantRetriever(hanging >> docs.retriever(), deadline=0.5).retrieve(QUESTION)
        assert found[0].metadata["_hydrant"]["degraded"][0].startswith("hyde: ")


def test_a_trace_shows_every_stage_and_how_long_it_took(docs, heard):
    search = FunctionStage(lambda state: state, "rewrite") >> docs.retriever() >> Top(2)
    HydrantRetriever(search).retrieve("fox")
    (event,) = heard.of("HydrantSearchEvent")
    assert event.query == "fox"
    named = [step["name"] for step in event.steps if step["depth"] == 0]
    assert named == ["rewrite", "retrieve", "top"]
    assert all(step["seconds"] >= 0 and step["error"] is None for step in event.steps)
    order = [type(each).__name__ for each in heard.events]
    assert (
        order.index("RetrievalStartEvent")
        < order.index("HydrantSearchEvent")
        < order.index("RetrievalEndEvent")
    )
    assert event.span_id


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"similarity_top_k": 0}, "similarity_top_k"),
        ({"similarity_top_k": True}, "similarity_top_k"),
        ({"similarity_top_k": "3"}, "similarity_top_k"),
        ({"deadline": 0}, "deadline"),
        ({"deadline": "soon"}, "deadline"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(docs, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        HydrantRetriever(docs.retriever(), **settings)
    with pytest.raises(ConfigurationError, match=message):
        HydrantRetriever(docs.retriever()).with_options(**settings)


def test_an_unknown_keyword_is_refused(docs):
    with pytest.raises(TypeError, match="top_k"):
        HydrantRetriever(docs.retriever(), top_k=3)
    with pytest.raises(TypeError, match="limit"):
        HydrantRetriever(docs.retriever()).with_options(limit=3)


@pytest.mark.parametrize("wrong", [None, "docs", object()])
def test_a_pipeline_must_be_one(wrong):
    with pytest.raises(ConfigurationError, match="pipeline"):
        HydrantRetriever(wrong)


@pytest.mark.parametrize("wrong", ["lang=en", 7, [MetadataFilter(key="a", value=1)]])
def test_filters_of_another_type_are_refused_at_once(docs, wrong):
    with pytest.raises(FilterError, match="MetadataFilters"):
        HydrantRetriever(docs.retriever(), filters=wrong)
    with pytest.raises(FilterError, match="MetadataFilters"):
        HydrantRetriever(docs.retriever()).retrieve(HydrantQueryBundle("fox", filters=wrong))


def test_a_filter_field_of_the_wrong_type_or_without_index_is_refused(docs):
    text = MetadataFilters(filters=[MetadataFilter(key="year", value="2020")])
    with pytest.raises(FilterError, match="integer"):
        HydrantRetriever(docs.retriever(), filters=text).retrieve("fox")
    unknown = MetadataFilters(filters=[MetadataFilter(key="yaer", value=2020)])
    with pytest.raises(FilterError, match=r"yaer.*year"):
        HydrantRetriever(docs.retriever(), filters=unknown).retrieve("fox")


@pytest.mark.parametrize("query", ["", "  ", QueryBundle("")])
def test_a_blank_query_is_refused(docs, query):
    with pytest.raises(EmptyQuery):
        HydrantRetriever(docs.retriever()).retrieve(query)


def test_an_image_is_refused(docs):
    with pytest.raises(InputError, match=r"picture\.png"):
        HydrantRetriever(docs.retriever()).retrieve(QueryBundle("fox", image_path="picture.png"))


def test_an_embedding_that_no_source_takes_is_refused(docs):
    retriever = HydrantRetriever(docs.retriever(sources=("sparse",)))
    with pytest.raises(InputError, match="embedding_source"):
        retriever.retrieve(QueryBundle("fox", embedding=[0.0] * 64))


def test_an_embedding_of_several_dense_sources_is_for_the_one_that_is_named(client):
    encoders = {"first": HashEncoder(16), "second": HashEncoder(32)}
    docs = Collection.create(client, "two", sources=encoders)
    docs.indexer(progress=False).add(["keys", "sea"])
    query = QueryBundle("keys", embedding=HashEncoder(32).vector("sea"))
    with pytest.raises(InputError, match=r"'first', 'second'"):
        HydrantRetriever(docs.retriever()).retrieve(query)
    retriever = HydrantRetriever(docs.retriever(explain=True), embedding_source="second")
    found = retriever.retrieve(query)
    first = next(node for node in found if node.metadata["_hydrant"]["stages"]["second"]["rank"] == 1)
    assert first.text == "sea"


# ---- in one line -------------------------------------------------------------------------------------------------


def test_a_collection_is_opened_in_one_line(shared_client, docs):
    retriever = HydrantRetriever.from_client(
        shared_client, "nodes", dense=HashEncoder(64), similarity_top_k=2, filters={"even": "True"}
    )
    assert len(retriever.retrieve(QUESTION)) == 2


def test_a_collection_is_made_filled_and_opened_with_an_async_client_alone(nodes):
    async def found():
        async with AsyncEdgeClient(":memory:") as client:
            indexer = await HydrantIndexer.acreate(
                client, "nodes", dense=HashEncoder(64), fields={"topic": "keyword"}
            )
            await indexer.aadd(nodes)
            retriever = await HydrantRetriever.afrom_client(
                client, "nodes", dense=HashEncoder(64), filters={"topic": "foxes"}
            )
            return await retriever.aretrieve(QUESTION)

    assert topics(asyncio.run(found())) == ["foxes"]


def test_a_payload_that_cannot_be_mapped_says_which_keys_were_seen(client):
    from qdrant_client import models

    client.create_collection("odd", models.VectorParams(size=64, distance=models.Distance.COSINE))
    point = models.PointStruct(id=1, vector=HashEncoder(64).vector("keys"), payload={"body": "keys", "n": 1})
    client.upsert("odd", [point])
    with pytest.raises(PayloadUnmapped, match=r"'body', 'n'"):
        HydrantRetriever.from_client(client, "odd", dense=HashEncoder(64))
    retriever = HydrantRetriever.from_client(
        client, "odd", dense=HashEncoder(64), payload=PayloadMap.flat("body"), allow_unindexed=True
    )
    (found,) = retriever.retrieve("keys")
    assert (found.node_id, found.text, found.metadata["n"]) == ("1", "keys", 1)


def test_a_retriever_is_warmed_up_and_closed_with_its_pipeline(docs):
    calls = []

    class Counting(FunctionStage):
        def warm_up(self):
            calls.append("warm_up")

        def close(self):
            calls.append("close")

    with HydrantRetriever(Counting(lambda state: state) >> docs.retriever()) as retriever:
        retriever.retrieve("fox")
    assert calls == ["warm_up", "close"]
