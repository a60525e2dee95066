"""What other libraries got wrong, and a retriever, reranker or HyDE of ours could get wrong too: a test for each."""

from __future__ import annotations

import asyncio
import json
import logging

import numpy as np
import pytest
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from qdrant_client import models

from hydrant import Collection, ListwiseReranker, Mmr, Ranking, Reranker
from hydrant.errors import PayloadUnmapped
from hydrant.testing import HashEncoder, ScriptedGenerator
from llama_index.postprocessor.hydrant import HydrantRerank
from llama_index.retrievers.hydrant import (
    HydrantHyDE,
    HydrantHyDERetriever,
    HydrantIndexer,
    HydrantRetriever,
)

QUESTION = "brown water"


class Numpy(Reranker):
    """Scores as models give them: float32 of numpy."""

    name = "numpy"

    def rank(self, query, hits):
        yield from ()
        return Ranking(np.linspace(0.1, 0.9, len(hits), dtype=np.float32))


def scored(*texts, **metadata):
    return [
        NodeWithScore(node=TextNode(id_=f"n{at}", text=text, metadata=dict(metadata)), score=0.5)
        for at, text in enumerate(texts)
    ]


def ids(found):
    return [node.node_id for node in found]


# ---- retrieval ---------------------------------------------------------------------------------------------------


def test_no_diversity_is_the_plain_ranking_and_not_the_diverse_one(docs):
    plain = HydrantRetriever(docs.retriever(sources=("dense",))).retrieve(QUESTION)
    same = HydrantRetriever(docs.retriever(sources=("dense",), mmr=Mmr(diversity=0.0))).retrieve(QUESTION)
    diverse = HydrantRetriever(docs.retriever(sources=("dense",), mmr=Mmr(diversity=1.0))).retrieve(QUESTION)
    assert ids(same) == ids(plain)
    assert ids(diverse) != ids(plain)


def test_a_query_looks_up_no_collection_and_embeds_no_dummy(client, monkeypatch):
    encoder = HashEncoder(16)
    docs = Collection.create(client, "once", dense=encoder)
    docs.indexer(progress=False).add(["keys", "sea"])
    retriever = HydrantRetriever(docs.retriever())
    encoder.calls.clear()
    monkeypatch.setattr(client, "get_collection", lambda *_, **__: pytest.fail("looked up again"))
    retriever.retrieve("keys")
    asyncio.run(retriever.aretrieve("locks"))
    assert encoder.calls == [("query", ("keys",)), ("query", ("locks",))]


def test_scores_are_not_mapped_to_a_made_up_relevance(docs):
    search = docs.retriever(sources=("dense",))
    assert [n.score for n in HydrantRetriever(search).retrieve(QUESTION)] == [
        h.score for h in search.run(QUESTION).hits
    ]
    assert min(node.score for node in HydrantRetriever(search).retrieve(QUESTION)) <= 0.0


def test_a_point_without_text_is_never_an_empty_node(client):
    docs = Collection.create(client, "gaps", dense=HashEncoder(16))
    docs.indexer(progress=False).add(["keys"])
    vector = {"dense": HashEncoder(16).vector("keys")}
    client.upsert("gaps", [models.PointStruct(id=1, vector=vector, payload={"body": "keys"})])
    found = HydrantRetriever(docs.retriever()).retrieve("keys")
    assert [node.text for node in found] == ["keys"]
    assert "'body'" in found[0].metadata["_hydrant"]["degraded"][0]


def test_a_serialised_node_that_cannot_be_read_is_an_error_and_no_guess(client):
    indexer = HydrantIndexer.create(client, "broken", dense=HashEncoder(16))
    vector = {"dense": HashEncoder(16).vector("keys")}
    payload = {"_node_content": "{broken", "_node_type": "TextNode", "other": 1}
    client.upsert("broken", [models.PointStruct(id=1, vector=vector, payload=payload)])
    with pytest.raises(PayloadUnmapped, match=r"_node_content.*other"):
        HydrantRetriever(indexer.collection.retriever()).retrieve("keys")


