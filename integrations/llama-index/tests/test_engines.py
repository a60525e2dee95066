"""Query engines, tools, agents and workflows of LlamaIndex with our parts in them."""

from __future__ import annotations

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.indices.postprocessor import SimilarityPostprocessor
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import (
    CitationQueryEngine,
    RetrieverQueryEngine,
    RouterQueryEngine,
    SubQuestionQueryEngine,
)
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import ResponseMode
from llama_index.core.retrievers import QueryFusionRetriever, RecursiveRetriever, RouterRetriever
from llama_index.core.schema import QueryBundle
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool, RetrieverTool
from llama_index.core.workflow import StartEvent, StopEvent, Workflow, step

from hydrant import Hyde, Ranking, Reranker
from hydrant.errors import ConfigurationError, FilterError
from hydrant.testing import ScriptedGenerator
from llama_index.postprocessor.hydrant import HydrantRerank
from llama_index.retrievers.hydrant import HydrantHyDE, HydrantQueryBundle, HydrantRetriever
from llama_index.tools.hydrant import HydrantToolSpec


class Reversed(Reranker):
    name = "reversed"

    def rank(self, query, hits):
        yield from ()
        return Ranking(list(range(len(hits))))


@pytest.fixture
def retriever(docs):
    return HydrantRetriever(docs.retriever(limit=3))


def ids(found):
    return [node.node_id for node in found]


def answer(engine, query, how):
    return engine.query(query) if how == "sync" else asyncio.run(engine.aquery(query))


# LlamaIndex's agents and tools look at what pydantic has deprecated.
of_llama_index = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
both_ways = pytest.mark.parametrize("how", ["sync", "async"])


@both_ways
def test_retriever_and_reranker_in_a_retriever_query_engine(retriever, how, heard):
    rerank = HydrantRerank(Reversed(), top_n=2)
    engine = RetrieverQueryEngine.from_args(retriever, node_postprocessors=[rerank])
    response = answer(engine, "brown sea", how)
    assert ids(response.source_nodes) == ids(retriever.retrieve("brown sea"))[:0:-1]
    assert response.response
    order = [type(event).__name__ for event in heard.events]
    assert order.index("RetrievalEndEvent") < order.index("ReRankStartEvent") < order.index("ReRankEndEvent")
    # Engines hand their callbacks to the postprocessors.
    assert rerank.callback_manager is engine.callback_manager


def test_scores_are_such_that_a_postprocessor_behind_it_can_sort_and_cut(retriever):
    found = HydrantRerank(Reversed()).postprocess_nodes(
        retriever.retrieve("brown sea"), query_str="brown sea"
    )
    again = sorted(found, key=lambda node: node.score, reverse=True)
    assert ids(again) == ids(found)
    cut = SimilarityPostprocessor(similarity_cutoff=1.0).postprocess_nodes(found)
    assert ids(cut) == ids(found)[:2]


def test_what_the_language_model_reads_has_no_notes_of_hydrant(retriever, heard):
    RetrieverQueryEngine.from_args(retriever).query("brown sea")
    prompts = [str(event.prompt) for event in heard.of("LLMCompletionStartEvent")]
    assert prompts
    assert not any("_hydrant" in prompt or "stages" in prompt for prompt in prompts)


@both_ways
def test_a_citation_query_engine_numbers_our_nodes(retriever, how):
    engine = CitationQueryEngine.from_args(
        index=None, llm=MockLLM(), retriever=retriever, node_postprocessors=[HydrantRerank(Reversed())]
    )
    response = answer(engine, "brown sea", how)
    assert len(response.source_nodes) == 3
    assert response.source_nodes[0].text.startswith("Source 1:")


class Splitting(BaseQuestionGenerator):
    """Splits every question into the same two."""

    def generate(self, tools, query):
        return [SubQuestion(sub_question=text, tool_name=tools[0].name) for text in ("brown", "sea")]

    async def agenerate(self, tools, query):
        return self.generate(tools, query)

    def _get_prompts(self):
        return {}

    def _update_prompts(self, prompts):
        pass


def tool(retriever, name="docs"):
    engine = RetrieverQueryEngine.from_args(retriever)
    return QueryEngineTool.from_defaults(engine, name=name, description=f"Answers about {name}.")


@both_ways
def test_a_sub_question_query_engine_asks_it_every_part(retriever, how):
    engine = SubQuestionQueryEngine.from_defaults(
        [tool(retriever)], question_gen=Splitting(), use_async=how == "async", verbose=False
    )
    response = answer(engine, "what of brown and sea", how)
    expected = {*ids(retriever.retrieve("brown")), *ids(retriever.retrieve("sea"))}
    assert {*ids(response.source_nodes)} >= expected


class Choosing(MockLLM):
    """Chooses the second tool."""

    def complete(self, prompt, formatted=False, **kwargs):
        from llama_index.core.llms import CompletionResponse

        return CompletionResponse(text=json.dumps([{"choice": 2, "reason": "it fits"}]))


