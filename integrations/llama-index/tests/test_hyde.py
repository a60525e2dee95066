"""HyDE as a query transform and as a retriever."""

from __future__ import annotations

import asyncio
import copy

import pytest
from llama_index.core.indices.query.query_transform.base import HyDEQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.prompts.default_prompts import DEFAULT_HYDE_PROMPT
from llama_index.core.query_engine import RetrieverQueryEngine, TransformQueryEngine
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.retrievers import TransformRetriever
from llama_index.core.schema import QueryBundle

from hydrant import Hyde
from hydrant.errors import ConfigurationError, EmptyQuery, UnknownArgument
from hydrant.testing import FailingGenerator, ScriptedGenerator, SlowGenerator
from llama_index.retrievers.hydrant import (
    HydrantHyDE,
    HydrantHyDERetriever,
    HydrantQueryBundle,
    HydrantRetriever,
)

ANSWERS = ["rivers flow into the sea", "the sea is deep and cold", "a river ends in the sea"]


def hyde(**settings):
    return HydrantHyDE(ScriptedGenerator(ANSWERS), hypotheses=3, **settings)


def seen(nodes):
    return [(node.node_id, node.score) for node in nodes]


@pytest.mark.parametrize("query", ["where do streams end", QueryBundle("where do streams end")])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_there_are_as_many_hypotheses_as_were_asked_for(query, how):
    transform = hyde()
    bundle = transform.run(query) if how == "sync" else asyncio.run(transform.arun(query))
    assert isinstance(bundle, QueryBundle)
    assert bundle.query_str == "where do streams end"
    assert bundle.custom_embedding_strs == [*ANSWERS, "where do streams end"]
    assert transform.stage.llm.requests[0].samples == 3


def test_the_retriever_searches_as_the_pipeline_with_hyde_does(docs):
    search = docs.retriever()
    expected = (Hyde(ScriptedGenerator(ANSWERS), hypotheses=3) >> search).run("where do streams end").hits
    found = HydrantRetriever(search).retrieve(hyde().run("where do streams end"))
    assert seen(found) == [(str(hit.id), hit.score) for hit in expected]
    wrapped = HydrantHyDERetriever(HydrantRetriever(search), hyde())
    assert seen(wrapped.retrieve("where do streams end")) == seen(found)
    assert seen(asyncio.run(wrapped.aretrieve("where do streams end"))) == seen(found)


def test_hypotheses_go_through_the_document_encoder_and_the_query_through_its_own(client):
    from hydrant import Collection
    from hydrant.testing import HashEncoder

    encoder = HashEncoder(32)
    docs = Collection.create(client, "d", dense=encoder)
    docs.indexer(progress=False).add(["the sea"])
    encoder.calls.clear()
    HydrantRetriever(docs.retriever()).retrieve(hyde().run("streams"))
    roles = {}
    for role, texts in encoder.calls:
        roles.setdefault(role, []).extend(texts)
    assert roles == {"query": ["streams"], "document": ANSWERS}


def test_llama_indexs_own_hyde_works_too_with_its_query_encoder(docs):
    class Writer(MockLLM):
        def complete(self, prompt, formatted=False, **kwargs):
            from llama_index.core.llms import CompletionResponse

            return CompletionResponse(text=ANSWERS[0])

    bundle = HyDEQueryTransform(Writer(), include_original=False).run("streams")
    found = HydrantRetriever(docs.retriever(sources=("dense",))).retrieve(bundle)
    assert found[0].text == ANSWERS[0]
    assert found[0].score == pytest.approx(1.0, abs=1e-5)


def test_any_other_retriever_finds_the_hypotheses_among_the_embedding_strings():
    from llama_index.core import VectorStoreIndex
    from llama_index.core.embeddings import MockEmbedding
    from llama_index.core.schema import TextNode

    asked = []

    class Listening(MockEmbedding):
        def _get_query_embedding(self, query):
            asked.append(query)
            return super()._get_query_embedding(query)

    index = VectorStoreIndex([TextNode(text="sea")], embed_model=Listening(embed_dim=4))
    HydrantHyDERetriever(index.as_retriever(), hyde()).retrieve("streams")
    assert asked == [*ANSWERS, "streams"]


def test_the_original_can_be_left_out(docs):
    bundle = hyde(include_original=False).run("streams")
    assert bundle.custom_embedding_strs == ANSWERS
    assert bundle.expansions[0].query_weight == 0.0
    with pytest.raises(ConfigurationError, match="query_weight"):
        hyde(include_original=False, query_weight=2.0)
    assert hyde(query_weight=2).run("streams").expansions[0].query_weight == 2.0


