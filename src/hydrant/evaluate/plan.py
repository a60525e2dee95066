"""Which stages run for a question: pipelines that begin alike go through their beginning together, once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hydrant.evaluate.outcome import Found, Outcome
from hydrant.evaluate.tasks import Preference, Task, in_pool, point_filter
from hydrant.flow import run
from hydrant.pipeline import Pipeline, Stage
from hydrant.rerank.base import Reranker
from hydrant.retrieve.feedback import Feedback
from hydrant.retrieve.retriever import Retriever
from hydrant.types import Hit, Passage, Query, SearchResult, SearchState, StageScore

GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Step:
    """A stage, and the page that the stages after it want of it.

    Attributes:
        stage: The stage.
        limit: How many hits; None leaves it to the stage.
        candidates: How many hits at least.
    """

    stage: Stage
    limit: int | None
    candidates: int

    def same(self, other: Step) -> bool:
        """Whether both do the same with the same question."""
        return (self.limit, self.candidates) == (other.limit, other.candidates) and (
            self.stage is other.stage
            or (type(self.stage) is type(other.stage) and bool(self.stage == other.stage))
        )

    def run(self, state: SearchState) -> SearchState:
        """The state after the stage, as a pipeline would have it: a failure it can do without is on record."""
        query = replace(state.query, limit=self.limit, offset=0, candidates=self.candidates)
        return run(Pipeline((self.stage,)).flow(state.with_query(query)))


@dataclass
class Node:
    """A step, what follows it, and which pipelines end with it.

    Attributes:
        step: The step; None for the start.
        position: The stage's position in the pipelines, from 0; -1 for the start.
        following: The steps that follow.
        ends: The names of the pipelines that end here.
        watched: Whether a reranker follows, for which the hits are to be kept.
    """

    step: Step | None = None
    position: int = -1
    following: list[Node] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    watched: bool = False

    def add(self, name: str, steps: Sequence[Step]) -> None:
        """Put a pipeline in."""
        node = self
        for position, step in enumerate(steps):
            node.watched = node.watched or isinstance(step.stage, Reranker)
            known = next((each for each in node.following if each.step and each.step.same(step)), None)
            if known is None:
                known = Node(step, position)
                node.following.append(known)
            node = known
        node.ends.append(name)

    def __len__(self) -> int:
        """How many steps there are."""
        return (self.step is not None) + sum(map(len, self.following))


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a task, ready to be asked.

    Attributes:
        id: The question's id.
        query: The question, with its filter and tenant.
        given: The hits that it begins with: candidates.
        allowed: The ids that may be found; None for any.
        task: The task.
    """

    id: str
    query: Query
    given: tuple[Hit, ...]
    allowed: frozenset[str] | None
    task: Task

    def found(self, hits: Sequence[Hit]) -> tuple[Found, ...]:
        """What counts of hits."""
        pool = self.task.pool_of(self.id)
        return tuple(
            Found.of(hit, self.id, self.query, stray=self._strays(hit) or not in_pool(hit.passage, pool))
            for hit in hits
        )

    def _strays(self, hit: Hit) -> bool:
        return self.allowed is not None and str(hit.id) not in self.allowed


def steps_of(pipeline: Stage, task: Task, depth: int | None) -> list[Step]:
    """The steps of a pipeline for a task.

    Args:
        pipeline: The pipeline.
        task: Where candidates are given, stages that search have nothing to do and are left out.
        depth: How many hits are asked for; None for as many as the pipeline gives by itself.
    """
    stages = pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,)
    if task.kind == "rerank":
        stages = tuple(stage for stage in stages if not isinstance(stage, Retriever | Feedback))
    wanted = [Query("?", limit=depth)]
    for stage in reversed(stages[1:]):
        wanted.append(stage.before(wanted[-1]))
    found = [_step(stage, query) for stage, query in zip(stages, wanted[::-1], strict=False)]
    # What comes before a retriever leaves no hits behind it: how many the later stages want is nothing to it.
    last = max((at for at, stage in enumerate(stages) if isinstance(stage, Retriever)), default=0)
    return [Step(step.stage, depth, 0) if at < last else step for at, step in enumerate(found)]


