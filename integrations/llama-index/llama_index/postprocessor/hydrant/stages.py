"""Stages of Hydrant run over nodes that are there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.schema import NodeWithScore

from hydrant import Hit, Pipeline, Query, SearchState, Stage
from hydrant.errors import ConfigurationError, InputError
from llama_index.retrievers.hydrant.nodes import hits_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from llama_index.core.schema import MetadataMode, QueryBundle


class OverNodes:
    """A stage and the nodes it is to work on, as a search that begins with them.

    Args:
        stage: The stage.
        nodes: The nodes, best first; they stay as they are.
        bundle: The query.
        mode: Which metadata the stage sees in front of a node's text.
        limit: How many nodes go on; None for what the stage says.

    Raises:
        InputError: There is no query, or something is no node with a score.
    """

    def __init__(
        self,
        stage: Stage,
        nodes: Sequence[NodeWithScore],
        bundle: QueryBundle | None,
        *,
        mode: MetadataMode,
        limit: int | None = None,
    ) -> None:
        if bundle is None:
            msg = "a postprocessor of Hydrant needs a query; give query_bundle=QueryBundle(...) or query_str=..."
            raise InputError(msg)
        for node in nodes:
            if not isinstance(node, NodeWithScore):
                msg = f"a postprocessor takes nodes as NodeWithScore(node=...), got {node!r} that is a {type(node).__name__}"
                raise InputError(msg)
        self.nodes = nodes
        self.bundle = bundle
        self.query = Query(bundle.query_str, limit=limit)
        self.search: Pipeline = _Given(hits_of(nodes, mode)) >> stage

    def node(self, hit: Hit) -> NodeWithScore:
        """The node that a hit stands for.

        Raises:
            ConfigurationError: It stands for none: the stage put in hits of its own.
        """
        place = hit.point_id
        if (
            isinstance(place, int)
            and 0 <= place < len(self.nodes)
            and self.nodes[place].node_id == hit.passage.id
        ):
            return self.nodes[place]
        msg = f"a stage over nodes must rank or shorten them; it put in {hit.id!r}, which is none of them"
        raise ConfigurationError(msg)


class _Given(Stage):
    """Hits that are there already, in the place of a retriever."""

    name = "nodes"
    required = True

    def __init__(self, hits: Sequence[Hit]) -> None:
        self._hits = hits

    def flow(self, state: SearchState) -> Generator[Any, Any, SearchState]:
        """Put them in."""
        yield from ()
        return state.with_hits(self._hits)
