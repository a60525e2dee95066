"""Nodes shortened to what fits a language model's budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from hydrant import Citation, ContextPacker, SearchResult
from hydrant.errors import ConfigurationError, UnknownArgument
from llama_index.postprocessor.hydrant.stages import OverNodes
from llama_index.retrievers.hydrant.events import report
from llama_index.retrievers.hydrant.nodes import repacked, reranked

if TYPE_CHECKING:
    from hydrant import Context


class HydrantContextPacker(BaseNodePostprocessor):
    """Packs nodes into a budget of tokens: the last postprocessor, in front of the response synthesizer.

    A node goes out for every part of the context, in its order, with the text that the context shows of it: whole, cut, or only
    the sentences that answer. Chunks of one document that touch or overlap become one node. Duplicates, and what found no
    room, stay out. What the synthesizer adds in front of a node's text, such as metadata, is not in the budget. Where the packer
    fails, the nodes go on as they were, and `node.metadata["_hydrant"]["degraded"]` says so.

    Args:
        packer: The packer, such as `ContextPacker(max_tokens=3000)`.
        deadline: Seconds that packing may take.
        callback_manager: As of every postprocessor of LlamaIndex.

    Raises:
        ConfigurationError: A setting that cannot work.
        UnknownArgument: An argument that nobody declared.
    """

    deadline: float | None = Field(default=None, gt=0, description="Seconds that packing may take.")

    _packer: ContextPacker = PrivateAttr()

    def __init__(self, packer: ContextPacker, **settings: Any) -> None:
        if not isinstance(packer, ContextPacker):
            msg = f"packer must be a ContextPacker such as ContextPacker(max_tokens=3000), got {packer!r}"
            raise ConfigurationError(msg)
        unknown = sorted(set(settings) - set(type(self).model_fields))
        if unknown:
            msg = f"HydrantContextPacker takes packer and {sorted(type(self).model_fields)}; got {unknown}"
            raise UnknownArgument(msg)
        super().__init__(**settings)
        self._packer = packer

    @classmethod
    def class_name(cls) -> str:
        """The postprocessor's name, also when it is serialised."""
        return "HydrantContextPacker"

    @property
    def packer(self) -> ContextPacker:
        """The stage that packs."""
        return self._packer

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        over = self._over(nodes, query_bundle)
        return _packed(over, over.search.run(over.query, deadline=self.deadline)) if nodes else []

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        over = self._over(nodes, query_bundle)
        return _packed(over, await over.search.arun(over.query, deadline=self.deadline)) if nodes else []

    def _over(self, nodes: list[NodeWithScore], bundle: QueryBundle | None) -> OverNodes:
        return OverNodes(self._packer, nodes, bundle, mode=MetadataMode.NONE)


def _packed(over: OverNodes, result: SearchResult) -> list[NodeWithScore]:
    degraded = report(over.bundle.query_str, result)
    context = result.context
    if context is None:
        return [reranked(over.node(hit), hit, degraded) for hit in result.hits]
    return [_shown(over, context, citation, degraded) for citation in context.citations]


def _shown(over: OverNodes, context: Context, citation: Citation, degraded: list[str]) -> NodeWithScore:
    """The first node of a part of the context, with the text of the whole part; its heading is the synthesizer's business."""
    first, last = citation.excerpts[0], citation.excerpts[-1]
    text = context.text[first.at : last.at + last.end - last.start]
    ranked = reranked(over.node(citation.hits[0]), citation.hits[0], degraded)
    return repacked(ranked, text, [str(hit.passage.id) for hit in citation.hits])
