"""What LangChain's callbacks hear of a search: every stage is a run of its own, a child of the run that searches.

What a stage asks of a LangChain model is in turn a child of the stage's run: the callbacks for it travel in a context
variable, through the threads and tasks that a search is made of.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
from langchain_core.runnables.config import ensure_config

from hydrant import Effect, Pipeline, Query, SearchResult, SearchState, Stage
from hydrant.errors import DeadlineExceeded

if TYPE_CHECKING:
    from langchain_core.callbacks.base import BaseCallbackManager
    from langchain_core.runnables import RunnableConfig

_LOG = logging.getLogger("langchain_hydrant")
# The callbacks of the stage that is at work.
_CALLBACKS: ContextVar[BaseCallbackManager | None] = ContextVar("hydrant_callbacks", default=None)
_Flow: TypeAlias = Generator[Any, Any, SearchState]


def stage_config() -> RunnableConfig | None:
    """The config for what the stage at work calls; None leaves it to LangChain, which then takes the surrounding one."""
    manager = _CALLBACKS.get()
    return None if manager is None else {"callbacks": manager}


def manager_of(callbacks: Callbacks = None) -> CallbackManager:
    """The callbacks that were given, or where none were those of the surrounding chain, as LangChain's own models do."""
    return CallbackManager.configure(_given(callbacks))


def amanager_of(callbacks: Callbacks = None) -> AsyncCallbackManager:
    """As `manager_of`, for async code."""
    return AsyncCallbackManager.configure(_given(callbacks))


def _given(callbacks: Callbacks) -> Callbacks:
    return ensure_config().get("callbacks") if callbacks is None else callbacks


def search(
    stage: Stage, query: Query, manager: CallbackManager, deadline: float | None = None
) -> SearchResult:
    """Search, and tell the callbacks.

    Args:
        stage: The pipeline, or a single stage.
        query: What is asked.
        manager: The callbacks of what happens inside.
        deadline: Seconds it may take.
    """
    if not manager.handlers:
        return _logged(stage.run(query, deadline=deadline))
    runs = _Runs()
    try:
        return _logged(_traced(stage, manager, runs).run(query, deadline=deadline))
    finally:
        for end in runs.open:
            end()


async def asearch(
    stage: Stage, query: Query, manager: AsyncCallbackManager, deadline: float | None = None
) -> SearchResult:
    """As `search`, without blocking the event loop."""
    if not manager.handlers:
        return _logged(await stage.arun(query, deadline=deadline))
    runs = _Runs()
    try:
        return _logged(await _traced(stage, manager, runs).arun(query, deadline=deadline))
    finally:
        for end in runs.open:
            await end()


class _Runs:
    """The runs whose end could not be told while the search went on, because its time was over."""

    def __init__(self) -> None:
        self.open: list[Callable[[], Any]] = []


class _Tell(Effect[Any]):
    """Tell the callbacks something."""

    name = "callbacks"

    def __init__(self, say: Callable[[], Any]) -> None:
        self._say = say

    def call(self, timeout: float | None) -> Any:
        return self._say()

    async def acall(self, timeout: float | None) -> Any:
        said = self._say()
        return await said if inspect.isawaitable(said) else said


class _Traced(Stage):
    """A stage whose beginning and end the callbacks hear of."""

    def __init__(self, stage: Stage, manager: BaseCallbackManager, runs: _Runs) -> None:
        self._stage = stage
        self._manager: Any = manager
        self._runs = runs
        self.name = stage.name
        self.required = stage.required
        self.on_error = stage.on_error
        self.timeout = stage.timeout

    def flow(self, state: SearchState) -> _Flow:
        try:
            run = yield _Tell(
                lambda: self._manager.on_chain_start(None, _inputs(state), name=self._stage.name)
            )
        except DeadlineExceeded:
            # The stage must fail, or not, as it would without anybody listening.
            alone: SearchState = yield self._stage.flow(state)
            return alone
        outer = _CALLBACKS.get()
        _CALLBACKS.set(run.get_child())
        try:
            after: SearchState = yield self._stage.flow(state)
        except Exception as error:
            reason = error
            _CALLBACKS.set(outer)
            yield from self._end(lambda: run.on_chain_error(reason))
            raise
        except BaseException as end:
            # The search was given up: nothing can be asked of it any more.
            gone = end
            _CALLBACKS.set(outer)
            self._runs.open.append(lambda: run.on_chain_error(gone))
            raise
        _CALLBACKS.set(outer)
        yield from self._end(lambda: run.on_chain_end(_outputs(state, after)))
        return after

    def without(self, state: SearchState) -> SearchState:
        return self._stage.without(state)

    def before(self, query: Query) -> Query:
        return self._stage.before(query)

    def _end(self, say: Callable[[], Any]) -> Generator[Any, Any, None]:
        try:
            yield _Tell(say)
        except DeadlineExceeded:
            self._runs.open.append(say)


def _traced(stage: Stage, manager: BaseCallbackManager, runs: _Runs) -> Pipeline:
    stages: Sequence[Stage] = stage.stages if isinstance(stage, Pipeline) else (stage,)
    return Pipeline(tuple(_Traced(each, manager, runs) for each in stages))


def _inputs(state: SearchState) -> dict[str, Any]:
    return {"query": state.query.text, "hits": len(state.hits)}


def _outputs(before: SearchState, after: SearchState) -> dict[str, Any]:
    said: dict[str, Any] = {"hits": [{"id": hit.id, "score": hit.score} for hit in after.hits]}
    texts = [list(expansion.texts) for expansion in after.query.expansions[len(before.query.expansions) :]]
    if texts:
        said["texts"] = texts[0] if len(texts) == 1 else texts
    if after.context is not None and after.context is not before.context:
        said["context"] = after.context.text
    wrong = [str(each) for each in after.degraded[len(before.degraded) :]]
    return {**said, "degraded": wrong} if wrong else said


def _logged(result: SearchResult) -> SearchResult:
    for each in result.degraded:
        _LOG.warning("the search went on without %s", each)
    return result
