"""HydrantRetriever."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from langchain_classic.retrievers import MultiQueryRetriever
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableField, RunnablePassthrough
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from qdrant_client import models

from hydrant import Bm25Encoder, Collection, EdgeClient, Hyde, Passage, Top
from hydrant.errors import (
    ConfigurationError,
    EmptyQuery,
    FilterError,
    InputError,
    TenantRequired,
    UnknownArgument,
)
from hydrant.testing import FailingStage, FunctionStage, HangingStage, HashEncoder, SlowGenerator
from langchain_hydrant import ChatModelGenerator, HydrantReranker, HydrantRetriever

QUESTION = "How are keys rotated?"


@pytest.fixture
def retriever(docs):
    return HydrantRetriever(pipeline=docs.retriever(explain=True), k=3)


def ids(documents):
    return [document.id for document in documents]


def test_a_document_carries_id_text_metadata_and_how_it_was_found(retriever, docs):
    (document, *_) = retriever.invoke(QUESTION)
    hit = docs.retriever(explain=True).run(QUESTION).hits[0]
    assert document.id == hit.id == "doc-0"
    assert document.page_content == hit.text
    assert document.metadata == {
        "lang": "de",
        "number": 0,
        "source": "manual/0.md",
        "score": hit.score,
        "_hydrant": document.metadata["_hydrant"],
    }
    said = document.metadata["_hydrant"]
    assert said["score"] == hit.score
    assert said["degraded"] == []
    assert said["shadowed"] == 0.0  # the passage has a field "score" of its own
    assert {name: (score["score"], score["rank"]) for name, score in said["stages"].items()} == {
        name: (score.score, score.rank) for name, score in hit.stages.items()
    }
    assert set(said["stages"]["sparse"]["terms"]) == {"keys", "rotated"}


def test_scores_are_plain_numbers_that_json_takes(retriever):
    import json

    documents = retriever.invoke(QUESTION)
    assert all(type(document.metadata["score"]) is float for document in documents)
    json.dumps([document.metadata for document in documents])


def test_title_and_source_are_in_the_metadata(retriever):
    found = {document.id: document for document in retriever.invoke(QUESTION, k=10)}
    assert found["doc-1"].metadata["title"] == "Manual"
    assert "title" not in found["doc-0"].metadata


def test_settings_of_a_call_take_the_place_of_the_retrievers(docs):
    retriever = HydrantRetriever(pipeline=docs.retriever(), k=3, filter={"lang": "de"})
    assert len(retriever.invoke(QUESTION)) == 3
    assert {document.metadata["lang"] for document in retriever.invoke(QUESTION)} == {"de"}
    assert len(retriever.invoke(QUESTION, k=1)) == 1
    both = retriever.invoke(QUESTION, filter=None, k=10)
    assert {document.metadata["lang"] for document in both} == {"de", "en"}
    later = retriever.invoke(QUESTION, filter=None, k=4, offset=2)
    assert ids(later) == ids(both)[2:6]


def test_a_qdrant_filter_is_a_filter_too(retriever):
    wanted = models.Filter(must=[models.FieldCondition(key="metadata.number", range=models.Range(gte=7))])
    assert {document.metadata["number"] for document in retriever.invoke(QUESTION, filter=wanted)} == {
        7,
        8,
        9,
    }


def test_without_k_the_pipeline_decides(docs):
    assert len(HydrantRetriever(pipeline=docs.retriever() >> Top(4)).invoke(QUESTION)) == 4


@pytest.mark.parametrize("keyword", ["filters", "top_k", "search_kwargs", "namespace"])
async def test_an_unknown_keyword_of_a_call_is_an_error_that_lists_those_that_exist(retriever, keyword):
    with pytest.raises(UnknownArgument, match=rf"'deadline', 'filter', 'k', 'offset', 'tenant'.*{keyword}"):
        retriever.invoke(QUESTION, **{keyword: 1})
    with pytest.raises(TypeError, match=keyword):
        await retriever.ainvoke(QUESTION, **{keyword: 1})


def test_an_unknown_keyword_of_the_constructor_is_an_error_that_lists_those_that_exist(docs):
    with pytest.raises(ValidationError, match=r"'filter', 'k'.*unknown \['filters'\]"):
        HydrantRetriever(pipeline=docs.retriever(), filters={"lang": "en"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"k": "3"},
        {"k": True},
        {"filter": "lang = en"},
        {"filter": ["en"]},
        {"tenant": 1.5},
        {"deadline": 0},
    ],
)
def test_a_setting_of_the_wrong_type_is_refused_when_it_is_given(docs, wrong):
    with pytest.raises(ValidationError):
        HydrantRetriever(pipeline=docs.retriever(), **wrong)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"k": "3"}, {"offset": -1}, {"deadline": 0}, {"filter": "lang"}])
async def test_a_setting_of_the_wrong_type_is_refused_at_a_call(retriever, wrong):
    with pytest.raises((InputError, ConfigurationError)):
        retriever.invoke(QUESTION, **wrong)
    with pytest.raises((InputError, ConfigurationError)):
        await retriever.ainvoke(QUESTION, **wrong)


def test_a_pipeline_must_be_one():
    with pytest.raises(ValidationError, match="pipeline"):
        HydrantRetriever(pipeline="docs")
    with pytest.raises(ValidationError, match="pipeline"):
        HydrantRetriever()


def test_a_filter_value_of_the_wrong_type_names_field_and_type(retriever):
    with pytest.raises(FilterError, match="number"):
        retriever.invoke(QUESTION, filter={"number": {"gte": "seven"}})


def test_a_blank_query_is_refused(retriever):
    with pytest.raises(EmptyQuery):
        retriever.invoke("  ")


def test_one_line_makes_a_retriever_of_a_client_and_a_collection(client, docs):
    retriever = HydrantRetriever.from_collection(client, "docs", k=2, dense=HashEncoder())
    assert ids(retriever.invoke(QUESTION)) == [hit.id for hit in docs.retriever(limit=2).run(QUESTION).hits]


async def test_one_line_makes_a_retriever_without_blocking(client, docs):
    retriever = await HydrantRetriever.afrom_collection(client, "docs", k=2, dense=HashEncoder())
    assert ids(await retriever.ainvoke(QUESTION)) == [
        hit.id for hit in docs.retriever(limit=2).run(QUESTION).hits
    ]


def test_a_document_is_stored_metadata_alone_where_scores_are_not_wanted(retriever, docs, client):
    bare = HydrantRetriever(pipeline=retriever.pipeline, k=3, with_scores=False)
    for with_scores, without in zip(retriever.invoke(QUESTION), bare.invoke(QUESTION), strict=True):
        assert (without.id, without.page_content) == (with_scores.id, with_scores.page_content)
        stored = with_scores.metadata["_hydrant"]["shadowed"]
        assert without.metadata["score"] == stored
        assert set(with_scores.metadata) - set(without.metadata) == {"_hydrant"}
    opened = HydrantRetriever.from_collection(client, "docs", with_scores=False, dense=HashEncoder())
    assert "_hydrant" not in opened.invoke(QUESTION)[0].metadata


def test_a_multi_query_retriever_sees_a_document_once_whichever_wording_found_it(docs):
    bare = HydrantRetriever(pipeline=docs.retriever(), k=5, with_scores=False)
    wordings = FakeListChatModel(responses=["keys robot\nrotated keys certificates"])
    found = ids(MultiQueryRetriever.from_llm(bare, wordings).invoke(QUESTION))
    assert len(found) > 3
    assert len(found) == len(set(found))


class TestTenants:
    @pytest.fixture
    def tenanted(self, fresh):
        made = Collection.create(fresh, "shared", dense=HashEncoder(), tenant="tenant")
        for tenant in ("acme", "other"):
            made.indexer(progress=False).add([Passage(f"keys of {tenant}", id="1")], tenant=tenant)
        return made

    def test_a_search_without_a_tenant_is_refused(self, tenanted):
        with pytest.raises(TenantRequired):
            HydrantRetriever(pipeline=tenanted.retriever()).invoke("keys")

    async def test_each_call_sees_its_tenants_documents_only(self, tenanted):
        retriever = HydrantRetriever(pipeline=tenanted.retriever(), tenant="acme")
        assert [each.page_content for each in retriever.invoke("keys")] == ["keys of acme"]
        found = await retriever.ainvoke("keys", tenant="other")
        assert [each.page_content for each in found] == ["keys of other"]
        with pytest.raises(TenantRequired):
            retriever.invoke("keys", tenant=None)

    def test_a_tenant_may_come_with_the_config(self, tenanted):
        retriever = HydrantRetriever(pipeline=tenanted.retriever()).configurable_fields(
            tenant=ConfigurableField(id="tenant")
        )
        found = retriever.invoke("keys", {"configurable": {"tenant": "other"}})
        assert [each.page_content for each in found] == ["keys of other"]
        with pytest.raises(TenantRequired):
            retriever.invoke("keys")


def test_the_settings_are_configurable_at_run_time(retriever):
    configurable = retriever.configurable_fields(
        k=ConfigurableField(id="k", name="k", description="how many"), filter=ConfigurableField(id="filter")
    )
    found = configurable.invoke(QUESTION, {"configurable": {"k": 2, "filter": {"lang": "de"}}})
    assert [document.metadata["lang"] for document in found] == ["de", "de"]
    assert len(configurable.invoke(QUESTION)) == 3
    assert {spec.id for spec in configurable.config_specs} == {"k", "filter"}


def test_bound_settings_and_alternatives_work_in_chains(retriever, docs):
    assert len(retriever.bind(k=1).invoke(QUESTION)) == 1
    chosen = retriever.configurable_alternatives(
        ConfigurableField(id="search"),
        words=HydrantRetriever(pipeline=docs.retriever(sources=("sparse",)), k=1),
    )
    (document,) = chosen.invoke(QUESTION, {"configurable": {"search": "words"}})
    assert set(document.metadata["_hydrant"]["stages"]) == {"sparse"}


async def test_batches_keep_the_order_of_the_questions(retriever):
    questions = ["keys rotated", "backups every night", "salted passwords"]
    one_by_one = [ids(retriever.invoke(question)) for question in questions]
    assert [ids(each) for each in retriever.batch(questions)] == one_by_one
    assert [ids(each) for each in await retriever.abatch(questions)] == one_by_one


def test_a_chain_gets_documents_and_question(retriever):
    chain = {"documents": retriever, "question": RunnablePassthrough()} | RunnablePassthrough()
    found = chain.invoke(QUESTION)
    assert found["question"] == QUESTION
    assert all(isinstance(document, Document) for document in found["documents"])


class TestDegradation:
    def test_what_a_search_went_on_without_is_on_every_document_and_in_the_log(self, docs, caplog):
        retriever = HydrantRetriever(
            pipeline=FailingStage(ValueError("no answer"), "hyde") >> docs.retriever(), k=2
        )
        documents = retriever.invoke(QUESTION)
        assert len(documents) == 2
        for document in documents:
            (degraded,) = document.metadata["_hydrant"]["degraded"]
            assert degraded["stage"] == "hyde"
            assert degraded["reason"]
        assert "went on without hyde" in caplog.text

    @pytest.mark.parametrize("heard", [False, True])
    async def test_a_stage_that_hangs_costs_no_more_than_the_deadline(self, docs, ears, heard):
        retriever = HydrantRetriever(pipeline=HangingStage("hyde") >> docs.retriever(), k=2, deadline=0.5)
        config = {"callbacks": [ears]} if heard else None
        began = time.monotonic()
        (first, _) = retriever.invoke(QUESTION, config)
        (second, _) = await retriever.ainvoke(QUESTION, config, deadline=0.4)
        assert time.monotonic() - began < 3
        for document in (first, second):
            assert [each["stage"] for each in document.metadata["_hydrant"]["degraded"]] == ["hyde"]
        if heard:
            assert ears.tree() == [("HydrantRetriever", ["hyde", "retrieve"])] * 2
            assert "DeadlineExceeded" in ears.roots[0].child_runs[0].error

    async def test_a_search_that_is_cancelled_closes_its_runs(self, docs, ears):
        retriever = HydrantRetriever(pipeline=HangingStage("hyde") >> docs.retriever())
        task = asyncio.create_task(retriever.ainvoke(QUESTION, {"callbacks": [ears]}))
        await asyncio.sleep(0.2)
        started = list(ears.run_map.values())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (hyde,) = [run for run in started if run.name == "hyde"]
        assert hyde.end_time is not None
        assert hyde.error


class TestAsync:
    async def test_the_event_loop_goes_on_while_a_search_waits(self, docs):
        pipeline = Hyde(SlowGenerator(0.3), hypotheses=1, cache=None) >> docs.retriever()
        retriever = HydrantRetriever(pipeline=pipeline)
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.01)

        ticking = asyncio.create_task(tick())
        await retriever.ainvoke(QUESTION)
        ticking.cancel()
        assert ticks > 5

    async def test_searches_wait_side_by_side(self, docs):
        pipeline = Hyde(SlowGenerator(0.3), hypotheses=1, cache=None) >> docs.retriever()
        retriever = HydrantRetriever(pipeline=pipeline)
        began = time.monotonic()
        await asyncio.gather(*(retriever.ainvoke(f"{QUESTION} {number}") for number in range(8)))
        assert time.monotonic() - began < 8 * 0.3 * 0.7

    async def test_the_language_model_is_awaited_in_the_callers_loop(self, docs):
        seen = []

        class Model(FakeListChatModel):
            async def _agenerate(self, *args, **kwargs):
                seen.append((threading.current_thread(), asyncio.get_running_loop()))
                return await super()._agenerate(*args, **kwargs)

        llm = ChatModelGenerator(Model(responses=["Keys are rotated."]))
        retriever = HydrantRetriever(pipeline=Hyde(llm, hypotheses=2, enough=2) >> docs.retriever())
        await retriever.ainvoke(QUESTION)
        assert seen == [(threading.current_thread(), asyncio.get_running_loop())] * 2


class TestTraces:
    async def test_every_stage_is_a_run_and_the_models_calls_are_its_children(self, docs, ears):
        llm = ChatModelGenerator(FakeListChatModel(responses=["Keys rotate.", "Keys turn."]))
        retriever = HydrantRetriever(
            pipeline=Hyde(llm, hypotheses=2, enough=2, cache=None) >> docs.retriever() >> Top(2)
        )
        retriever.invoke(QUESTION, {"callbacks": [ears]})
        await retriever.ainvoke(QUESTION, {"callbacks": [ears]})
        retriever.invoke(QUESTION, {"callbacks": [ears]}, deadline=5.0)
        tree = (
            "HydrantRetriever",
            [("hyde", ["FakeListChatModel", "FakeListChatModel"]), "retrieve", "top"],
        )
        assert ears.tree() == [tree] * 3
        hyde, retrieve, top = ears.roots[0].child_runs
        assert hyde.inputs == {"query": QUESTION, "hits": 0}
        assert sorted(hyde.outputs["texts"]) == ["Keys rotate.", "Keys turn."]
        assert len(retrieve.outputs["hits"]) == 2
        assert [hit["id"] for hit in top.outputs["hits"]] == ids(retriever.invoke(QUESTION))
        assert all(run.error is None and run.end_time for run in (hyde, retrieve, top))

    def test_a_failed_stage_is_a_failed_run_of_a_search_that_went_well(self, docs, ears):
        HydrantRetriever(pipeline=FailingStage(ValueError("no answer"), "hyde") >> docs.retriever()).invoke(
            QUESTION, {"callbacks": [ears]}
        )
        (root,) = ears.roots
        assert root.error is None
        assert ears.run("hyde").error

    def test_an_error_ends_the_retrievers_run(self, retriever, ears):
        with pytest.raises(FilterError):
            retriever.invoke(QUESTION, {"callbacks": [ears]}, filter={"nowhere": 1})
        assert "FilterError" in ears.roots[0].error
        assert "FilterError" in ears.run("retrieve").error

    def test_listening_changes_no_answer(self, docs, ears):
        pipeline = FailingStage(ValueError("no answer"), "hyde") >> docs.retriever() >> Top(3)
        retriever = HydrantRetriever(pipeline=pipeline)
        assert retriever.invoke(QUESTION, {"callbacks": [ears]}) == retriever.invoke(QUESTION)
        assert retriever.invoke(QUESTION, {"callbacks": [ears]}, deadline=5.0) == retriever.invoke(QUESTION)

    def test_tags_and_metadata_reach_the_stages_runs(self, docs, ears):
        retriever = HydrantRetriever(pipeline=docs.retriever(), tags=["mine"], metadata={"team": "search"})
        retriever.invoke(QUESTION, {"callbacks": [ears], "tags": ["theirs"], "run_name": "lookup"})
        root = ears.roots[0]
        assert root.name == "lookup"
        assert {"mine", "theirs"} <= set(root.tags)
        assert root.metadata["team"] == "search"
        assert "theirs" in ears.run("retrieve").tags

    def test_langsmith_hears_which_store_and_embedding_are_searched(self, ears, fresh):
        from hydrant import DenseEncoder

        made = Collection.create(fresh, "named", dense=HashEncoder(), sparse=Bm25Encoder())
        HydrantRetriever(pipeline=made.retriever()).invoke("keys", {"callbacks": [ears]})
        metadata = ears.roots[0].metadata
        assert metadata["ls_retriever_name"] == "hydrant"
        assert metadata["ls_vector_store_provider"] == "Qdrant"
        assert metadata["ls_embedding_provider"] == "hash"

        class Loud:
            name = "a-model"
            dimensions = 4

            def encode(self, texts):
                return [[1.0, 0.0, 0.0, 0.0] for _ in texts]

        made = Collection.create(fresh, "model", dense=DenseEncoder(Loud()))
        HydrantRetriever(pipeline=made.retriever()).invoke("keys", {"callbacks": [ears]})
        assert "a-model" in ears.roots[1].metadata["ls_embedding_model"]

    async def test_events_of_stages_and_tokens_of_streaming_models_are_streamed(self, docs):
        model = GenericFakeChatModel(messages=iter([AIMessage("Keys are rotated with keyctl")]))
        retriever = HydrantRetriever(
            pipeline=Hyde(ChatModelGenerator(model), hypotheses=1, cache=None) >> docs.retriever()
        )
        events = [event async for event in retriever.astream_events(QUESTION, version="v2")]
        names = [(event["event"], event["name"]) for event in events]
        assert ("on_chain_start", "hyde") in names
        assert ("on_chain_end", "retrieve") in names
        assert [event["data"]["output"] for event in events if event["event"] == "on_retriever_end"]
        tokens = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
        assert "".join(tokens) == "Keys are rotated with keyctl"


class TestConfig:
    def test_settings_survive_a_round_trip_through_json(self, docs):
        import json

        retriever = HydrantRetriever(pipeline=docs.retriever(), k=3, filter={"lang": "en"}, tags=["mine"])
        settings = json.loads(json.dumps(retriever.model_dump(mode="json", exclude={"pipeline"})))
        again = HydrantRetriever(pipeline=docs.retriever(), **settings)
        assert again == retriever

    def test_a_pipeline_in_json_is_what_a_file_of_it_says(self, docs):
        import yaml

        from hydrant import to_yaml

        pipeline = docs.retriever(limit=5) >> Top(2)
        said = HydrantRetriever(pipeline=pipeline, k=3).model_dump(mode="json")
        file = yaml.safe_load(to_yaml(pipeline, name="search", collection="docs"))
        assert said["pipeline"] == file["stages"] == [{"Retriever": {"limit": 5}}, {"Top": {"n": 2}}]
        assert said["k"] == 3
        assert HydrantReranker(reranker=Top(2)).model_dump(mode="json")["reranker"] == [{"Top": {"n": 2}}]

    def test_a_part_that_json_cannot_say_is_named(self, docs):
        retriever = HydrantRetriever(pipeline=docs.retriever() >> FunctionStage(lambda state: state, "mine"))
        with pytest.raises(PydanticSerializationError, match="FunctionStage"):
            retriever.model_dump(mode="json")

    def test_langchain_can_describe_it(self, retriever):
        from langchain_core.load import dumps

        assert "HydrantRetriever" in dumps(retriever)
        assert retriever.get_input_jsonschema()["type"] == "string"

    def test_equal_pipelines_make_equal_retrievers(self, docs):
        one, two, other = (HydrantRetriever(pipeline=docs.retriever(limit=k), k=3) for k in (5, 5, 6))
        assert one == two
        assert one != other

    def test_a_retriever_that_was_used_equals_one_that_was_not(self, docs):
        used, unused = (HydrantRetriever(pipeline=docs.retriever(), k=1) for _ in range(2))
        used.invoke(QUESTION)
        assert used == unused

    def test_a_pipeline_in_a_file_is_a_retrievers_pipeline(self, tmp_path):
        from hydrant import open_pipeline, to_yaml

        with EdgeClient(tmp_path / "index") as client:
            made = Collection.create(client, "docs", sparse=Bm25Encoder())
            made.indexer(progress=False).add([Passage("Keys are rotated.", id="1"), Passage("Keys", id="2")])
            pipeline = made.retriever(limit=2) >> Top(1)
            expected = HydrantRetriever(pipeline=pipeline).invoke("keys rotated")
            said = to_yaml(pipeline, name="search", collection={"path": "index", "name": "docs"})
        (tmp_path / "search.yaml").write_text(said)
        with open_pipeline(tmp_path / "search.yaml") as again:
            assert HydrantRetriever(pipeline=again).invoke("keys rotated") == expected
