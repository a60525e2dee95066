"""The packer as a postprocessor: nodes shortened to a budget of tokens."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode

from hydrant import ContextPacker
from hydrant.errors import ConfigurationError, InputError, UnknownArgument
from llama_index.postprocessor.hydrant import HydrantContextPacker
from llama_index.retrievers.hydrant import HydrantRetriever


def words(text):
    return len(text.split())


def packer(budget, **settings):
    return HydrantContextPacker(ContextPacker(budget, model=words, shortest=1, **settings))


def scored(*texts, **more):
    return [
        NodeWithScore(node=TextNode(id_=f"n{at}", text=text, **more), score=1.0 - at / 10)
        for at, text in enumerate(texts)
    ]


def pack(postprocessor, nodes, how="sync"):
    if how == "sync":
        return postprocessor.postprocess_nodes(nodes, query_str="sea")
    return asyncio.run(postprocessor.apostprocess_nodes(nodes, query_str="sea"))


@pytest.mark.parametrize("how", ["sync", "async"])
def test_what_fits_goes_on_as_it_was_and_the_rest_stays_out(how):
    nodes = scored("one two three", "four five six seven eight nine ten", "eleven")
    before = [node.model_dump_json() for node in nodes]
    shown = pack(packer(10), nodes, how)
    assert shown[0].text == "one two three"
    assert shown[0].score == 1.0
    assert sum(words(node.text) for node in shown) <= 10
    assert [node.model_dump_json() for node in nodes] == before


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "c", "d.", "e", "f!", "g"]), min_size=1, max_size=30).map(
            " ".join
        ),
        max_size=6,
    ),
    st.integers(1, 40),
)
def test_the_budget_is_never_exceeded_and_no_text_is_made_up(texts, budget):
    nodes = scored(*texts)
    shown = pack(packer(budget), nodes)
    assert sum(words(node.text) for node in shown) <= budget
    assert [node.node_id for node in shown] == sorted({node.node_id for node in shown})
    originals = {node.node_id: node.text for node in nodes}
    for node in shown:
        assert originals[node.node_id].startswith(node.text.removesuffix("…").rstrip())


def test_a_passage_that_another_repeats_stays_out():
    text = "rivers flow into the wide and open sea at last"
    assert [node.node_id for node in pack(packer(100), scored(text, text, "keys open locks"))] == ["n0", "n2"]


def test_neighbours_of_one_document_become_one_node_with_what_they_share_once():
    whole = "Rivers begin in the hills. They flow through the plain. They end in the sea."
    cut = whole.index("They end")
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc")}
    first = TextNode(
        id_="a", text=whole[: cut + 8], start_char_idx=0, end_char_idx=cut + 8, relationships=source
    )
    second = TextNode(
        id_="b", text=whole[cut:], start_char_idx=cut, end_char_idx=len(whole), relationships=source
    )
    nodes = [NodeWithScore(node=second, score=0.9), NodeWithScore(node=first, score=0.8)]
    (node,) = pack(packer(100), nodes)
    assert node.text == whole
    assert node.metadata["_hydrant"]["nodes"] == ["a", "b"]
    assert node.node.ref_doc_id == "doc"


def test_only_the_sentences_that_answer_are_shown(docs):
    text = "Foxes are brown. " * 8 + "The sea is deep. " + "Keys open locks. " * 8
    shown = pack(packer(12, extract="sentences", encoder=docs), scored(text))
    assert "The sea is deep." in shown[0].text
    assert words(shown[0].text) <= 12


def test_a_packer_that_fails_lets_the_nodes_go_on_and_says_so():
    def broken(text):
        raise RuntimeError("no table")

    nodes = scored("one two", "three")
    shown = pack(HydrantContextPacker(ContextPacker(5, model=broken)), nodes)
    assert [node.text for node in shown] == ["one two", "three"]
    assert "no table" in shown[0].metadata["_hydrant"]["degraded"][0]


def test_it_serves_a_query_engine_behind_the_retriever(docs, heard):
    engine = RetrieverQueryEngine.from_args(
        HydrantRetriever(docs.retriever()), node_postprocessors=[packer(12)]
    )
    response = engine.query("the sea")
    assert 1 <= len(response.source_nodes) < 6
    assert set(response.source_nodes[0].metadata["_hydrant"]["stages"]) >= {"fusion"}
    assert len(heard.of("HydrantSearchEvent")) == 2


def test_a_packer_inside_the_retrievers_pipeline_leaves_its_nodes_whole(docs):
    search = docs.retriever(limit=3)
    packed = HydrantRetriever(search >> ContextPacker(5, model=words)).retrieve("the sea")
    assert [node.text for node in packed] == [
        node.text for node in HydrantRetriever(search).retrieve("the sea")
    ]


def test_it_is_configured_as_the_reranker_is():
    with pytest.raises(InputError, match="query"):
        packer(5).postprocess_nodes(scored("a"))
    with pytest.raises(ConfigurationError, match="ContextPacker"):
        HydrantContextPacker(5)
    with pytest.raises(UnknownArgument, match="max_tokens"):
        HydrantContextPacker(ContextPacker(5), max_tokens=3)
    assert pack(packer(5), []) == []
    assert packer(5).to_dict() == {"deadline": None, "class_name": "HydrantContextPacker"}
