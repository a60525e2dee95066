"""A reranker of Hydrant as a postprocessor of nodes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # as its docs say
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.prompts.mixin import PromptMixin
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from hydrant import SearchResult, Stage
from hydrant.errors import ConfigurationError, UnknownArgument
from llama_index.postprocessor.hydrant.stages import OverNodes
from llama_index.retrievers.hydrant.events import report
from llama_index.retrievers.hydrant.nodes import reranked
from llama_index.retrievers.hydrant.prompts import prompts_of, with_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llama_index.core.prompts.mixin import PromptDictType

_DISPATCHER = get_dispatcher(__name__)


class HydrantRerank(BaseNodePostprocessor, PromptMixin):
    """Ranks nodes once more: `HydrantRerank(CrossEncoderReranker("cross-encoder/..."), top_n=5)`.

    The nodes that come in stay as they are; those that go out are copies in the new order, with the reranker's scores as
    Python floats. Earlier scores stay in `node.metadata["_hydrant"]["stages"]`. Where the reranker fails or runs out of
    time, nodes go on in the order they had, cut to the same number, and `["degraded"]` there says so, unless the reranker
    has `on_error="raise"`.

    Args:
        reranker: Any reranker of Hydrant, or a pipeline of them.
        top_n: How many nodes go on; None for as many as the reranker says.
        deadline: Seconds that ranking may take.
        metadata_mode: Which metadata the reranker sees in front of a node's text.
        callback_manager: As of every postprocessor of LlamaIndex.

    Raises:
        ConfigurationError: A setting that cannot work.
        UnknownArgument: An argument that nobody declared.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    top_n: int | None = Field(
        default=None, ge=1, description="How many nodes go on; None for the reranker's own."
    )
    deadline: float | None = Field(default=None, gt=0, description="Seconds that ranking may take.")
    metadata_mode: MetadataMode = Field(
        default=MetadataMode.NONE, description="Which metadata the reranker sees in front of a node's text."
    )

    _reranker: Stage = PrivateAttr()

    def __init__(self, reranker: Stage, **settings: Any) -> None:
        if not isinstance(reranker, Stage):
            msg = (
                f"reranker must be a reranker of Hydrant such as CrossEncoderReranker(...), got {reranker!r}"
            )
            raise ConfigurationError(msg)
        unknown = sorted(set(settings) - set(type(self).model_fields))
        if unknown:
            msg = f"HydrantRerank takes reranker and {sorted(type(self).model_fields)}; got {unknown}"
            raise UnknownArgument(msg)
        super().__init__(**settings)
        self._reranker = reranker

    @classmethod
    def class_name(cls) -> str:
        """The postprocessor's name, also when it is serialised."""
        return "HydrantRerank"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """The postprocessor that `to_dict` described; the reranker is given again, as models are everywhere in LlamaIndex.

        Args:
            data: The description; it stays as it is.
            **kwargs: `reranker`, and what is to be different.

        Raises:
            ConfigurationError: There is no `reranker`.
        """
        if "reranker" not in kwargs:
            msg = "a description holds no models: say HydrantRerank.from_dict(data, reranker=...)"
            raise ConfigurationError(msg)
        settings = {key: value for key, value in {**data, **kwargs}.items() if key != "class_name"}
        return cls(**settings)

    @property
    def reranker(self) -> Stage:
        """The stage that ranks."""
        return self._reranker

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with _Run(self, nodes, query_bundle).traced() as run:
            if nodes:
                run.done(run.over.search.run(run.over.query, deadline=self.deadline))
        return run.ranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with _Run(self, nodes, query_bundle).traced() as run:
            if nodes:
                run.done(await run.over.search.arun(run.over.query, deadline=self.deadline))
        return run.ranked

    def _get_prompts(self) -> PromptDictType:
        return prompts_of(self._reranker)

    def _update_prompts(self, prompts: PromptDictType) -> None:
        self._reranker = with_prompts(self._reranker, prompts)


class _Run:
    """One ranking: what goes in, what tracers hear, what comes out."""

    def __init__(self, owner: HydrantRerank, nodes: list[NodeWithScore], bundle: QueryBundle | None) -> None:
        self.over = OverNodes(owner.reranker, nodes, bundle, mode=owner.metadata_mode, limit=owner.top_n)
        self._owner = owner
        self.ranked: list[NodeWithScore] = []

    @contextmanager
    def traced(self) -> Iterator[_Run]:
        """Tell tracers of the start and, where it does not fail, of the end, in LlamaIndex's new and old way."""
        nodes, bundle = list(self.over.nodes), self.over.bundle
        top_n = len(nodes) if self._owner.top_n is None else self._owner.top_n
        model = type(self._owner.reranker).__name__
        _DISPATCHER.event(ReRankStartEvent(query=bundle, nodes=nodes, top_n=top_n, model_name=model))
        payload: dict[Any, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: bundle.query_str,
            EventPayload.TOP_K: top_n,
        }
        with self._owner.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield self
            event.on_end(payload={EventPayload.NODES: self.ranked})
        _DISPATCHER.event(ReRankEndEvent(nodes=self.ranked))

    def done(self, result: SearchResult) -> None:
        """Turn the hits back into nodes."""
        degraded = report(self.over.bundle.query_str, result)
        self.ranked = [reranked(self.over.node(hit), hit, degraded) for hit in result.hits]
