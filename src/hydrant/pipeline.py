"""Stages, and their composition with `>>`.

A stage takes a `SearchState` and returns a new one, as a flow (see `hydrant.flow`). A pipeline is a tuple of stages; it
is a stage itself, immutable, and equal to another with equal stages. Running one stage is running a pipeline of one.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from hydrant.errors import ConfigurationError, DeadlineExceeded, EmptyQuery, InputError
from hydrant.flow import Flow, Recorder, Together, Within, arun, run
from hydrant.types import Degradation, Query, SearchResult, SearchState

if TYPE_CHECKING:
    from types import TracebackType

    from hydrant.types import FilterLike, PassageId

# The part of the whole deadline that an optional stage has to leave to each stage after it, so that a slow
# expansion cannot eat the time of the search that it was meant to help.
_RESERVED_SHARE = 0.15
# The largest number of points that a page can begin at or hold; requests carry 32 bits.
_MOST = 2**31 - 1


class Stage(ABC):
    """One step of a search.

    Subclasses give `flow`, and may set:

    Attributes:
        name: What the stage is called in traces, in `result.degraded` and in messages.
        required: Whether a search makes no sense without it. An optional stage that fails or runs out of time is
            left out and `result.degraded` says so.
        on_error: "raise" makes a failure of an optional stage the caller's.
        timeout: Seconds this stage may take; it can only shorten what the caller's deadline leaves.
    """

    name: str = "stage"
    required: bool = False
    on_error: Literal["continue", "raise"] = "continue"
    timeout: float | None = None

    @abstractmethod
    def flow(self, state: SearchState) -> Flow[SearchState]:
        """The stage's work. The state that comes in is not to be changed."""

    def without(self, state: SearchState) -> SearchState:
        """The state to go on with where this stage failed: a reranker cuts to its size here."""
        return state

    def before(self, query: Query) -> Query:
        """What the stages before this one are asked for, so that it can answer the query.

        Only `limit`, `offset` and `candidates` of the query that is returned count: a reranker asks here for its candidates
        from the first hit on, where its own answer is a page of them.
        """
        return query

    def placed(self, before: Sequence[Stage], after: Sequence[Stage]) -> Stage:
        """This stage as it works in its place in a pipeline; by default as it is.

        Args:
            before: The stages that run first.
            after: The stages that run on what it returns.
        """
        return self

    def warm_up(self) -> None:
        """Load models and open connections now instead of at the first query."""

    def close(self) -> None:
        """Release what the stage itself opened; clients it was given stay open."""

    def __enter__(self) -> Self:
        self.warm_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def __rshift__(self, following: Stage) -> Pipeline:
        return Pipeline((*_stages(self), *_stages(following)))

    def run(
        self,
        query: str | Query,
        *,
        filter: FilterLike | None = None,  # noqa: A002  the field's own word for it
        tenant: PassageId | None = None,
        limit: int | None = None,
        offset: int = 0,
        deadline: float | None = None,
    ) -> SearchResult:
        """Search.

        Args:
            query: The question, or a ready `Query` (then the other arguments about the query stay away).
            filter: A `models.Filter` or a mapping such as `{"lang": "en", "year": {"gte": 2020}}`.
            tenant: Whose documents to search, where the collection has a tenant field.
            limit: How many hits; None leaves it to the retriever.
            offset: How many hits to skip.
            deadline: Seconds until there must be an answer; the caller has it on time even while a model hangs.

        Raises:
            EmptyQuery: The query is blank.
            DeadlineExceeded: The time ran out in a stage that the search cannot do without.
        """
        state = SearchState(_query(query, Query("", filter, tenant, limit, offset)))
        recorder = Recorder()
        state = run(
            Pipeline(_stages(self)).search(state, Budget(deadline)), deadline=deadline, recorder=recorder
        )
        return _result(state, recorder)

    async def arun(
        self,
        query: str | Query,
        *,
        filter: FilterLike | None = None,  # noqa: A002  the field's own word for it
        tenant: PassageId | None = None,
        limit: int | None = None,
        offset: int = 0,
        deadline: float | None = None,
    ) -> SearchResult:
        """Search without blocking the event loop; see `run`."""
        state = SearchState(_query(query, Query("", filter, tenant, limit, offset)))
        recorder = Recorder()
        flow = Pipeline(_stages(self)).search(state, Budget(deadline))
        return _result(await arun(flow, deadline=deadline, recorder=recorder), recorder)

    def run_many(
        self, queries: Iterable[str | Query], *, at_once: int = 4, deadline: float | None = None
    ) -> list[SearchResult]:
        """Search for several queries side by side; results in the order of the queries.

        Args:
            queries: Questions, or `Query` objects where they differ in filter or tenant.
            at_once: How many searches are under way at a time.
            deadline: Seconds for all of them together.
        """
        searches = _Searches(Pipeline(_stages(self)), queries, deadline)
        return searches.results(run(searches.flow(at_once), deadline=deadline))

    async def arun_many(
        self, queries: Iterable[str | Query], *, at_once: int = 16, deadline: float | None = None
    ) -> list[SearchResult]:
        """Search for several queries side by side without blocking the event loop; see `run_many`."""
        searches = _Searches(Pipeline(_stages(self)), queries, deadline)
        return searches.results(await arun(searches.flow(at_once), deadline=deadline))