def _step(stage: Stage, query: Query) -> Step:
    if isinstance(stage, Retriever):
        # It looks at nothing else, so two ways of asking for as many are the same.
        return Step(stage, stage.wanted(query), 0)
    return Step(stage, query.limit, query.candidates)


class Questions:
    """The questions of a task as they are asked, with the candidates they begin with."""

    def __init__(self, task: Task, *, searches: bool) -> None:
        self._task = task
        self._searches = searches
        self._preferences = {each.query: each for each in task.preferences}
        self._passages = self._read()

    def asked(self, query: str) -> Asked:
        """A question."""
        task = self._task
        plain = task.queries[query]
        if task.kind == "rerank":
            ids = task.candidates[query]
            return Asked(query, plain, _hits(ids, self._passages), frozenset(ids), task)
        if task.kind == "pairs":
            return self._pair(query, plain, self._preferences[query])
        return Asked(query, plain, (), None, task)

    def _pair(self, query: str, plain: Query, preference: Preference) -> Asked:
        # Neither the preferred nor the other one always comes first, or a reranker that does nothing would look good or bad.
        ids = tuple(sorted((preference.preferred, preference.other), key=lambda each: hash_of(query + each)))
        asked = replace(plain, filter=point_filter(ids, plain.tenant)) if self._searches else plain
        given = () if self._searches else _hits(ids, self._passages)
        return Asked(query, asked, given, frozenset(ids), self._task)

    def _read(self) -> dict[str, Passage]:
        task = self._task
        if task.kind == "rerank":
            return task.passages(each for query in task.queries for each in task.candidates[query])
        if task.kind == "pairs" and not self._searches:
            return task.passages(each for pair in task.preferences for each in (pair.preferred, pair.other))
        return {}


def hash_of(text: str) -> str:
    """The same order of texts in every process, unlike Python's own hash."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def searches(pipeline: Stage) -> bool:
    """Whether a pipeline searches a collection itself."""
    stages = pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,)
    return any(isinstance(stage, Retriever) for stage in stages)


def walk(root: Node, asked: Asked) -> dict[str, Outcome]:
    """What every pipeline makes of a question, by its name. Nothing is raised: a failure is an outcome."""
    outcomes: dict[str, Outcome] = {}
    _walk(root, asked, SearchState(asked.query, asked.given), 0.0, {}, outcomes)
    return outcomes


def _walk(
    node: Node,
    asked: Asked,
    state: SearchState,
    seconds: float,
    before: Mapping[int, tuple[Found, ...]],
    outcomes: dict[str, Outcome],
) -> None:
    if node.step is not None:
        began = time.perf_counter()
        try:
            state = node.step.run(state)
        except Exception as error:  # noqa: BLE001  whatever a pipeline fails with is its result for this question
            _failed(node, f"{type(error).__name__}: {error}", outcomes)
            return
        seconds += time.perf_counter() - began
    result = SearchResult(state.query, state.hits, state.degraded, (), state.usage)
    for name in node.ends:
        usage = sum(result.usage.values(), start=Outcome().usage)
        degraded = tuple(map(str, state.degraded))
        cached = any(each.cached for each in state.query.expansions)
        outcomes[name] = Outcome(asked.found(state.hits), seconds, usage, degraded, None, before, cached)
    if node.watched:
        before = {**before, node.position + 1: asked.found(state.hits)}
    # Whoever comes first finds processor caches cold: the pipelines take turns.
    first = int(hash_of(asked.id)[:8], 16) % max(1, len(node.following))
    for following in (*node.following[first:], *node.following[:first]):
        _walk(following, asked, state, seconds, before, outcomes)


def _failed(node: Node, error: str, outcomes: dict[str, Outcome]) -> None:
    for name in node.ends:
        outcomes[name] = Outcome(error=error)
    for following in node.following:
        _failed(following, error, outcomes)


def _hits(ids: Sequence[str], passages: Mapping[str, Passage]) -> tuple[Hit, ...]:
    """Candidates as hits, with the reciprocal of the rank for a score."""
    return tuple(
        Hit(passages[each], 1 / rank, {GIVEN: StageScore(1 / rank, rank)}, each)
        for rank, each in enumerate(ids, 1)
    )
