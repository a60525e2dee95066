"""The context packer, the example selector and the search tool."""

from __future__ import annotations

import copy

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.prompts import FewShotPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool
from pydantic import ValidationError

from hydrant import Bm25Encoder, Collection, ContextPacker, ContextTemplate, ListwiseReranker
from hydrant.errors import EmptyQuery, InputError, UnknownArgument
from hydrant.testing import HashEncoder, ScriptedGenerator
from langchain_hydrant import (
    HydeExpander,
    HydrantContextPacker,
    HydrantExampleSelector,
    HydrantReranker,
    HydrantRetriever,
    create_hydrant_tool,
)

DOCUMENTS = [
    Document(
        "Keys are rotated with keyctl. It asks for the old key first.", id="a", metadata={"source": "a.md"}
    ),
    Document("Backups are written every night.", id="b", metadata={"title": "Backups"}),
    Document("Backups are written every night!", id="c"),
    Document("Logs are kept for thirty days.", id="d"),
]


def words(text):
    """A tokenizer that anybody can check."""
    return len(text.split())


def packer(budget=100, **settings):
    return HydrantContextPacker(packer=ContextPacker(budget, model=words, shortest=2, **settings))


class TestContextPacker:
    async def test_documents_are_numbered_headed_and_each_once(self):
        packed = packer().transform_documents(DOCUMENTS)
        assert [document.page_content for document in packed] == [
            "[1] a.md\nKeys are rotated with keyctl. It asks for the old key first.",
            "[2] Backups\nBackups are written every night.",
            "[3] Logs are kept for thirty days.",
        ]
        assert [document.id for document in packed] == ["a", "b", "d"]
        assert [document.metadata["_hydrant"]["citation"] for document in packed] == [1, 2, 3]
        assert packed[0].metadata["_hydrant"]["documents"] == ["a"]
        assert packed[0].metadata["source"] == "a.md"
        assert await packer().atransform_documents(DOCUMENTS) == packed

    @pytest.mark.parametrize("budget", [3, 8, 12, 20, 40])
    def test_no_more_tokens_than_the_budget_however_it_is_asked(self, budget):
        documents = packer(budget).compress_documents(DOCUMENTS, "keys")
        assert words("\n\n".join(document.page_content for document in documents)) <= budget
        text = packer(budget).invoke({"documents": DOCUMENTS, "query": "keys"})
        assert text == "\n\n".join(document.page_content for document in documents)
        context = packer(budget).pack(DOCUMENTS, "keys")
        assert context.text == text
        assert context.tokens == words(text)

    async def test_it_follows_a_retriever_with_a_pipe(self, docs):
        retriever = HydrantRetriever(pipeline=docs.retriever(), k=2)
        chain = {"documents": retriever, "query": RunnablePassthrough()} | packer()
        text = chain.invoke("keys rotated")
        assert text.startswith("[1] manual/0.md\nKeys are rotated with keyctl rotate.")
        assert await chain.ainvoke("keys rotated") == text

    async def test_it_works_as_a_compressor(self, docs):
        pipeline = DocumentCompressorPipeline(transformers=[packer(12)])
        retriever = ContextualCompressionRetriever(
            base_compressor=pipeline, base_retriever=HydrantRetriever(pipeline=docs.retriever())
        )
        found = retriever.invoke("keys rotated")
        assert 0 < sum(words(document.page_content) for document in found) <= 12
        assert await retriever.ainvoke("keys rotated") == found

    def test_documents_that_go_in_are_never_changed(self):
        before = copy.deepcopy(DOCUMENTS)
        packer(10).transform_documents(DOCUMENTS)
        assert before == DOCUMENTS

    def test_a_query_is_asked_for_only_where_it_is_needed(self):
        template = ContextTemplate(whole="{query}\n{passages}")
        showing = packer(template=template)
        with pytest.raises(InputError, match="query must be given"):
            showing.transform_documents(DOCUMENTS)
        assert showing.transform_documents(DOCUMENTS, query="keys")
        extracting = packer(10, extract="sentences", encoder=HashEncoder())
        with pytest.raises(InputError, match="query must be given"):
            extracting.transform_documents(DOCUMENTS)
        (document,) = extracting.transform_documents(DOCUMENTS, query="keyctl keys rotated")
        assert "Keys are rotated with keyctl." in document.page_content
        with pytest.raises(UnknownArgument, match="'query'"):
            showing.transform_documents(DOCUMENTS, question="keys")
        with pytest.raises(EmptyQuery):
            showing.compress_documents(DOCUMENTS, " ")

    def test_no_documents_make_an_empty_context(self):
        assert packer().transform_documents([]) == []
        assert packer().invoke({"documents": [], "query": "keys"}) == ""