@dataclass(frozen=True)
class Pipeline(Stage):
    """Stages that run one after another; made with `first >> second`."""

    stages: tuple[Stage, ...]

    name = "search"
    required = True

    def __post_init__(self) -> None:
        flat = tuple(part for stage in self.stages for part in _stages(stage))
        if not flat:
            msg = "a pipeline needs at least one stage, got none"
            raise ConfigurationError(msg)
        placed = (stage.placed(flat[:at], flat[at + 1 :]) for at, stage in enumerate(flat))
        object.__setattr__(self, "stages", tuple(placed))

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """The stages in order, each failure handled as the stage says."""
        return self.search(state, Budget(None))

    def search(self, state: SearchState, budget: Budget) -> Flow[SearchState]:
        """As `flow`, knowing the whole deadline, so that optional stages leave time to the others."""
        asked = state.query
        for position, (stage, wanted) in enumerate(zip(self.stages, self._wanted(asked), strict=True), 1):
            seconds = budget.of(stage, following=len(self.stages) - position)
            state = _asking(state, wanted)
            try:
                state = _state((yield Within(_flow(stage, state), stage.name, seconds)), stage)
            except Exception as error:
                # Any failure of a stage the search can do without, ours or a third party's, must not end it.
                if stage.required or stage.on_error == "raise" or _is_the_callers_fault(error):
                    raise
                state = stage.without(state).with_degradation(Degradation(stage.name, _reason(error)))
        return _asking(state, asked)

    def before(self, query: Query) -> Query:
        """What the first stage asks for."""
        for stage in reversed(self.stages):
            query = stage.before(query)
        return query

    def _wanted(self, query: Query) -> list[Query]:
        """What each stage is asked for, so that the last one can answer the query."""
        wanted = [query]
        for stage in reversed(self.stages[1:]):
            wanted.append(stage.before(wanted[-1]))
        return wanted[::-1]

    def warm_up(self) -> None:
        """Warm up every stage."""
        for stage in self.stages:
            stage.warm_up()

    def close(self) -> None:
        """Close every stage, last first."""
        for stage in reversed(self.stages):
            stage.close()


class Budget:
    """How long each stage may take, so that those after it still have time."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._began = time.monotonic()

    def of(self, stage: Stage, following: int) -> float | None:
        """Seconds for a stage that has so many stages after it; None for no limit but the caller's."""
        if self._deadline is None or stage.required:
            return stage.timeout
        left = self._deadline - (time.monotonic() - self._began)
        share = max(0.0, left - _RESERVED_SHARE * self._deadline * following)
        return share if stage.timeout is None else min(stage.timeout, share)


