"""Query expansion as a Runnable: `hyde | retriever`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from langchain_core.runnables import RunnableConfig, RunnableSerializable
from typing_extensions import override

from hydrant import Hyde, Query
from langchain_hydrant._arguments import Declared, Seconds, Stages, check_known
from langchain_hydrant._query import ExpandedQuery
from langchain_hydrant._tracing import asearch, search
from langchain_hydrant.generator import as_llm

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun


class HydeExpander(Declared, RunnableSerializable[str, ExpandedQuery]):
    """Expands a question: `HydeExpander.from_llm(llm) | HydrantRetriever(pipeline=docs.retriever())`.

    Where the language model fails, the question goes on as it was, and the log says why. Inside a pipeline,
    `Hyde(llm) >> docs.retriever()` does the same with one deadline for both, and says on every document what failed.
    """

    expansion: Stages
    """`hydrant.Hyde(...)`, or another expansion such as `hydrant.MultiQuery(...)`; several joined with `>>`."""

    deadline: Seconds | None = None
    """Seconds it may take."""

    @classmethod
    def from_llm(cls, llm: Any, *, deadline: float | None = None, **settings: Any) -> Self:
        """HyDE with a language model.

        Args:
            llm: A LangChain chat model or language model, or any Runnable around one; or a `hydrant.TextGenerator`.
            deadline: Seconds it may take.
            **settings: Settings of `hydrant.Hyde`, such as `hypotheses` and `prompt`.
        """
        return cls(expansion=Hyde(as_llm(llm), **settings), deadline=deadline)

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> ExpandedQuery:
        """Expand a question.

        Args:
            input: The question.
            config: The config.
            **kwargs: None are known.

        Raises:
            EmptyQuery: The question is blank.
            UnknownArgument: A keyword was given.
        """
        check_known(kwargs, (), f"a call of {type(self).__name__}")
        return self._call_with_config(self._expand, input, config, run_type="chain")

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> ExpandedQuery:
        """As `invoke`, without blocking the event loop."""
        check_known(kwargs, (), f"a call of {type(self).__name__}")
        return await self._acall_with_config(self._aexpand, input, config, run_type="chain")

    def _expand(self, question: str, run_manager: CallbackManagerForChainRun) -> ExpandedQuery:
        asked = _query(question)
        return ExpandedQuery(search(self.expansion, asked, run_manager.get_child(), self.deadline).query)

    async def _aexpand(self, question: str, run_manager: AsyncCallbackManagerForChainRun) -> ExpandedQuery:
        found = await asearch(self.expansion, _query(question), run_manager.get_child(), self.deadline)
        return ExpandedQuery(found.query)


def _query(question: str) -> Query:
    return question.query if isinstance(question, ExpandedQuery) else Query(question)
