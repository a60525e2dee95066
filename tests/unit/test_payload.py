"""Where passages lie in payloads: ours, flat ones, and those of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydrant import Passage, PayloadMap
from hydrant.errors import ConfigurationError, PayloadUnmapped

LAYOUTS = {
    "hydrant": PayloadMap.hydrant(),
    "flat": PayloadMap.flat("body", title="heading", source="url"),
    "dotted": PayloadMap.flat("doc.body", title="doc.heading", source="doc.url"),
    "nested": PayloadMap(text="text", metadata="meta", title="meta_title", source="src", id="key"),
}
KEYS = st.text("abcxyz", min_size=1, max_size=4).filter(lambda key: key != "doc")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
PASSAGES = st.builds(
    Passage,
    text=st.text(min_size=1),
    id=st.none() | st.text() | st.integers(0, 2**64 - 1),
    title=st.none() | st.text(),
    source=st.none() | st.text(),
    metadata=st.dictionaries(KEYS, JSON, max_size=4),
)


@pytest.mark.parametrize("name", LAYOUTS)
@given(passage=PASSAGES)
def test_a_passage_comes_back_as_it_went_in(name, passage):
    layout = LAYOUTS[name]
    back = layout.passage(layout.payload(passage), "point")
    if layout.id is None:
        back, passage = (
            Passage(each.text, None, each.title, each.source, each.metadata) for each in (back, passage)
        )
    assert back == passage


@pytest.mark.parametrize("name", LAYOUTS)
@given(passage=PASSAGES)
def test_what_goes_in_is_not_changed(name, passage):
    before = repr(passage)
    payload = LAYOUTS[name].payload(passage)
    payload["added"] = 1
    LAYOUTS[name].passage(payload, "point")
    assert repr(passage) == before


@given(st.sampled_from(sorted(LAYOUTS)))
def test_a_layout_survives_its_record(name):
    assert PayloadMap.from_record(LAYOUTS[name].record()) == LAYOUTS[name]


@pytest.mark.parametrize(
    ("layout", "metadata"),
    [
        (PayloadMap.flat("body"), {"body": "x"}),
        (PayloadMap.flat("body", title="heading"), {"heading": "x"}),
        (PayloadMap.flat("body", source="url"), {"url": "x"}),
        (PayloadMap.flat("doc.body"), {"doc": {"body": "x"}}),
        (PayloadMap.flat("doc.body"), {"doc": "x"}),
        (PayloadMap.flat("body"), {"_hydrant": {"content": "x"}}),
    ],
)
def test_flat_metadata_that_would_hide_or_fake_a_part_of_the_passage_is_refused(layout, metadata):
    key = next(iter(metadata))
    with pytest.raises(ConfigurationError, match=key):
        layout.payload(Passage("text", metadata=metadata))


# ---- detection ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"text": "t", "metadata": {}, "_hydrant": {}}, PayloadMap.hydrant()),
        ({"page_content": "t", "metadata": {"a": 1}}, PayloadMap.langchain()),
        ({"page_content": "t", "metadata": None}, PayloadMap.langchain()),
        (
            {"_node_content": '{"text": "t"}', "_node_type": "TextNode", "lang": "en"},
            PayloadMap.llama_index(),
        ),
        (
            {"_node_content": '{"text": "t"}', "_node_type": "TextNode", "text": "from metadata"},
            PayloadMap.llama_index(),
        ),
        ({"content": "t", "meta": {"a": 1}, "id": "x"}, PayloadMap.haystack()),
        ({"document": "t", "metadata": {"a": 1}}, PayloadMap.mcp()),
        ({"document": "t", "metadata": None}, PayloadMap.mcp()),
    ],
)
def test_known_layouts_are_recognised(payload, expected):
    assert PayloadMap.detect([payload, payload], "collection 'c'") == expected


@pytest.mark.parametrize("key", ["text", "content", "page_content", "document"])
def test_metadata_beside_the_text_is_not_lost_in_detection(key):
    payload = {key: "the text", "lang": "en", "year": 2020}
    layout = PayloadMap.detect([payload], "collection 'c'")
    passage = layout.passage(payload, 1)
    assert passage.text == "the text"
    assert passage.metadata == {"lang": "en", "year": 2020}
    assert layout.key("lang") == "lang"


@pytest.mark.parametrize(
    "payloads",
    [
        [{"body": "t", "lang": "en"}],
        [{"text": 5}],
        [{}],
        [{"text": "t", "metadata": {}}, {"other": "t"}],
    ],
)
def test_an_unknown_layout_lists_the_keys_that_were_seen(payloads):
    with pytest.raises(PayloadUnmapped) as caught:
        PayloadMap.detect(payloads, "collection 'c'")
    assert "collection 'c'" in str(caught.value)
    for payload in payloads:
        for key in payload:
            assert repr(key) in str(caught.value)


def test_a_point_without_text_is_named_with_its_keys():
    with pytest.raises(PayloadUnmapped) as caught:
        PayloadMap.hydrant().passage({"body": "x"}, 7)
    assert "7" in str(caught.value)
    assert "body" in str(caught.value)
    with pytest.raises(PayloadUnmapped):
        PayloadMap.hydrant().passage(None, 7)


def test_an_empty_text_is_a_text():
    assert PayloadMap.hydrant().passage({"text": ""}, 1).text == ""


# ---- others ------------------------------------------------------------------------------------------------------


def test_langchain_payloads_keep_their_metadata():
    layout = PayloadMap.langchain()
    passage = layout.passage({"page_content": "t", "metadata": {"source": "a.txt", "page": 3}}, 1)
    assert passage.text == "t"
    assert passage.source == "a.txt"
    assert passage.metadata["page"] == 3
    assert layout.key("page") == "metadata.page"


@pytest.mark.parametrize(
    "node",
    [
        '{"text": "from the node"}',
        '{"text": "", "text_resource": {"text": "from the node"}}',
        '{"text_resource": {"text": "from the node"}}',
    ],
)
def test_a_llama_index_node_gives_its_text_and_its_metadata_without_the_bookkeeping(node):
    payload = {
        "_node_content": node,
        "_node_type": "TextNode",
        "doc_id": "d",
        "document_id": "d",
        "ref_doc_id": "d",
        "lang": "en",
        "file_path": "a.md",
    }
    layout = PayloadMap.llama_index()
    passage = layout.passage(payload, 1)
    assert passage.text == "from the node"
    assert passage.source == "a.md"
    assert passage.metadata["lang"] == "en"
    assert not set(passage.metadata) & {"_node_content", "_node_type", "doc_id"}


def test_a_metadata_field_called_text_does_not_stand_in_for_a_nodes_text():
    payload = {"_node_content": '{"text": "from the node"}', "text": "a metadata field"}
    assert PayloadMap.llama_index().passage(payload, 1).text == "from the node"


@pytest.mark.parametrize("broken", ["{", "[]", "5", "null", '{"text_resource": []}', '{"text": 5}'])
def test_a_broken_node_is_an_unmapped_payload(broken):
    with pytest.raises(PayloadUnmapped):
        PayloadMap.llama_index().passage({"_node_content": broken}, 1)


def test_writing_a_llama_index_node_is_refused():
    with pytest.raises(ConfigurationError, match="LlamaIndex"):
        PayloadMap.llama_index().payload(Passage("t"))


def test_haystack_payloads_are_read():
    payload = {"id": "abc", "content": "t", "meta": {"file_path": "x.pdf", "page": 1}, "score": None}
    passage = PayloadMap.haystack().passage(payload, "uuid")
    assert (passage.text, passage.id, passage.source) == ("t", "abc", "x.pdf")
    assert passage.metadata["page"] == 1


@pytest.mark.parametrize("text", ["", None, 5])
def test_a_layout_without_a_place_for_the_text_is_refused(text):
    with pytest.raises(ConfigurationError, match="text"):
        PayloadMap(text=text)