def test_the_text_is_not_repeated_among_the_metadata(client, docs):
    client.create_collection("flat", models.VectorParams(size=16, distance=models.Distance.COSINE))
    point = models.PointStruct(
        id=1, vector=HashEncoder(16).vector("keys"), payload={"text": "keys", "lang": "en"}
    )
    client.upsert("flat", [point])
    for retriever in (
        HydrantRetriever.from_client(client, "flat", dense=HashEncoder(16)),
        HydrantRetriever(docs.retriever()),
    ):
        for node in retriever.retrieve("keys"):
            noted = {key: value for key, value in node.metadata.items() if key != "_hydrant"}
            assert node.text not in noted.values()


def test_a_points_payload_stays_as_it_was(client, docs, shared_client):
    before, _ = shared_client.scroll("nodes", limit=10)
    HydrantRetriever(docs.retriever()).retrieve(QUESTION)
    after, _ = shared_client.scroll("nodes", limit=10)
    assert [point.payload for point in after] == [point.payload for point in before]


def test_every_search_gives_nodes_of_its_own(docs):
    retriever = HydrantRetriever(docs.retriever())
    (first, *_) = retriever.retrieve(QUESTION)
    first.score = -1.0
    first.node.metadata.clear()
    first.node.relationships.clear()
    (again, *_) = retriever.retrieve(QUESTION)
    assert again.score >= 0.0
    assert again.metadata["topic"]
    assert again.node.relationships


@pytest.mark.parametrize("how", ["sync", "async"])
def test_the_callers_bundle_gets_no_embedding_written_into_it(docs, how):
    bundle = QueryBundle(QUESTION)
    retriever = HydrantRetriever(docs.retriever())
    _ = retriever.retrieve(bundle) if how == "sync" else asyncio.run(retriever.aretrieve(bundle))
    assert bundle == QueryBundle(QUESTION)


def test_async_requests_are_awaited_in_the_callers_loop_and_not_sent_from_a_thread(client):
    docs = Collection.create(client, "loop", dense=HashEncoder(16), async_client=client.async_client())
    docs.indexer(progress=False).add(["keys"])
    loops = []

    def listening(original):
        async def asked(*arguments, **more):
            loops.append(asyncio.get_running_loop())
            return await original(*arguments, **more)

        return asked

    asynchronous = docs.clients.asynchronous
    for method in ("query_points", "query_batch_points"):
        setattr(asynchronous, method, listening(getattr(asynchronous, method)))

    async def search():
        await HydrantRetriever(docs.retriever()).aretrieve("keys")
        return asyncio.get_running_loop()

    loop = asyncio.run(search())
    assert loops
    assert all(each is loop for each in loops)


def test_duplicates_by_text_are_two_nodes(client):
    indexer = HydrantIndexer.create(client, "twins", dense=HashEncoder(16))
    indexer.add([TextNode(text="keys", id_="a"), TextNode(text="keys", id_="b")])
    assert {*ids(HydrantRetriever(indexer.collection.retriever()).retrieve("keys"))} == {"a", "b"}


@pytest.mark.parametrize("how", ["sync", "async"])
def test_zero_is_a_value_and_no_default(docs, how):
    # A weight of 0 leaves the query out of the mean, in async as in sync.
    transform = HydrantHyDE(ScriptedGenerator("the sea is deep"), hypotheses=1, query_weight=0)
    retriever = HydrantHyDERetriever(HydrantRetriever(docs.retriever(sources=("dense",))), transform)
    found = retriever.retrieve("keys") if how == "sync" else asyncio.run(retriever.aretrieve("keys"))
    alone = HydrantRetriever(docs.retriever(sources=("dense",))).retrieve("the sea is deep")
    assert [node.score for node in found] == pytest.approx([node.score for node in alone], abs=1e-5)


# ---- HyDE --------------------------------------------------------------------------------------------------------


def test_async_hyde_makes_no_sync_call_to_the_model(docs):
    class AsyncOnly(ScriptedGenerator):
        def complete(self, request):
            pytest.fail("called synchronously")

        async def acomplete(self, request):
            return ScriptedGenerator.complete(self, request)

    transform = HydrantHyDE(AsyncOnly("the sea"), hypotheses=1, on_error="raise")
    retriever = HydrantHyDERetriever(HydrantRetriever(docs.retriever()), transform)
    assert asyncio.run(retriever.aretrieve("keys"))


def test_a_question_is_transformed_into_the_same_hypotheses_twice():
    transform = HydrantHyDE(ScriptedGenerator(["one", "two", "three", "four"]), hypotheses=2)
    assert transform.run("keys").custom_embedding_strs == transform.run("keys").custom_embedding_strs


