"""What all stages share that have a language model expand the query: gate, cache, generation, repair."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from hydrant.errors import ConfigurationError, GenerationError, StorageError
from hydrant.expand.flight import Flights, Landing
from hydrant.expand.gate import LOOKED_AT, Decision, Gate, GateLike, as_gate
from hydrant.expand.prompts import check_language, language_note
from hydrant.expand.repair import Repair, Repaired
from hydrant.flow import Flow, Within
from hydrant.generate.base import Generate, TextGenerator
from hydrant.generate.cache import (
    CacheGet,
    CachePut,
    ExpansionCache,
    MemoryCache,
    Texts,
    as_cache,
    kept_under,
)
from hydrant.generate.function import TextFunction, as_generator
from hydrant.generate.requests import Generation, GenerationRequest, Message, check_whole
from hydrant.generate.sampling import said
from hydrant.pipeline import Stage
from hydrant.types import Degradation, Expansion, Query, SearchState, Usage

# No language needs more letters for a token than this, on the average of a passage.
_CHARACTERS_A_TOKEN = 6
_FLIGHTS = Flights()


@dataclass(frozen=True)
class Outcome:
    """What there is to expand with, and where it came from."""

    texts: Texts
    usage: Usage = field(default_factory=Usage)
    dropped: tuple[str, ...] = ()
    cached: bool = False
    degraded: tuple[Degradation, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LlmExpansion(Stage):
    """A stage in which a language model expands the query; where it fails, the search goes on with the query as it was.

    Subclasses say what is asked (`request`), what is made of the answers (`texts`), and what becomes of the query
    (`expanded`).

    Attributes:
        llm: A `TextGenerator`, or a function from prompt to text.
        temperature: How freely the model draws.
        max_tokens: How long each answer may be; what is longer all the same is cut.
        seed: Makes the draws repeatable, where the model allows it.
        language: In which language to write: "auto" for the query's, a name such as "German", None to say nothing about it.
            With "auto" an answer that is clearly written in another script is dropped.
        gate: Whether to expand: "always", "never", "auto", a `Gate`, or a function of the query and the hits. Hits are those of
            `probe`, or else of the stages before. "auto" expands where a first search seems not to have found what was asked
            for (`hydrant.expand.gate.confidence`); with a good language model it saves calls and costs some quality.
        probe: A cheap search for the gate to judge by: ten hits are asked for, whatever page the query wants. None in a
            pipeline is the first retriever behind the stage, where there is none before it.
        cache: Where answers are kept: a `MemoryCache`, a `DiskCache` or the path of one, None for nowhere.
        timeout: Seconds that the stage may take; it can only shorten what the caller's deadline leaves.
        on_error: "raise" makes a failure the caller's.
    """

    llm: TextGenerator | TextFunction = field(kw_only=False)
    temperature: float = 0.0
    max_tokens: int = 160
    seed: int | None = None
    language: str | None = "auto"
    gate: GateLike = "always"
    probe: Stage | None = None
    cache: ExpansionCache | str | Path | None = field(default_factory=MemoryCache, compare=False)
    timeout: float | None = None
    on_error: Literal["continue", "raise"] = "continue"

    _owns_cache: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "_owns_cache", not isinstance(self.cache, ExpansionCache))
        object.__setattr__(self, "llm", as_generator(self.llm))
        object.__setattr__(self, "cache", as_cache(self.cache))
        object.__setattr__(self, "gate", as_gate(self.gate))
        check_language(self.language)
        check_whole("max_tokens", self.max_tokens)
        if self.probe is not None and not isinstance(self.probe, Stage):
            msg = f"probe must be a stage that searches, such as docs.retriever(limit=10), got {self.probe!r}"
            raise ConfigurationError(msg)
        _check_timeout(self.timeout)
        if self.on_error not in {"continue", "raise"}:
            msg = f"on_error must be 'continue' or 'raise', got {self.on_error!r}"
            raise ConfigurationError(msg)
        # Settings that no request can have are found here, and not at the first query.
        self.request(Query("a question"))

    @abstractmethod
    def request(self, query: Query) -> GenerationRequest | None:
        """What the model is asked; None where there is nothing to ask, and the query passes as it is."""

    @abstractmethod
    def texts(self, generation: Generation, query: Query) -> Repaired:
        """What is made of the answers."""

    @abstractmethod
    def expanded(self, query: Query, expansion: Expansion) -> Query:
        """The query with the texts of the expansion, the rest of which is filled in already."""

    @property
    def wanted(self) -> int:
        """How many texts there must be, or the stage says that there were fewer."""
        return 1

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Ask the gate, the cache, and then the model.

        Raises:
            GenerationError: The model failed, or said nothing to search with.
            DeadlineExceeded: It did not answer in time.
        """
        query = state.query
        decision = yield from self._decision(state)
        if not decision.expand:
            passed = Expansion(self.name, mode="none", decision=decision.reason)
            return state.with_query(query.with_expansion(passed))
        request = self.request(query)
        if request is None:
            return state
        outcome: Outcome = yield from self._outcome(request, query)
        for degradation in outcome.degraded:
            state = state.with_degradation(degradation)
        expansion = Expansion(
            self.name,
            outcome.texts,
            usage=outcome.usage,
            cached=outcome.cached,
            dropped=outcome.dropped,
            decision=decision.reason,
        )
        return state.with_query(self.expanded(query, expansion))

    def placed(self, before: Sequence[Stage], after: Sequence[Stage]) -> Stage:
        """The stage with a search for its gate to judge by: the one that follows, where none was given or comes before."""
        gate: Gate = as_gate(self.gate)
        if self.probe is not None or not gate.looks_at_hits or any(stage.required for stage in before):
            return self
        search = next((stage for stage in after if stage.required), None)
        if search is None:
            return self
        judging = replace(self, probe=search)
        object.__setattr__(judging, "_owns_cache", self._owns_cache)
        return judging

    def warm_up(self) -> None:
        """Load the model, or open the connection."""
        self._generator.warm_up()

    def close(self) -> None:
        """Close a cache that was given as a path. The model was given, and other stages may use it."""
        cache = self._cache
        if cache is not None and self._owns_cache:
            cache.close()

    def messages(self, prompt: str, system: str | None = None, *, pinned: bool = True) -> tuple[Message, ...]:
        """The conversation for a prompt.

        Args:
            prompt: The user's message.
            system: What the model is to be.
            pinned: Whether a sentence is to pin the language.
        """
        notes = [note for note in (system, language_note(self.language) if pinned else None) if note]
        first = (Message("system", " ".join(notes)),) if notes else ()
        return (*first, Message("user", prompt))

    @property
    def repair(self) -> Repair:
        """How answers are made fit."""
        return Repair(_CHARACTERS_A_TOKEN * self.max_tokens, same_language=self.language == "auto")

    @property
    def _generator(self) -> TextGenerator:
        return as_generator(self.llm)

    @property
    def _cache(self) -> ExpansionCache | None:
        return as_cache(self.cache)

    def _decision(self, state: SearchState) -> Flow[Decision]:
        gate: Gate = as_gate(self.gate)
        hits = state.hits
        if gate.looks_at_hits and self.probe is not None:
            # The same ten hits for every page of a query: they are to be expanded all or none.
            query = replace(state.query, limit=LOOKED_AT, offset=0, candidates=0)
            found: SearchState = yield Within(self.probe.flow(SearchState(query)), "probe")
            hits = found.hits
        return gate.decide(state.query, hits)

    def _outcome(self, request: GenerationRequest, query: Query) -> Flow[Outcome]:
        """The answer that is kept; else the one that somebody is waiting for already; else a new one."""
        cache, key = self._kept_under(request, query)
        if cache is None:
            return (yield from self._generated(request, query, None, key))
        try:
            known = yield from _known(cache, key)
            flight = None if known is not None else _FLIGHTS.join((id(cache), key))
            if flight is not None:
                yield Landing(flight)
                known = yield from _known(cache, key)
        except StorageError as error:
            outcome: Outcome = yield from self._generated(request, query, None, key)
            return replace(outcome, degraded=(self._without_cache(error), *outcome.degraded))
        if known is not None:
            return Outcome(known, cached=True)
        if flight is not None:
            # Whoever was first has failed, or gave up: from here on everybody asks for themselves.
            return (yield from self._generated(request, query, cache, key))
        try:
            return (yield from self._generated(request, query, cache, key))
        finally:
            _FLIGHTS.end((id(cache), key))

    def _generated(
        self, request: GenerationRequest, query: Query, cache: ExpansionCache | None, key: str
    ) -> Flow[Outcome]:
        degraded: tuple[Degradation, ...] = ()
        generation: Generation = yield Generate(self._generator, request)
        repaired = self.texts(generation, query)
        dropped = (*generation.failures, *repaired.dropped)
        if not repaired.texts:
            msg = f"the language model wrote nothing to search with: {said(dropped) or 'no answer at all'}"
            raise GenerationError(msg)
        # A model that says the same again has nothing else to say: asking it once more would bring no more.
        if repaired.said < self.wanted:
            few = f"{repaired.said} of the {self.wanted} texts that suffice: {said(dropped) or 'the model wrote no more'}"
            degraded = (Degradation(self.name, few),)
        elif cache is not None:
            degraded = yield from self._keep(cache, key, repaired.texts)
        return Outcome(repaired.texts, generation.usage, dropped, degraded=degraded)

    def _keep(self, cache: ExpansionCache, key: str, texts: Texts) -> Flow[tuple[Degradation, ...]]:
        try:
            if cache.on_disk:
                yield CachePut(cache, key, texts)
            else:
                cache.put(key, texts)
        except Exception as error:  # noqa: BLE001  the answer is there: neither a full disk nor the time may cost it
            return (self._without_cache(error),)
        return ()

    def _without_cache(self, error: Exception) -> Degradation:
        return Degradation(self.name, f"without its cache: {error}")

    def _kept_under(self, request: GenerationRequest, query: Query) -> tuple[ExpansionCache | None, str]:
        cache = self._cache
        if cache is None:
            return None, ""
        key = kept_under(cache, self._generator, request, self.name, query.text, repr(self.repair))
        return (None, "") if key is None else (cache, key)


def _known(cache: ExpansionCache, key: str) -> Flow[Texts | None]:
    if not cache.on_disk:
        return cache.get(key)
    known: Texts | None = yield CacheGet(cache, key)
    return known


def _check_timeout(timeout: object) -> None:
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (number and timeout > 0):  # type: ignore[operator]
        msg = f"timeout must be a number of seconds above 0, or None for no limit of its own; got {timeout!r}"
        raise ConfigurationError(msg)