def _stages(stage: object) -> tuple[Stage, ...]:
    if isinstance(stage, Pipeline):
        return stage.stages
    if isinstance(stage, Stage):
        return (stage,)
    msg = f"only stages can be composed with >>; got {stage!r} that is a {type(stage).__name__}"
    raise ConfigurationError(msg)


def _flow(stage: Stage, state: SearchState) -> Flow[SearchState]:
    flow: object = stage.flow(state)
    if not isinstance(flow, Generator):
        msg = f"flow of stage {stage.name!r} must be a generator, a function with a yield in it; got {flow!r}"
        raise ConfigurationError(msg)
    return flow


def _state(returned: object, stage: Stage) -> SearchState:
    if not isinstance(returned, SearchState):
        msg = f"flow of stage {stage.name!r} must return a SearchState; got {returned!r}"
        raise ConfigurationError(msg)
    return returned


def _is_the_callers_fault(error: Exception) -> bool:
    return isinstance(error, InputError | ConfigurationError)


def _asking(state: SearchState, wanted: Query) -> SearchState:
    query = state.query
    page = (wanted.limit, wanted.offset, wanted.candidates)
    if page == (query.limit, query.offset, query.candidates):
        return state
    limit, offset, candidates = page
    return state.with_query(replace(query, limit=limit, offset=offset, candidates=candidates))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DeadlineExceeded) else f"{type(error).__name__}: {error}"


def _query(query: object, given: Query) -> Query:
    if isinstance(query, Query):
        if given != Query(""):
            msg = "a ready Query already says filter, tenant, limit and offset; set them there (dataclasses.replace)"
            raise ConfigurationError(msg)
        given = query
    elif isinstance(query, str):
        given = replace(given, text=query)
    else:
        msg = f"query must be a str or a hydrant Query, got {query!r} that is a {type(query).__name__}"
        raise InputError(msg)
    if not isinstance(given.text, str):
        msg = f"a query's text must be a str, got {given.text!r} that is a {type(given.text).__name__}"
        raise InputError(msg)
    if not given.text.strip():
        msg = f"query must contain text to search for, got {given.text!r}"
        raise EmptyQuery(msg)
    if given.limit is not None:
        _check_whole("limit", given.limit, at_least=1)
    _check_whole("offset", given.offset, at_least=0)
    return given


def _check_whole(name: str, value: object, *, at_least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not at_least <= value <= _MOST:
        msg = f"{name} must be a whole number from {at_least} to {_MOST:,}, got {value!r}"
        raise InputError(msg)


def _result(state: SearchState, recorder: Recorder) -> SearchResult:
    return SearchResult(state.query, state.hits, state.degraded, recorder.trace(), state.usage, state.context)


class _Searches:
    """Several searches as one flow, each with a trace of its own."""

    def __init__(self, pipeline: Pipeline, queries: Iterable[str | Query], deadline: float | None) -> None:
        if isinstance(queries, str | Query):
            msg = f"run_many takes several queries; for one use run, or give a list of one: got {queries!r}"
            raise InputError(msg)
        self._pipeline = pipeline
        self._states = [SearchState(_query(query, Query(""))) for query in queries]
        self._recorders = [Recorder() for _ in self._states]
        self._deadline = deadline

    def flow(self, at_once: int) -> Flow[list[SearchState]]:
        """The searches side by side."""
        budget = Budget(self._deadline)
        searches = [
            Within(self._pipeline.search(state, budget), self._pipeline.name, recorder=recorder)
            for state, recorder in zip(self._states, self._recorders, strict=True)
        ]
        states: list[SearchState] = yield Together(searches, at_once=at_once)
        return states

    def results(self, states: Sequence[SearchState]) -> list[SearchResult]:
        """The searches' results."""
        return [_result(state, recorder) for state, recorder in zip(states, self._recorders, strict=True)]