def test_a_bundle_stays_as_it_was_and_keeps_its_own_settings():
    bundle = HydrantQueryBundle(
        "streams", embedding=[1.0], similarity_top_k=2, filters={"a": 1}, tenant="t", degraded=("x",)
    )
    before = copy.deepcopy(bundle)
    transformed = hyde().run(bundle)
    assert bundle == before
    kept = (transformed.similarity_top_k, transformed.filters, transformed.tenant, transformed.degraded)
    assert kept == (2, {"a": 1}, "t", ("x",))
    # The embedding of the query alone would hide the hypotheses.
    assert transformed.embedding is None


def test_two_transforms_add_up(docs):
    bundle = HydrantHyDE(ScriptedGenerator("keys"), hypotheses=1).run(hyde().run("streams"))
    assert [expansion.texts for expansion in bundle.expansions] == [tuple(ANSWERS), ("keys",)]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_model_that_fails_leaves_the_query_as_it_was_and_the_nodes_say_so(docs, how):
    transform = HydrantHyDE(FailingGenerator(RuntimeError("down")), hypotheses=2)
    retriever = HydrantHyDERetriever(HydrantRetriever(docs.retriever()), transform)
    found = retriever.retrieve("sea") if how == "sync" else asyncio.run(retriever.aretrieve("sea"))
    assert seen(found) == seen(HydrantRetriever(docs.retriever()).retrieve("sea"))
    assert "down" in found[0].metadata["_hydrant"]["degraded"][0]


def test_a_failure_is_raised_where_that_is_wanted():
    with pytest.raises(RuntimeError, match="down"):
        HydrantHyDE(FailingGenerator(RuntimeError("down")), on_error="raise").run("sea")


def test_a_slow_model_is_given_up(docs):
    with SlowGenerator(30) as slow:
        found = HydrantHyDERetriever(
            HydrantRetriever(docs.retriever()), HydrantHyDE(slow, timeout=0.1)
        ).retrieve("sea")
    assert found[0].metadata["_hydrant"]["degraded"]


def test_async_hyde_does_not_hold_the_event_loop(docs):
    transform = HydrantHyDE(SlowGenerator(0.2), hypotheses=4)

    async def both():
        beats = 0
        task = asyncio.ensure_future(transform.arun("sea"))
        while not task.done():
            await asyncio.sleep(0.01)
            beats += 1
        return beats, await task

    beats, bundle = asyncio.run(both())
    assert beats >= 5
    assert len(bundle.expansions[0].texts) == 4


def test_a_blank_query_is_refused():
    with pytest.raises(EmptyQuery):
        hyde().run(" ")


def test_the_hypotheses_can_be_seen(docs, heard):
    HydrantRetriever(Hyde(ScriptedGenerator(ANSWERS), hypotheses=3) >> docs.retriever()).retrieve("streams")
    hyde().run("streams")
    assert [event.hypotheses for event in heard.of("HydrantSearchEvent")] == [ANSWERS, ANSWERS]
    assert heard.of("HydrantSearchEvent")[0].usage["hyde"]["calls"] == 1


# ---- inside TransformQueryEngine ---------------------------------------------------------------------------------


def engine(docs, transform):
    inner = RetrieverQueryEngine.from_args(
        HydrantRetriever(docs.retriever()), response_mode=ResponseMode.COMPACT
    )
    return TransformQueryEngine(inner, transform)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_it_serves_a_transform_query_engine(docs, how):
    answered = engine(docs, hyde())
    response = answered.query("streams") if how == "sync" else asyncio.run(answered.aquery("streams"))
    expected = HydrantRetriever(docs.retriever()).retrieve(hyde().run("streams"))
    assert seen(response.source_nodes) == seen(expected)


def test_retrieving_and_synthesizing_search_with_the_same_hypotheses_and_ask_the_model_once(docs):
    llm = ScriptedGenerator(["first", "second", "third", "fourth"])
    transform = HydrantHyDE(llm, hypotheses=2)
    answered = engine(docs, transform)
    bundle = QueryBundle("streams")
    nodes = answered.retrieve(bundle)
    answered.synthesize(bundle, nodes)
    assert len(llm.requests) == 1
    assert transform.run(bundle).custom_embedding_strs == transform.run(bundle).custom_embedding_strs


def test_llama_indexs_own_transform_retriever_takes_it_too(docs):
    found = TransformRetriever(HydrantRetriever(docs.retriever()), hyde()).retrieve("streams")
    assert seen(found) == seen(
        HydrantHyDERetriever(HydrantRetriever(docs.retriever()), hyde()).retrieve("streams")
    )