EXAMPLES = [
    {"question": "How are keys rotated?", "answer": "With keyctl."},
    {"question": "When are backups written?", "answer": "Every night."},
    {"question": "When are backups written?", "answer": "At two o'clock."},
    {"question": "How long are logs kept?", "answer": "Thirty days."},
]


@pytest.fixture
def examples(fresh):
    return Collection.create(
        fresh, "examples", dense=HashEncoder(), sparse=Bm25Encoder(), fields={"answer": "keyword"}
    )


class TestExampleSelector:
    async def test_the_nearest_examples_come_back_as_they_were_added(self, examples):
        selector = HydrantExampleSelector.from_examples(EXAMPLES, examples, k=2, input_keys=["question"])
        found = selector.select_examples({"question": "When are the backups written?"})
        assert sorted(found, key=str) == sorted(EXAMPLES[1:3], key=str)
        assert await selector.aselect_examples({"question": "When are the backups written?"}) == found

    async def test_examples_can_be_added_and_the_same_adds_nothing(self, examples):
        selector = HydrantExampleSelector(collection=examples, k=1)
        first = selector.add_example(EXAMPLES[0])
        assert await selector.aadd_example(EXAMPLES[0]) == first
        assert await selector.aadd_example(EXAMPLES[3]) != first
        assert examples.count() == 2

    def test_it_fills_few_shot_prompts(self, examples):
        selector = HydrantExampleSelector.from_examples(EXAMPLES, examples, k=1, input_keys=["question"])
        prompt = FewShotPromptTemplate(
            example_selector=selector,
            example_prompt=PromptTemplate.from_template("Q: {question}\nA: {answer}"),
            suffix="Q: {question}\nA:",
            input_variables=["question"],
        )
        filled = prompt.format(question="How are the keys rotated?")
        assert filled == "Q: How are keys rotated?\nA: With keyctl.\n\nQ: How are the keys rotated?\nA:"

    def test_keys_filters_and_pipelines_are_chosen(self, examples):
        HydrantExampleSelector.from_examples(EXAMPLES, examples)
        selector = HydrantExampleSelector(
            collection=examples,
            pipeline=examples.retriever(sources=("sparse",)),
            example_keys=["question"],
            filter={"answer": "Every night."},
        )
        assert selector.select_examples({"any": "backups"}) == [{"question": "When are backups written?"}]

    def test_a_missing_input_key_is_named(self, examples):
        selector = HydrantExampleSelector(collection=examples, input_keys=["question"])
        with pytest.raises(InputError, match=r"\['question'\] are missing, got \['answer'\]"):
            selector.add_example({"answer": "yes"})
        with pytest.raises(InputError, match="question"):
            selector.select_examples({"query": "x"})

    def test_an_example_without_text_is_refused(self, examples):
        with pytest.raises(InputError, match="blank"):
            HydrantExampleSelector(collection=examples).add_example({"question": " "})

    @pytest.mark.parametrize(
        "wrong", [{"k": 0}, {"keys": ["a"]}, {"collection": "examples"}, {"filter": "x"}]
    )
    def test_a_wrong_setting_is_refused(self, examples, wrong):
        with pytest.raises(ValidationError):
            HydrantExampleSelector(**{"collection": examples, **wrong})


