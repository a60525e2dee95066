"""The values that travel through a search: immutable, comparable, free of any framework."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hydrant.types_context import Context, Span

if TYPE_CHECKING:
    from qdrant_client import models

PassageId: TypeAlias = str | int
FilterLike: TypeAlias = "models.Filter | Mapping[str, Any]"
QueryVector: TypeAlias = (
    "list[float] | list[list[float]] | models.SparseVector | models.RelevanceFeedbackQuery"
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that can be found.

    Attributes:
        text: What is shown, packed into a prompt, and searched.
        id: The caller's own name for it. None lets the collection derive one from the content.
        title: Context that is encoded in front of the text but not shown as part of it: a document's title,
            or the path of headings above a chunk.
        source: Where it comes from: a path or a URL.
        metadata: Fields to filter by and to show. JSON values only.
        origin: What another framework keeps in the payload beside these to make its own object of it again, as it stands
            there: LlamaIndex's serialised node. Empty elsewhere, and no part of what makes two passages equal.
    """

    text: str
    id: PassageId | None = None
    title: str | None = None
    source: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def content(self) -> str:
        """The text an encoder sees: the title, where there is one, on a line of its own above the text."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class StageScore:
    """What one stage said of a hit.

    Attributes:
        score: Its score on that stage's own scale.
        rank: Its rank there, from 1.
        terms: For a sparse source that was asked to explain: the terms that query and passage share, with the product of
            their weights, largest first. Inverse document frequencies that Qdrant multiplies in are not in it.
    """

    score: float
    rank: int
    terms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    Attributes:
        passage: The passage as it is stored.
        score: The score of the last stage that ranked.
        stages: What each stage said, by the stage's name: "dense", "sparse", "fusion", and so on.
        point_id: The id of the Qdrant point, for calls to the client itself.
        spans: The sentences that answer the query, best first, where a `Localiser` looked for them.
    """

    passage: Passage
    score: float
    stages: Mapping[str, StageScore] = field(default_factory=dict)
    point_id: PassageId | None = None
    spans: tuple[Span, ...] = ()

    @property
    def id(self) -> PassageId | None:
        """The caller's own id of the passage, else the point's."""
        return self.point_id if self.passage.id is None else self.passage.id

    @property
    def text(self) -> str:
        """The passage's text."""
        return self.passage.text

    @property
    def title(self) -> str | None:
        """The passage's title or path of headings."""
        return self.passage.title

    @property
    def source(self) -> str | None:
        """Where the passage comes from."""
        return self.passage.source

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The passage's metadata."""
        return self.passage.metadata


@dataclass(frozen=True, slots=True)
class Degradation:
    """A stage that a query went on without, and why."""

    stage: str
    reason: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked of a language model.

    Attributes:
        prompt_tokens: Tokens it read; 0 where it does not say.
        completion_tokens: Tokens it wrote; 0 where it does not say.
        calls: How often it was called; 0 where the answer was known already.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
        )


@dataclass(frozen=True, slots=True)
class Expansion:
    """What one stage added to a query, or why it added nothing.

    Attributes:
        stage: The stage's name.
        texts: The hypotheses, rewrites or keywords; empty where the stage let the query pass as it was.
        role: Which of an encoder's methods they are for: "document" for hypotheses, which look like what is to be found. For
            sparse sources they are always a query.
        kinds: Which kinds of source they are for; the others are asked the query alone.
        mode: "mean" makes one vector of them and the query's, "fuse" asks for each of them and fuses the rankings
            inside the source, "max" ranks by the best similarity to any of them, "none" asks nothing with them.
        query_weight: How much the query counts in a mean, where each of the texts counts 1.
        usage: What the language model was asked for them.
        cached: Whether they were known already.
        dropped: Why samples are missing among the texts.
        decision: What the gate said, where there is one.
    """

    stage: str
    texts: tuple[str, ...] = ()
    role: Literal["query", "document"] = "query"
    kinds: tuple[str, ...] = ("dense",)
    mode: Literal["mean", "fuse", "max", "none"] = "mean"
    query_weight: float = 1.0
    usage: Usage = Usage()
    cached: bool = False
    dropped: tuple[str, ...] = ()
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the conversation that led to a query.

    Attributes:
        role: Who spoke: "user" or "assistant".
        text: What was said.
    """

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Attributes:
        text: The question in the user's words.
        filter: A `qdrant_client.models.Filter`, or a mapping such as `{"lang": "en", "year": {"gte": 2020}}`.
        tenant: Whose documents are searched, in a collection that has a tenant field.
        limit: How many hits are wanted; None leaves it to the retriever.
        offset: How many hits to skip, for paging.
        candidates: How many hits the stages behind the retriever choose from, at least, where no limit says how many are
            wanted exactly. A pipeline sets it for its rerankers.
        vectors: Ready query vectors by source, set by an expansion stage; they replace the encoder's.
        expansions: What the stages before added to it, in their order.
        history: The conversation before it, oldest turn first.
    """

    text: str
    filter: FilterLike | None = None
    tenant: PassageId | None = None
    limit: int | None = None
    offset: int = 0
    candidates: int = 0
    vectors: Mapping[str, QueryVector] = field(default_factory=dict)
    expansions: tuple[Expansion, ...] = ()
    history: tuple[Turn, ...] = ()

    def with_expansion(self, expansion: Expansion) -> Query:
        """The same query with one more expansion."""
        return replace(self, expansions=(*self.expansions, expansion))


