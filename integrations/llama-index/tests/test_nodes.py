"""Hits become the nodes that were indexed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.schema import ImageNode, IndexNode, Node, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from hydrant import Hit, Passage
from llama_index.retrievers.hydrant.nodes import KEY, node_of, plain

# Lone surrogates too: Python writes them as JSON, though not every parser reads them.
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False) | TEXT


def restored(origin: dict) -> object:
    return plain(node_of(Hit(Passage("text", "a", origin=origin), 1.0, {}, "a")).node)


@given(TEXT, st.dictionaries(TEXT.filter(lambda key: key != KEY), VALUES, max_size=4))
def test_a_text_node_comes_back_as_llama_index_itself_reads_it(text, metadata):
    node = TextNode(
        id_="a",
        text=text,
        metadata=metadata,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="file", metadata=metadata)},
        start_char_idx=3,
    )
    origin = node_to_metadata_dict(node)
    assert restored(origin) == metadata_dict_to_node(dict(origin)) == node


@pytest.mark.parametrize("kind", [Node, IndexNode, ImageNode])
def test_every_other_kind_of_node_comes_back_as_what_it_was(kind):
    node = kind(id_="a", metadata={"lang": "en"}, **({"index_id": "b"} if kind is IndexNode else {}))
    found = restored(node_to_metadata_dict(node))
    assert type(found) is kind
    assert found == node