# ---- prompts -----------------------------------------------------------------------------------------------------


def test_the_prompt_is_shown_and_changed_in_llama_indexs_way():
    llm = ScriptedGenerator(ANSWERS)
    transform = HydrantHyDE(llm, hypotheses=1)
    assert "{context_str}" in transform.get_prompts()["hyde_prompt"].template
    transform.update_prompts({"hyde_prompt": PromptTemplate("Answer as a poet: {context_str}")})
    assert transform.get_prompts()["hyde_prompt"].template == "Answer as a poet: {context_str}"
    transform.run("streams")
    assert "Answer as a poet: streams" in llm.requests[0].text


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (DEFAULT_HYDE_PROMPT, "Try to include as many key details as possible.\n\n\nstreams"),
        (PromptTemplate("As {who}: {query_str}").partial_format(who="a poet"), "As a poet: streams"),
        (PromptTemplate("Say {it}", template_var_mappings={"query_str": "it"}), "Say streams"),
        (
            PromptTemplate("{tone} {context_str}", function_mappings={"tone": lambda **_: "Gently:"}),
            "Gently: streams",
        ),
        ("scifact", "Claim: streams"),
        ("Write on {query}.", "Write on streams."),
    ],
)
def test_templates_of_llama_index_and_names_of_ours_are_filled_with_the_question(prompt, expected):
    llm = ScriptedGenerator(ANSWERS)
    HydrantHyDE(llm, hypotheses=1, hyde_prompt=prompt).run("streams")
    assert expected in llm.requests[0].text


def test_a_prompt_without_the_question_or_of_another_name_is_refused():
    with pytest.raises(ConfigurationError, match="query"):
        HydrantHyDE(ScriptedGenerator("x"), hyde_prompt=PromptTemplate("Write something."))
    with pytest.raises(UnknownArgument, match="hyde_prompt"):
        hyde().update_prompts({"hyde": PromptTemplate("{context_str}")})
    with pytest.raises(ConfigurationError, match="PromptTemplate"):
        hyde().update_prompts({"hyde_prompt": "{context_str}"})


def test_prompts_are_reached_through_engines_and_retrievers(docs):
    llm = ScriptedGenerator(ANSWERS)
    transform = HydrantHyDE(llm, hypotheses=1)
    outer = engine(docs, transform)
    assert "query_transform:hyde_prompt" in outer.get_prompts()
    outer.update_prompts({"query_transform:hyde_prompt": PromptTemplate("Sing: {context_str}")})
    outer.query("streams")
    assert "Sing: streams" in llm.requests[0].text
    wrapped = HydrantHyDERetriever(HydrantRetriever(docs.retriever()), transform)
    assert wrapped.get_prompts()["query_transform:hyde_prompt"].template == "Sing: {context_str}"


def test_the_prompts_of_a_retrievers_own_pipeline_are_shown_and_changed(docs):
    llm = ScriptedGenerator(ANSWERS)
    pipeline = Hyde(llm, hypotheses=1) >> Hyde(llm, hypotheses=1, prompt="scifact") >> docs.retriever()
    retriever = HydrantRetriever(pipeline)
    assert set(retriever.get_prompts()) == {"hyde_prompt", "hyde_prompt_2"}
    retriever.update_prompts({"hyde_prompt_2": PromptTemplate("Dance: {query_str}")})
    retriever.retrieve("streams")
    assert "Question: streams" in llm.requests[0].text
    assert "Dance: streams" in llm.requests[1].text
    # The pipeline that was given is somebody else's.
    assert "Claim" in pipeline.stages[1].prompt.template
    with pytest.raises(UnknownArgument, match="hyde_prompt_2"):
        retriever.update_prompts({"nothing": PromptTemplate("{query_str}")})


@pytest.mark.parametrize("settings", [{"hypotheses": 0}, {"mode": "best"}, {"temperature": -1}])
def test_settings_that_cannot_work_are_refused_at_once(settings):
    with pytest.raises(ConfigurationError):
        HydrantHyDE(ScriptedGenerator("x"), **settings)


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="hypothesis"):
        HydrantHyDE(ScriptedGenerator("x"), hypothesis=3)


def test_the_wrapper_takes_a_retriever_and_a_transform(docs):
    with pytest.raises(ConfigurationError, match="HydrantHyDE"):
        HydrantHyDERetriever(HydrantRetriever(docs.retriever()), HyDEQueryTransform(MockLLM()))
