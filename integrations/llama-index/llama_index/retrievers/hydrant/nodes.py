"""Hits to nodes and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node
from pydantic_core import from_json

from hydrant import Hit, Passage, StageScore

# Where a node's metadata says what Hydrant knows of it: score, stages, point id. Neither models nor embeddings see it.
KEY = "_hydrant"
# What a node's score is called where it comes from another retriever.
RETRIEVAL = "retrieval"
_SERIALISED = "_node_content"
_TYPE = "_node_type"


class NotedMetadata(dict[str, Any]):
    """Metadata with Hydrant's note, which is left out where they are written as a text.

    LlamaIndex hashes that text to tell nodes apart: a node is the same node whatever found it and however it was ranked, so
    that `QueryFusionRetriever` adds up what several queries or retrievers said of it.
    """

    def __str__(self) -> str:
        """The metadata that are the node's own."""
        return str({key: value for key, value in self.items() if key != KEY})


def node_of(hit: Hit, degraded: Sequence[str] = ()) -> NodeWithScore:
    """A hit as a node: the one that was indexed where LlamaIndex or `HydrantIndexer` wrote it, else a new `TextNode`.

    Args:
        hit: The hit.
        degraded: What the search went on without.
    """
    passage = hit.passage
    if _SERIALISED in passage.origin:
        return _found(_restored(passage.origin), hit, degraded)
    metadata: dict[str, Any] = {**passage.metadata}
    for key, value in (("title", passage.title), ("source", passage.source)):
        if value is not None:
            metadata.setdefault(key, value)
    source = (
        {} if passage.source is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=passage.source)}
    )
    node = TextNode(
        id_=str(hit.id),
        text=passage.text,
        metadata=metadata,
        relationships=source,
    )
    return _found(node, hit, degraded)


def _restored(origin: Mapping[str, Any]) -> BaseNode:
    """The node that LlamaIndex wrote into a payload.

    Most are plain `TextNode`s, whose JSON pydantic's own parser reads in half the time of the standard library's; it refuses
    a few things that the latter takes (lone surrogates), and those go the framework's way like every other kind of node.
    """
    if origin.get(_TYPE) == TextNode.class_name():
        try:
            return TextNode.from_dict(from_json(origin[_SERIALISED]))
        except (TypeError, ValueError):
            pass
    return metadata_dict_to_node(dict(origin))


def _found(node: BaseNode, hit: Hit, degraded: Sequence[str]) -> NodeWithScore:
    """A node that was made just now, for nobody else, so that there is nothing to copy, with its note."""
    # Assigned, they would be validated into a plain dict.
    node.__dict__["metadata"] = NotedMetadata({**node.metadata, KEY: noted(hit, degraded)})
    for keys in (node.excluded_llm_metadata_keys, node.excluded_embed_metadata_keys):
        if KEY not in keys:
            keys.append(KEY)
    return NodeWithScore(node=node, score=hit.score)


def noted(hit: Hit, degraded: Sequence[str]) -> dict[str, Any]:
    """What a node's metadata says of a hit, as JSON."""
    note: dict[str, Any] = {
        "score": hit.score,
        "stages": {name: {"score": said.score, "rank": said.rank} for name, said in hit.stages.items()},
        "point_id": hit.point_id,
    }
    if hit.passage.title is not None:
        note["title"] = hit.passage.title
    if hit.spans:
        note["spans"] = [{"start": span.start, "end": span.end, "score": span.score} for span in hit.spans]
    if degraded:
        note["degraded"] = list(degraded)
    return note


def hits_of(nodes: Sequence[NodeWithScore], mode: MetadataMode) -> list[Hit]:
    """Nodes as hits, to be ranked; a hit's point id is its node's place among them.

    Args:
        nodes: The nodes, best first.
        mode: Which metadata stand in front of the text.
    """
    return [_hit(node, place, mode) for place, node in enumerate(nodes)]


def reranked(given: NodeWithScore, hit: Hit, degraded: Sequence[str]) -> NodeWithScore:
    """A copy of a node with what rerankers said of it; the node itself stays as it is."""
    before = _note(given.node)
    note = {**before, **noted(hit, [*_degraded(before), *degraded])}
    note["point_id"] = before.get("point_id")
    return NodeWithScore(node=_noted(given.node, note), score=hit.score)


def repacked(given: NodeWithScore, text: str, ids: Sequence[str]) -> NodeWithScore:
    """A node with another text, made of the nodes with these ids; a `TextNode` where the text is another one."""
    node = given.node
    if len(ids) == 1 and node.get_content(MetadataMode.NONE) == text:
        return given
    note = {**_note(node), "nodes": list(ids)}
    packed = TextNode(
        id_=node.node_id,
        text=text,
        metadata=node.metadata,
        relationships=dict(node.relationships),
        excluded_llm_metadata_keys=list(node.excluded_llm_metadata_keys),
        excluded_embed_metadata_keys=list(node.excluded_embed_metadata_keys),
        metadata_template=node.metadata_template,
        metadata_separator=node.metadata_separator,
    )
    return NodeWithScore(node=_noted(packed, note), score=given.score)


def plain(node: BaseNode) -> BaseNode:
    """The node without what Hydrant noted; a copy where it noted something."""
    if KEY not in node.metadata:
        return node
    return node.model_copy(
        update={
            "metadata": {key: value for key, value in node.metadata.items() if key != KEY},
            "excluded_llm_metadata_keys": [key for key in node.excluded_llm_metadata_keys if key != KEY],
            "excluded_embed_metadata_keys": [key for key in node.excluded_embed_metadata_keys if key != KEY],
        }
    )


def _noted(node: BaseNode, note: Mapping[str, Any]) -> BaseNode:
    return node.model_copy(
        update={
            # Assigned, it would be validated into a plain dict.
            "metadata": NotedMetadata({**node.metadata, KEY: dict(note)}),
            "excluded_llm_metadata_keys": _with_key(node.excluded_llm_metadata_keys),
            "excluded_embed_metadata_keys": _with_key(node.excluded_embed_metadata_keys),
        }
    )


def _with_key(keys: Sequence[str]) -> list[str]:
    return [*keys] if KEY in keys else [*keys, KEY]


def _note(node: BaseNode) -> Mapping[str, Any]:
    note = node.metadata.get(KEY)
    return note if isinstance(note, Mapping) else {}


def _degraded(note: Mapping[str, Any]) -> Sequence[str]:
    """What an earlier search went on without; nothing where somebody else uses the key for something."""
    said = note.get("degraded")
    return [str(each) for each in said] if isinstance(said, list | tuple) else []


def _hit(given: NodeWithScore, place: int, mode: MetadataMode) -> Hit:
    node, note = given.node, _note(given.node)
    stages = _stages(note)
    if not stages and given.score is not None:
        stages = {RETRIEVAL: StageScore(float(given.score), place + 1)}
    # With metadata in front of the text the title is among them already.
    title = note.get("title") if mode == MetadataMode.NONE else None
    # Where a chunk stands in its document lets a packer put neighbours together.
    start = getattr(node, "start_char_idx", None)
    place_in = {} if start is None else {"start_index": start}
    passage = Passage(node.get_content(mode), node.node_id, title, node.ref_doc_id, place_in)
    return Hit(passage, 0.0 if given.score is None else float(given.score), stages, place)


def _stages(note: Mapping[str, Any]) -> dict[str, StageScore]:
    """What earlier stages said; nothing where somebody else uses the key for something."""
    try:
        return {
            name: StageScore(float(said["score"]), int(said["rank"])) for name, said in note["stages"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}
