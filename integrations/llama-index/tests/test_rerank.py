"""The reranker as a postprocessor."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.schema import IndexNode, MetadataMode, Node, NodeWithScore, QueryBundle, TextNode

from hydrant import ListwiseReranker, Ranking, Reranker
from hydrant.errors import ConfigurationError, EmptyQuery, InputError, UnknownArgument
from hydrant.flow import Effect
from hydrant.testing import ScriptedGenerator
from llama_index.postprocessor.hydrant import HydrantRerank
from llama_index.retrievers.hydrant import HydrantRetriever


class Overlap(Reranker):
    """Ranks by how many words of the query a passage has; keeps what it was shown."""

    name = "overlap"

    def __init__(self, **settings):
        super().__init__(**settings)
        self.shown = []

    def rank(self, query, hits):
        yield from ()
        self.shown = [hit.passage.content for hit in hits]
        words = set(query.text.split())
        return Ranking([len(words & set(hit.passage.content.split())) for hit in hits])


class Broken(Reranker):
    name = "broken"

    def rank(self, query, hits):
        yield from ()
        raise RuntimeError("no model")


def scored(*texts):
    return [
        NodeWithScore(node=TextNode(id_=f"n{at}", text=text, metadata={"at": at}), score=1.0 - at / 10)
        for at, text in enumerate(texts)
    ]


NODES = ("the sea", "a brown fox", "the brown brown sea")
QUERY = QueryBundle("brown sea")


def dumped(nodes):
    return [node.model_dump_json() for node in nodes]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_nodes_come_in_the_new_order_with_new_scores_and_keep_the_old_ones(how):
    rerank, nodes = HydrantRerank(Overlap()), scored(*NODES)
    if how == "sync":
        ranked = rerank.postprocess_nodes(nodes, QUERY)
    else:
        ranked = asyncio.run(rerank.apostprocess_nodes(nodes, QUERY))
    assert [(node.node_id, node.score) for node in ranked] == [("n2", 2.0), ("n0", 1.0), ("n1", 1.0)]
    note = ranked[0].metadata["_hydrant"]
    assert note["stages"] == {"retrieval": {"score": 0.8, "rank": 3}, "overlap": {"score": 2.0, "rank": 1}}
    assert type(ranked[0].score) is float


def test_the_nodes_that_come_in_stay_as_they_were():
    nodes = scored(*NODES)
    before, objects = dumped(nodes), [node.node for node in nodes]
    ranked = HydrantRerank(Overlap()).postprocess_nodes(nodes, QUERY)
    assert dumped(nodes) == before
    assert all(node.node is object_ for node, object_ in zip(nodes, objects, strict=True))
    ranked[0].node.metadata["new"] = 1
    ranked[0].node.excluded_llm_metadata_keys.append("new")
    assert dumped(nodes) == before


def test_reranking_twice_keeps_every_stage(docs):
    found = HydrantRetriever(docs.retriever(explain=True)).retrieve("brown sea")
    rerank = HydrantRerank(Overlap())
    twice = rerank.postprocess_nodes(rerank.postprocess_nodes(found, QUERY), QUERY)
    assert set(twice[0].metadata["_hydrant"]["stages"]) >= {"fusion", "overlap", "overlap 2"}
    assert [node.metadata["_hydrant"]["point_id"] for node in twice] == [node.node_id for node in twice]
    assert (
        twice[0].node.relationships
        == {node.node_id: node for node in found}[twice[0].node_id].node.relationships
    )


@pytest.mark.parametrize(
    ("top_n", "own", "count"), [(None, None, 3), (2, None, 2), (None, 1, 1), (2, 1, 2), (9, None, 3)]
)
def test_top_n_is_the_postprocessors_or_the_rerankers(top_n, own, count):
    ranked = HydrantRerank(Overlap(top_n=own), top_n=top_n).postprocess_nodes(scored(*NODES), QUERY)
    assert len(ranked) == count


@pytest.mark.parametrize("nodes", [[], scored(*NODES)])
def test_without_a_query_it_fails(nodes):
    with pytest.raises(InputError, match="query_bundle"):
        HydrantRerank(Overlap()).postprocess_nodes(nodes)
    with pytest.raises(ValueError, match="query_bundle"):
        asyncio.run(HydrantRerank(Overlap()).apostprocess_nodes(nodes))
    assert len(HydrantRerank(Overlap()).postprocess_nodes(nodes, query_str="brown sea")) == len(nodes)


def test_a_blank_query_is_refused():
    with pytest.raises(EmptyQuery):
        HydrantRerank(Overlap()).postprocess_nodes(scored(*NODES), query_str=" ")


def test_no_nodes_cost_no_ranking(heard):
    reranker = Broken(on_error="raise")
    assert HydrantRerank(reranker).postprocess_nodes([], QUERY) == []
    assert len(heard.of("ReRankEndEvent")) == 1


def test_a_failure_leaves_the_order_cuts_to_top_n_and_says_so(caplog):
    ranked = HydrantRerank(Broken(), top_n=2).postprocess_nodes(scored(*NODES), QUERY)
    assert [(node.node_id, node.score) for node in ranked] == [("n0", 1.0), ("n1", 0.9)]
    assert ranked[0].metadata["_hydrant"]["degraded"] == ["broken: RuntimeError: no model"]
    assert "broken: RuntimeError: no model" in caplog.text


def test_a_failure_is_raised_where_the_reranker_says_so(heard):
    with pytest.raises(RuntimeError, match="no model"):
        HydrantRerank(Broken(on_error="raise")).postprocess_nodes(scored(*NODES), QUERY)
    assert len(heard.of("ReRankStartEvent")) == 1
    assert not heard.of("ReRankEndEvent")


def test_a_deadline_is_kept():
    class Slow(Effect):
        name = "slow"

        def call(self, timeout):
            threading.Event().wait(5)

    class Sleeping(Reranker):
        def rank(self, query, hits):
            yield Slow()

    ranked = HydrantRerank(Sleeping(), deadline=0.1).postprocess_nodes(scored(*NODES), QUERY)
    assert [node.node_id for node in ranked] == ["n0", "n1", "n2"]
    assert "within" in ranked[0].metadata["_hydrant"]["degraded"][0]


def test_duplicates_by_text_stay_apart():
    nodes = scored("brown sea", "brown sea", "fox")
    ranked = HydrantRerank(Overlap()).postprocess_nodes(nodes, QUERY)
    assert [node.node_id for node in ranked] == ["n0", "n1", "n2"]


def test_the_same_node_twice_goes_out_twice():
    (node, *_) = scored("brown sea")
    assert len(HydrantRerank(Overlap()).postprocess_nodes([node, node], QUERY)) == 2


def test_nodes_without_score_or_text_and_of_every_kind_are_ranked():
    nodes = [
        NodeWithScore(node=Node(id_="image")),
        NodeWithScore(node=IndexNode(text="brown sea", index_id="i", id_="index")),
        NodeWithScore(node=TextNode(text="", id_="empty"), score=0.0),
    ]
    ranked = HydrantRerank(Overlap()).postprocess_nodes(nodes, QUERY)
    assert ranked[0].node_id == "index"
    assert isinstance(ranked[0].node, IndexNode)
    assert {node.node_id for node in ranked} == {"image", "index", "empty"}
    assert ranked[0].metadata["_hydrant"]["stages"] == {"overlap": {"score": 2.0, "rank": 1}}


def test_a_reranked_node_is_still_the_same_node():
    given = scored(*NODES)
    ranked = HydrantRerank(Overlap()).postprocess_nodes(given, QUERY)
    assert {each.node_id: each.node.hash for each in ranked} == {
        each.node_id: each.node.hash for each in given
    }


@pytest.mark.parametrize("wrong", [TextNode(text="sea"), "sea"])
def test_what_is_no_node_with_a_score_is_refused_in_words(wrong):
    rerank = HydrantRerank(Overlap())
    with pytest.raises(InputError, match=r"NodeWithScore.*sea"):
        rerank._postprocess_nodes([wrong], QUERY)


@pytest.mark.parametrize("note", [{"degraded": None}, {"degraded": 3, "stages": [1]}, "mine", None])
def test_what_others_keep_under_hydrants_key_does_no_harm(note):
    node = NodeWithScore(node=TextNode(text="sea", metadata={"_hydrant": note}), score=0.5)
    (ranked,) = HydrantRerank(Overlap()).postprocess_nodes([node], QUERY)
    assert ranked.metadata["_hydrant"]["stages"]["overlap"]["rank"] == 1


def test_what_the_reranker_sees_of_the_metadata_is_a_setting():
    nodes = scored("the sea")
    for mode, text in ((MetadataMode.NONE, "the sea"), (MetadataMode.EMBED, "at: 0\n\nthe sea")):
        reranker = Overlap()
        HydrantRerank(reranker, metadata_mode=mode).postprocess_nodes(nodes, QUERY)
        assert reranker.shown == [text]


def test_it_never_shows_models_what_hydrant_noted():
    rerank = HydrantRerank(Overlap())
    reranker = Overlap()
    once = rerank.postprocess_nodes(scored("the sea"), QUERY)
    assert "_hydrant" not in once[0].get_content(MetadataMode.LLM)
    HydrantRerank(reranker, metadata_mode=MetadataMode.EMBED).postprocess_nodes(once, QUERY)
    assert reranker.shown == ["at: 0\n\nthe sea"]


# ---- tracing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sync", "async"])
def test_start_and_end_are_told_in_the_new_way(heard, how):
    rerank, nodes = HydrantRerank(Overlap(), top_n=2), scored(*NODES)
    if how == "sync":
        ranked = rerank.postprocess_nodes(nodes, QUERY)
    else:
        ranked = asyncio.run(rerank.apostprocess_nodes(nodes, QUERY))
    (start,), (end,) = heard.of("ReRankStartEvent"), heard.of("ReRankEndEvent")
    assert (start.query, start.top_n, start.model_name) == (QUERY, 2, "Overlap")
    assert [node.node_id for node in start.nodes] == ["n0", "n1", "n2"]
    assert [node.node_id for node in end.nodes] == [node.node_id for node in ranked]
    (search,) = heard.of("HydrantSearchEvent")
    assert [step["name"] for step in search.steps] == ["nodes", "overlap"]


class Told(BaseCallbackHandler):
    def __init__(self):
        super().__init__([], [])
        self.told = []

    def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **kwargs):
        self.told.append(("start", event_type, payload))
        return event_id

    def on_event_end(self, event_type, payload=None, event_id="", **kwargs):
        self.told.append(("end", event_type, payload))

    def start_trace(self, trace_id=None):
        pass

    def end_trace(self, trace_id=None, trace_map=None):
        pass


def test_start_and_end_are_told_in_the_old_way():
    handler = Told()
    rerank = HydrantRerank(Overlap(), top_n=1, callback_manager=CallbackManager([handler]))
    ranked = rerank.postprocess_nodes(scored(*NODES), QUERY)
    (start, end) = handler.told
    assert start[:2] == ("start", CBEventType.RERANKING)
    assert start[2][EventPayload.QUERY_STR] == "brown sea"
    assert (start[2][EventPayload.TOP_K], start[2][EventPayload.MODEL_NAME]) == (1, "Overlap")
    assert len(start[2][EventPayload.NODES]) == 3
    assert end[:2] == ("end", CBEventType.RERANKING)
    assert end[2][EventPayload.NODES] == ranked


# ---- configuration -----------------------------------------------------------------------------------------------


def test_it_is_described_without_its_model_and_made_again_with_it():
    rerank = HydrantRerank(Overlap(), top_n=3, deadline=1.5, metadata_mode=MetadataMode.EMBED)
    data = rerank.to_dict()
    assert data == {
        "top_n": 3,
        "deadline": 1.5,
        "metadata_mode": MetadataMode.EMBED,
        "class_name": "HydrantRerank",
    }
    assert json.loads(rerank.to_json())["class_name"] == "HydrantRerank"
    before = dict(data)
    again = HydrantRerank.from_dict(data, reranker=rerank.reranker)
    assert data == before
    assert again.to_dict() == data
    assert again.reranker is rerank.reranker
    with pytest.raises(ConfigurationError, match="reranker"):
        HydrantRerank.from_dict(data)


def test_a_description_survives_json():
    rerank = HydrantRerank(Overlap(), top_n=3, metadata_mode=MetadataMode.LLM)
    again = HydrantRerank.from_dict(json.loads(rerank.to_json()), reranker=Overlap())
    assert (again.top_n, again.metadata_mode) == (3, MetadataMode.LLM)


@pytest.mark.parametrize("settings", [{"top_n": 0}, {"top_n": "many"}, {"deadline": -1}])
def test_settings_that_cannot_work_are_refused_at_once(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        HydrantRerank(Overlap(), **settings)


def test_an_unknown_setting_is_refused():
    with pytest.raises(UnknownArgument, match=r"top_n.*top_k"):
        HydrantRerank(Overlap(), top_k=3)


@pytest.mark.parametrize("wrong", [None, "model", Overlap])
def test_a_reranker_must_be_one(wrong):
    with pytest.raises(ConfigurationError, match="reranker"):
        HydrantRerank(wrong)


def test_a_retriever_in_the_place_of_a_reranker_is_refused(docs):
    rerank = HydrantRerank(docs.retriever())
    with pytest.raises(ConfigurationError, match="none of them"):
        rerank.postprocess_nodes(scored(*NODES), QUERY)


def test_rerankers_by_language_models_show_their_prompts():
    from llama_index.core.prompts import PromptTemplate

    llm = ScriptedGenerator("[2] > [1]")
    rerank = HydrantRerank(ListwiseReranker(llm, prompt="Order these for {query}:\n{passages}"))
    (key,) = rerank.get_prompts()
    rerank.update_prompts({key: PromptTemplate("Sort by {query_str}: {passages}")})
    ranked = rerank.postprocess_nodes(scored("a", "b"), QUERY)
    assert [node.text for node in ranked] == ["b", "a"]
    assert "Sort by brown sea:" in llm.requests[-1].text