@both_ways
def test_a_router_query_engine_sends_queries_to_it(retriever, docs, how):
    other = HydrantRetriever(docs.retriever(limit=1))
    engine = RouterQueryEngine(
        LLMSingleSelector.from_defaults(llm=Choosing()), [tool(retriever, "many"), tool(other, "one")]
    )
    assert len(answer(engine, "brown sea", how).source_nodes) == 1


@both_ways
def test_a_router_retriever_sends_queries_to_it(retriever, docs, how):
    tools = [
        RetrieverTool.from_defaults(retriever, name="many", description="many"),
        RetrieverTool.from_defaults(HydrantRetriever(docs.retriever(limit=1)), name="one", description="one"),
    ]
    router = RouterRetriever(LLMSingleSelector.from_defaults(llm=Choosing()), tools, llm=MockLLM())
    found = router.retrieve("sea") if how == "sync" else asyncio.run(router.aretrieve("sea"))
    assert len(found) == 1


def test_a_fusion_retriever_and_a_recursive_one_take_it(retriever):
    before = retriever.retrieve("brown sea")
    fusion = QueryFusionRetriever(
        [retriever, retriever], num_queries=1, similarity_top_k=3, llm=MockLLM(), use_async=False
    )
    assert {*ids(fusion.retrieve("brown sea"))} == {*ids(before)}
    recursive = RecursiveRetriever("vector", retriever_dict={"vector": retriever})
    assert ids(recursive.retrieve("brown sea")) == ids(before)


@pytest.mark.parametrize("use_async", [False, True])
def test_a_fusion_retriever_adds_up_what_several_retrievers_say_of_a_node(docs, use_async):
    """It tells nodes apart by a hash that covers their metadata, and so the scores that are noted there."""
    several = [HydrantRetriever(docs.retriever(sources=(name,), limit=6)) for name in ("dense", "sparse")]
    fusion = QueryFusionRetriever(
        several,
        num_queries=1,
        similarity_top_k=6,
        mode="reciprocal_rerank",
        llm=MockLLM(),
        use_async=use_async,
    )
    expected: dict[str, float] = {}
    for each in several:
        for rank, node in enumerate(each.retrieve("brown sea")):
            expected[node.node_id] = expected.get(node.node_id, 0.0) + 1 / (60 + rank)
    assert max(expected.values()) > 1 / 60
    found = {node.node_id: node.score for node in fusion.retrieve("brown sea")}
    assert found == pytest.approx(expected)


def test_a_chat_engine_takes_it(retriever):
    engine = ContextChatEngine.from_defaults(
        retriever, memory=ChatMemoryBuffer.from_defaults(llm=MockLLM()), llm=MockLLM()
    )
    assert ids(engine.chat("brown sea").source_nodes) == ids(retriever.retrieve("brown sea"))


@both_ways
def test_streaming_answers_have_source_nodes(retriever, how):
    engine = RetrieverQueryEngine.from_args(retriever, llm=MockLLM(max_tokens=4), streaming=True)

    async def stream():
        response = await engine.aquery("brown sea")
        return [token async for token in response.response_gen], response

    if how == "sync":
        response = engine.query("brown sea")
        tokens = list(response.response_gen)
    else:
        engine = RetrieverQueryEngine.from_args(
            retriever, llm=MockLLM(max_tokens=4), streaming=True, use_async=True
        )
        tokens, response = asyncio.run(stream())
    assert len(tokens) == 4
    assert ids(response.source_nodes) == ids(retriever.retrieve("brown sea"))


@both_ways
def test_many_answers_side_by_side_are_those_one_by_one(retriever, how):
    questions = ["brown sea", "keys", "sun", "fox"] * 3
    if how == "sync":
        found = [retriever.retrieve(question) for question in questions]
    else:

        async def search():
            return await asyncio.gather(*(retriever.aretrieve(question) for question in questions))

        found = asyncio.run(search())
    assert [ids(each) for each in found] == [ids(retriever.retrieve(question)) for question in questions]


# ---- tools and agents --------------------------------------------------------------------------------------------


@both_ways
def test_it_is_ready_for_a_retriever_tool(retriever, how):
    ready = RetrieverTool.from_defaults(retriever, node_postprocessors=[HydrantRerank(Reversed(), top_n=1)])
    output = ready.call("sea") if how == "sync" else asyncio.run(ready.acall("sea"))
    assert len(output.raw_output) == 1
    assert output.raw_output[0].text in output.content
    assert "_hydrant" not in output.content


@both_ways
def test_the_search_tool_gives_numbered_passages_and_the_nodes(retriever, how):
    (search,) = HydrantToolSpec(retriever, name="search_docs").to_tool_list()
    output = (
        search.call(query="sea", limit=2)
        if how == "sync"
        else asyncio.run(search.acall(query="sea", limit=2))
    )
    assert [node.node_id for node in output.raw_output] == ids(retriever.retrieve("sea"))[:2]
    assert output.content.startswith("[1] ")
    assert "\n\n[2] " in output.content
    assert "_hydrant" not in output.content
    assert "weight" not in output.content