def test_braces_in_a_question_or_template_break_nothing():
    llm = ScriptedGenerator("the sea")
    template = PromptTemplate('Answer as JSON {"text": ...}: {context_str}')
    HydrantHyDE(llm, hypotheses=1, hyde_prompt=template).run("what is {query} in {context_str}?")
    assert 'Answer as JSON {"text": ...}: what is {query} in {context_str}?' in llm.requests[0].text


# ---- reranking ---------------------------------------------------------------------------------------------------


def test_scores_are_floats_of_python_and_serialise(docs):
    ranked = HydrantRerank(Numpy()).postprocess_nodes(scored("a", "b"), query_str="q")
    assert all(type(node.score) is float for node in ranked)
    noted = ranked[0].metadata["_hydrant"]
    assert type(noted["score"]) is float
    assert json.loads(ranked[0].to_json())


def test_scores_follow_the_new_order_so_that_sorting_later_changes_nothing():
    ranked = HydrantRerank(ListwiseReranker(ScriptedGenerator("[2] > [1] > [3]"))).postprocess_nodes(
        scored("a", "b", "c"), query_str="q"
    )
    assert ids(ranked) == ["n1", "n0", "n2"]
    assert ids(sorted(ranked, key=lambda node: node.score, reverse=True)) == ids(ranked)


@pytest.mark.parametrize(
    "answer",
    [
        "Doc: 0, Relevance: 9\nDoc: -1, Relevance: 8",
        "[0] > [-1] > [99]",
        "[²] > [2]",
        "[2]",
        "[2] > [2] > [2]",
        "Document 2 is the best, because 3 of its words match, as of 2024.",
        "I am sorry, I cannot help with that.",
        "<think>[3] > [1]</think>",
        "",
    ],
)
def test_whatever_a_language_model_answers_no_node_is_lost_doubled_or_made_up(answer):
    nodes = scored("a", "b", "c")
    ranked = HydrantRerank(ListwiseReranker(ScriptedGenerator(answer))).postprocess_nodes(
        nodes, query_str="q"
    )
    assert sorted(ids(ranked)) == ["n0", "n1", "n2"]
    assert len({node.score for node in ranked}) in {1, 3}


def test_every_node_of_a_long_list_is_shown_to_the_model():
    llm = ScriptedGenerator("[1]")
    nodes = scored(*(f"passage-{number}-end" for number in range(25)))
    ranked = HydrantRerank(ListwiseReranker(llm)).postprocess_nodes(nodes, query_str="q")
    assert len(ranked) == 25
    prompts = " ".join(request.text for request in llm.requests)
    assert all(f"passage-{number}-end" in prompts for number in range(25))


def test_metadata_of_the_same_names_neither_win_nor_get_lost():
    nodes = scored("a", "b", score=7, relevance_score=8, retrieval_score=9)
    ranked = HydrantRerank(Numpy()).postprocess_nodes(nodes, query_str="q")
    assert [node.score for node in ranked] == pytest.approx([0.9, 0.1])
    assert all(node.metadata["score"] == 7 for node in ranked)
    assert all(node.metadata["retrieval_score"] == 9 for node in ranked)


@pytest.mark.parametrize(
    "foreign", ["text", 7, ["list"], {"stages": [1]}, {"stages": {"dense": 1}}, {"stages": None}]
)
def test_somebody_elses_use_of_our_key_breaks_nothing(foreign):
    nodes = scored("a", "b", _hydrant=foreign)
    ranked = HydrantRerank(Numpy()).postprocess_nodes(nodes, query_str="q")
    assert set(ranked[0].metadata["_hydrant"]["stages"]) == {"retrieval", "numpy"}
    assert nodes[0].metadata["_hydrant"] == foreign


def test_nothing_is_printed_and_no_logging_is_configured(docs, capsys):
    before = list(logging.getLogger().handlers), logging.getLogger().level
    retriever = HydrantRetriever(docs.retriever(), verbose=True)
    HydrantRerank(Numpy()).postprocess_nodes(retriever.retrieve(QUESTION), query_str=QUESTION)
    HydrantHyDE(ScriptedGenerator("x"), hypotheses=1).run(QUESTION)
    assert capsys.readouterr() == ("", "")
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before
