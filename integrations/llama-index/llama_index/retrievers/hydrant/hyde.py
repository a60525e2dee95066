"""HyDE as a query transform, and a retriever that applies one without blocking the event loop."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices.query.query_transform.base import BaseQueryTransform
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.schema import QueryBundle

from hydrant import Hyde, SearchResult, TextGenerator
from hydrant.errors import ConfigurationError
from llama_index.retrievers.hydrant.bundle import HydrantQueryBundle
from llama_index.retrievers.hydrant.events import report
from llama_index.retrievers.hydrant.generator import as_generator
from llama_index.retrievers.hydrant.prompts import check_keys, template_of
from llama_index.retrievers.hydrant.query import expansions_of

if TYPE_CHECKING:
    from llama_index.core.callbacks.base import CallbackManager
    from llama_index.core.llms import LLM
    from llama_index.core.prompts.mixin import PromptDictType, PromptMixinType
    from llama_index.core.schema import NodeWithScore, QueryType

_PROMPT = "hyde_prompt"


class HydrantHyDE(BaseQueryTransform):
    """HyDE with many hypotheses, in the place of LlamaIndex's `HyDEQueryTransform`.

    The hypotheses go through the *document* encoder of a `HydrantRetriever`, the query through its query encoder, and the
    dense source searches with their mean; sparse sources and rerankers see the query alone. Any other retriever finds them in
    `custom_embedding_strs`. The same question is asked of the model once: a query engine that transforms it twice, to
    retrieve and to synthesize, searches with the same hypotheses. Where the model fails, the query goes on as it was.

    LlamaIndex knows no async query transforms. `TransformQueryEngine` calls this one in the event loop, which it blocks; use
    `HydrantHyDERetriever`, or `await hyde.arun(query)`, or put `Hyde(llm)` into the pipeline of a `HydrantRetriever`.

    Args:
        llm: A language model of LlamaIndex or a `TextGenerator` of Hydrant; None for `Settings.llm`.
        hypotheses: How many passages are sampled.
        hyde_prompt: A template with `{context_str}` (or `{query_str}`) for the question, or the name of one of the paper's
            prompts, such as "scifact"; see `hydrant.Hyde`.
        include_original: Whether the query takes part in the mean.
        **settings: Those of `hydrant.Hyde`, such as `temperature`, `max_tokens`, `query_weight`, `cache`, `timeout`, `gate`.

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    def __init__(
        self,
        llm: LLM | TextGenerator | None = None,
        *,
        hypotheses: int = 8,
        hyde_prompt: BasePromptTemplate | str = "web",
        include_original: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__()
        if not include_original:
            if "query_weight" in settings:
                msg = f"include_original=False says query_weight=0; got query_weight={settings['query_weight']!r} too"
                raise ConfigurationError(msg)
            settings["query_weight"] = 0.0
        prompt = hyde_prompt if isinstance(hyde_prompt, str) else template_of(hyde_prompt, "query")
        self._stage = Hyde(as_generator(llm), hypotheses=hypotheses, prompt=prompt, **settings)

    @classmethod
    def class_name(cls) -> str:
        """The transform's name in traces."""
        return "HydrantHyDE"

    @property
    def stage(self) -> Hyde:
        """The stage that does the work."""
        return self._stage

    async def arun(self, query_bundle_or_str: QueryType) -> QueryBundle:
        """As `run`, without blocking the event loop."""
        bundle = _bundle(query_bundle_or_str)
        return self._expanded(bundle, await self._stage.arun(bundle.query_str))

    def _run(self, query_bundle: QueryBundle, metadata: dict[str, Any]) -> QueryBundle:
        return self._expanded(query_bundle, self._stage.run(query_bundle.query_str))

    def _expanded(self, bundle: QueryBundle, result: SearchResult) -> QueryBundle:
        report(bundle.query_str, result)
        degraded = tuple(map(str, result.degraded))
        own = bundle if isinstance(bundle, HydrantQueryBundle) else HydrantQueryBundle("")
        strings = list(result.hypotheses)
        if strings and self._stage.query_weight:
            strings += bundle.embedding_strs
        return dataclasses.replace(
            own,
            query_str=bundle.query_str,
            image_path=bundle.image_path,
            custom_embedding_strs=strings or bundle.custom_embedding_strs,
            # An embedding of the query alone would hide the hypotheses.
            embedding=None if strings else bundle.embedding,
            expansions=(*expansions_of(bundle), *result.expansions) if strings else own.expansions,
            degraded=(*own.degraded, *degraded),
        )

    def _get_prompts(self) -> PromptDictType:
        return {_PROMPT: PromptTemplate(_template(self._stage).replace("{query}", "{context_str}"))}

    def _update_prompts(self, prompts: PromptDictType) -> None:
        check_keys({key: prompt for key, prompt in prompts.items() if ":" not in key}, {_PROMPT: None})
        if _PROMPT in prompts:
            self._stage = dataclasses.replace(self._stage, prompt=template_of(prompts[_PROMPT], "query"))


class HydrantHyDERetriever(BaseRetriever):
    """A retriever behind a query transform, awaited where that can be: LlamaIndex's `TransformRetriever` with async.

    Args:
        retriever: Any retriever of LlamaIndex.
        hyde: The transform.
        callback_manager: As of every retriever of LlamaIndex.
    """

    def __init__(
        self, retriever: BaseRetriever, hyde: HydrantHyDE, callback_manager: CallbackManager | None = None
    ) -> None:
        if not isinstance(hyde, HydrantHyDE) or not isinstance(retriever, BaseRetriever):
            msg = f"HydrantHyDERetriever takes a retriever and a HydrantHyDE, got {retriever!r} and {hyde!r}"
            raise ConfigurationError(msg)
        self._retriever = retriever
        self._hyde = hyde
        super().__init__(callback_manager)

    @classmethod
    def class_name(cls) -> str:
        """The retriever's name in traces."""
        return "HydrantHyDERetriever"

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._retriever.retrieve(self._hyde.run(query_bundle))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await self._retriever.aretrieve(await self._hyde.arun(query_bundle))

    def _get_prompt_modules(self) -> PromptMixinType:
        return {"query_transform": self._hyde, "retriever": self._retriever}


def _bundle(query: QueryType) -> QueryBundle:
    return QueryBundle(query, custom_embedding_strs=[query]) if isinstance(query, str) else query


def _template(stage: Hyde) -> str:
    prompt = stage.prompt
    return prompt if isinstance(prompt, str) else prompt.template