@of_llama_index
def test_the_search_tool_filters_by_declared_fields_only(retriever):
    spec = HydrantToolSpec(retriever, filter_fields={"topic": "str", "year": "int"})
    (search,) = spec.to_tool_list()
    schema = search.metadata.get_parameters_dict()
    assert set(schema["properties"]) == {"query", "limit", "topic", "year"}
    assert schema["required"] == ["query"]
    assert [node.metadata["topic"] for node in search.call(query="sea", topic="rivers").raw_output] == [
        "rivers"
    ]
    assert search.call(query="sea", topic="nothing").content == "No passage was found."
    assert len(search.call(query="sea", topic=None).raw_output) == 5
    with pytest.raises(FilterError, match=r"'topic', 'year'.*'even'"):
        search.call(query="sea", even="True")


def test_the_retrievers_own_filters_hold_in_the_tool(docs):
    retriever = HydrantRetriever(docs.retriever(), filters={"even": "True"})
    (search,) = HydrantToolSpec(retriever, filter_fields={"topic": "str"}).to_tool_list()
    assert search.call(query="sea", topic="foxes").raw_output == []
    # A model may ask for any number.
    assert len(search.call(query="sea", limit=10**9).raw_output) == 3


@pytest.mark.parametrize("fields", [{"a": "text"}, {"query": "str"}, {"limit": "int"}])
def test_a_search_tool_that_cannot_work_is_refused(retriever, fields):
    with pytest.raises(ConfigurationError, match="filter_fields"):
        HydrantToolSpec(retriever, filter_fields=fields)
    with pytest.raises(ConfigurationError, match="HydrantRetriever"):
        HydrantToolSpec("docs")
    with pytest.raises(ConfigurationError, match="limit"):
        HydrantToolSpec(retriever, limit=0)


def calling(tool_name, **arguments):
    """A language model that calls a tool once, and then answers with what it read."""

    def respond(messages, **kwargs):
        last = messages[-1]
        if str(last.role.value) == "tool":
            return ChatMessage(role="assistant", content=f"I read: {last.content}")
        call = ToolCallBlock(tool_call_id="1", tool_name=tool_name, tool_kwargs=arguments)
        return ChatMessage(role="assistant", blocks=[call])

    return respond


class Calling(MockFunctionCallingLLM):
    """Calls the tool it was told to, then says what it read."""


@of_llama_index
@pytest.mark.parametrize("kind", ["spec", "retriever tool", "query engine tool"])
def test_a_function_agent_uses_it(retriever, kind):
    if kind == "spec":
        (ready,) = HydrantToolSpec(retriever, name="docs").to_tool_list()
        arguments = {"query": "rivers flow into the sea", "limit": 1}
    elif kind == "retriever tool":
        ready = RetrieverTool.from_defaults(retriever, name="docs", description="docs")
        arguments = {"input": "rivers flow into the sea"}
    else:
        ready = tool(retriever)
        arguments = {"input": "rivers flow into the sea"}
    llm = Calling(response_generator=calling("docs", **arguments), is_chat_model=True)
    agent = FunctionAgent(tools=[ready], llm=llm, streaming=False)

    async def run():
        return await agent.run("where do rivers end?")

    result = asyncio.run(run())
    assert [call.tool_name for call in result.tool_calls] == ["docs"]
    assert not result.tool_calls[0].tool_output.is_error
    assert "rivers flow into the sea" in str(result)


def test_it_works_inside_a_workflow(retriever):
    class Rag(Workflow):
        @step
        async def search(self, event: StartEvent) -> StopEvent:
            found = await retriever.aretrieve(
                await HydrantHyDE(ScriptedGenerator("the deep sea"), hypotheses=1).arun(event.query)
            )
            ranked = await HydrantRerank(Reversed()).apostprocess_nodes(found, query_str=event.query)
            return StopEvent(result=[node.node_id for node in ranked])

    async def run():
        return await Rag(timeout=10).run(query="sea")

    found = asyncio.run(run())
    assert len(found) == 3


def test_bundles_of_ours_go_through_an_engine(docs):
    engine = RetrieverQueryEngine.from_args(
        HydrantRetriever(docs.retriever()), response_mode=ResponseMode.NO_TEXT
    )
    query = HydrantQueryBundle("sea", filters={"even": "True"}, similarity_top_k=2)
    assert len(engine.query(query).source_nodes) == 2
    assert {node.metadata["even"] for node in engine.query(query).source_nodes} == {"True"}


def test_a_pipeline_with_everything_in_it_is_one_retriever(docs):
    pipeline = Hyde(ScriptedGenerator("deep sea"), hypotheses=2) >> docs.retriever() >> Reversed(top_n=2)
    found = HydrantRetriever(pipeline).retrieve(QueryBundle("water"))
    assert len(found) == 2
    assert set(found[0].metadata["_hydrant"]["stages"]) >= {"fusion", "reversed"}