@dataclass(frozen=True, slots=True)
class SearchState:
    """What one stage hands to the next. Stages return a new one; nothing is changed in place.

    Attributes:
        query: What is asked for.
        hits: What was found so far, best first.
        degraded: What the query went on without so far.
        usage: What language models were asked so far to rank, by the stage that asked. What expansions cost is theirs to say.
        context: The hits packed for a language model, where a `ContextPacker` did that.
    """

    query: Query
    hits: tuple[Hit, ...] = ()
    degraded: tuple[Degradation, ...] = ()
    usage: Mapping[str, Usage] = field(default_factory=dict)
    context: Context | None = None

    def with_hits(self, hits: Iterable[Hit]) -> SearchState:
        """The same state with other hits."""
        return replace(self, hits=tuple(hits))

    def with_query(self, query: Query) -> SearchState:
        """The same state with another query."""
        return replace(self, query=query)

    def with_degradation(self, degradation: Degradation) -> SearchState:
        """The same state, with one more thing that went wrong on record."""
        return replace(self, degraded=(*self.degraded, degradation))

    def with_context(self, context: Context) -> SearchState:
        """The same state with its hits packed."""
        return replace(self, context=context)

    def with_usage(self, stage: str, usage: Usage) -> SearchState:
        """The same state, with what a stage asked of a language model added to what it asked before."""
        return replace(self, usage={**self.usage, stage: self.usage.get(stage, Usage()) + usage})


@dataclass(frozen=True, slots=True)
class TraceSpan:
    """How long one step took.

    Attributes:
        name: The step.
        depth: How many steps it lies inside.
        start: Seconds since the run began.
        seconds: How long it took, retries included.
        attempts: How often it was tried.
        error: What it failed with, else None.
    """

    name: str
    depth: int
    start: float
    seconds: float
    attempts: int = 1
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search gives back.

    Attributes:
        query: The query as the last stage saw it.
        hits: Best first.
        degraded: The stages the query went on without; empty when all went well.
        trace: How long every step took.
        ranking_usage: What language models were asked to rank, by stage.
        context: The hits packed for a language model; None where no `ContextPacker` was among the stages.
    """

    query: Query
    hits: tuple[Hit, ...]
    degraded: tuple[Degradation, ...] = ()
    trace: tuple[TraceSpan, ...] = ()
    ranking_usage: Mapping[str, Usage] = field(default_factory=dict)
    context: Context | None = None

    @property
    def usage(self) -> dict[str, Usage]:
        """What language models were asked, by the stage that asked: expansions and rerankers."""
        used: dict[str, Usage] = {}
        for expansion in self.query.expansions:
            used[expansion.stage] = used.get(expansion.stage, Usage()) + expansion.usage
        for stage, usage in self.ranking_usage.items():
            used[stage] = used.get(stage, Usage()) + usage
        return used

    @property
    def expansions(self) -> tuple[Expansion, ...]:
        """What the stages before the retriever added to the query, in their order."""
        return self.query.expansions

    @property
    def hypotheses(self) -> tuple[str, ...]:
        """The hypothetical documents that were searched with."""
        return tuple(
            text
            for expansion in self.query.expansions
            if expansion.role == "document"
            for text in expansion.texts
        )