class TestTool:
    @pytest.fixture
    def tool(self, docs):
        retriever = HydrantRetriever(pipeline=docs.retriever(sources=("sparse",)), k=2)
        return create_hydrant_tool(retriever, "search_manual", "Searches the manual.")

    async def test_the_model_reads_numbers_and_sources_and_the_artifact_is_the_documents(self, tool):
        call = {
            "name": "search_manual",
            "args": {"query": "revoked key leaks"},
            "id": "1",
            "type": "tool_call",
        }
        message = tool.invoke(call)
        assert isinstance(message, ToolMessage)
        assert message.content.startswith("[1] Manual | manual/1.md\nA key is revoked when it leaks.\n\n[2] ")
        assert message.artifact[0].id == "doc-1"
        assert message.artifact[0].metadata["score"] > 0
        assert (await tool.ainvoke(call)).content == message.content

    def test_finding_nothing_is_said(self, tool):
        assert tool.invoke({"query": "zebra"}) == "No documents were found."

    async def test_a_prompt_of_ones_own_shows_the_documents(self, docs):
        retriever = HydrantRetriever(pipeline=docs.retriever(), k=1)
        prompt = PromptTemplate.from_template("{page_content} ({number})")
        tool = create_hydrant_tool(retriever, "search", "Searches.", document_prompt=prompt)
        assert tool.invoke({"query": "backups night"}) == "[1] Backups are written every night. (2)"
        assert await tool.ainvoke({"query": "backups night"}) == "[1] Backups are written every night. (2)"

    def test_langchains_own_function_takes_the_retriever_too(self, docs):
        retriever = HydrantRetriever(pipeline=docs.retriever(), k=1)
        tool = create_retriever_tool(retriever, "search", "Searches.", response_format="content_and_artifact")
        call = {"name": "search", "args": {"query": "backups night"}, "id": "1", "type": "tool_call"}
        message = tool.invoke(call)
        assert message.content == "Backups are written every night."
        assert message.artifact[0].id == "doc-2"

    def test_the_search_is_a_child_of_the_tools_run(self, tool, ears):
        tool.invoke({"query": "keys"}, {"callbacks": [ears]})
        assert ears.tree() == [("search_manual", [("HydrantRetriever", ["retrieve"])])]

    def test_a_model_is_shown_name_description_and_arguments(self, tool):
        from langchain_core.utils.function_calling import convert_to_openai_tool

        said = convert_to_openai_tool(tool)["function"]
        assert said["name"] == "search_manual"
        assert said["parameters"]["required"] == ["query"]


def chains(docs):
    retriever = HydrantRetriever(pipeline=docs.retriever(), k=2)
    reranker = HydrantReranker(reranker=ListwiseReranker(ScriptedGenerator("[2] > [1]")))
    hyde = HydeExpander.from_llm(ScriptedGenerator("Keys are rotated."), hypotheses=1)
    return {
        "retriever": retriever,
        "hyde": hyde | retriever,
        "reranker": {"documents": retriever, "query": RunnablePassthrough()} | reranker,
        "packer": {"documents": retriever, "query": RunnablePassthrough()} | packer(),
    }


@pytest.mark.parametrize("name", ["retriever", "hyde", "reranker", "packer"])
def test_chains_can_be_described_drawn_and_batched(docs, name):
    chain = chains(docs)[name]
    assert chain.get_input_jsonschema()["type"] == "string"
    assert chain.get_output_jsonschema()["type"] == ("string" if name == "packer" else "array")
    assert chain.get_graph().nodes
    assert chain.batch(["keys", "backups"]) == [chain.invoke("keys"), chain.invoke("backups")]
    assert list(chain.stream("keys")) == [chain.invoke("keys")]


def test_what_rerankers_take_has_a_schema():
    schema = HydrantReranker(reranker=ListwiseReranker(ScriptedGenerator("[1]"))).get_input_jsonschema()
    assert set(schema["$defs"]["DocumentsAndQuery"]["required"]) == {"documents", "query"}


async def test_parts_that_are_called_inside_a_chain_are_in_its_trace(examples, ears):
    selector = HydrantExampleSelector.from_examples(EXAMPLES, examples, k=1)
    reranker = HydrantReranker(reranker=ListwiseReranker(ScriptedGenerator("[2] > [1]")))

    def step(question):
        found = selector.select_examples({"question": question})
        documents = [Document(str(each)) for each in (*found, "another")]
        return packer().pack(reranker.compress_documents(documents, question), question).text

    async def astep(question):
        found = await selector.aselect_examples({"question": question})
        documents = [Document(str(each)) for each in (*found, "another")]
        ranked = await reranker.acompress_documents(documents, question)
        return (await packer().apack(ranked, question)).text

    chain = RunnableLambda(step, astep, name="step")
    assert await chain.ainvoke("keys", {"callbacks": [ears]}) == chain.invoke("keys", {"callbacks": [ears]})
    runs = ["retrieve", "documents", "listwise", "documents", "context"]
    assert ears.tree() == [("step", runs)] * 2


@pytest.mark.parametrize("part", ["reranker", "packer", "expander"])
async def test_a_keyword_that_a_part_does_not_know_is_an_error(part):
    documents = {"documents": [Document("text")], "query": "q"}
    made, given = {
        "reranker": (HydrantReranker(reranker=ListwiseReranker(ScriptedGenerator("[1]"))), documents),
        "packer": (HydrantContextPacker(packer=ContextPacker(50)), documents),
        "expander": (HydeExpander.from_llm(ScriptedGenerator("one"), hypotheses=1), "q"),
    }[part]
    with pytest.raises(UnknownArgument, match=r"Hyd\w+ takes \[\], got the unknown \['k'\]"):
        made.invoke(given, k=3)
    with pytest.raises(UnknownArgument, match="'k'"):
        await made.ainvoke(given, k=3)
