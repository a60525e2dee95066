"""The stage that packs hits into a text for a language model, never longer than its budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hydrant.context.checks import check_choice, check_flag, check_number, check_whole
from hydrant.context.localise import scored_sentences
from hydrant.context.packing import Load, Pack, Packing, Settings, Spans
from hydrant.context.similarity import EncoderLike, encoder_of
from hydrant.context.template import ContextTemplate
from hydrant.context.tokens import Counter, counter_of
from hydrant.errors import ConfigurationError, DeadlineExceeded, InputError, ModelNotFound
from hydrant.flow import Flow
from hydrant.pipeline import Stage
from hydrant.types import Degradation, SearchState
from hydrant.types_context import Context, Span


@dataclass(frozen=True)
class ContextPacker(Stage):
    """Packs the hits into one text for a language model: `result.context`. The hits themselves go on as they are.

    The text has at most `max_tokens` tokens: the whole of it is counted, numbers, headings and separators included, so
    that holds for any tokenizer, text and budget. The best hits come first into the room there is. One that does not fit
    is cut at the end of a sentence or word where enough of it is left, else left out, and the next is tried. What was left out is
    on the context, with the reason.

    Attributes:
        max_tokens: The budget.
        model: Whose tokens are counted: "cl100k_base", "o200k_base", the name of a model of OpenAI's such as "gpt-4o", a
            tokenizer (of transformers, tokenizers, tiktoken, or anything with `encode`), or a function from a text to its
            tokens or their number. For OpenAI's encodings the tables that the package bpe-openai carries are used where
            it is installed (the extra `offline`), else those that tiktoken fetches; where there are neither, bytes are
            counted, which are never fewer than tokens, and `result.degraded` says so.
        extract: "sentences" shows, where not everything fits, only the sentences nearest to the query, those of better hits
            first, in the order in which they stand and with a mark where something was left out. None shows whole passages.
        encoder: What compares sentences with the query: an encoder, or a collection, whose dense encoder is taken. None takes
            the spans that a `Localiser` before it left on the hits.
        threshold: The least score of a sentence that is shown, on the encoder's scale (a cosine for dense vectors); with it
            sentences are always extracted.
        order: "best first", or "ends": the best at both ends and the worst in the middle, which models read least (Liu et
            al., "Lost in the Middle: How Language Models Use Long Contexts", TACL 2024).
        duplicates: A passage of whose three-word runs this share stands in one that is shown already is left out; None shows all.
        merge: Whether chunks of one source that touch or overlap become one passage, what they share shown once. Their
            places are those that Hydrant's chunker, LangChain's and Haystack's splitters leave in the metadata.
        shortest: The fewest tokens that the beginning of a passage is worth showing with.
        template: How it looks.
        most: How many sentences are compared at most; of more, neighbours are read together.
        timeout: Seconds that the stage may take. Where the sentences are not compared in time, whole passages are packed.
        on_error: "raise" makes a failure the caller's.

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    max_tokens: int
    model: str | Callable[[str], Any] | Any = "cl100k_base"
    extract: Literal["sentences"] | None = None
    encoder: EncoderLike | None = None
    threshold: float | None = None
    order: Literal["best first", "ends"] = "best first"
    duplicates: float | None = 0.8
    merge: bool = True
    shortest: int = 32
    template: ContextTemplate = field(default_factory=ContextTemplate)
    most: int = 512
    timeout: float | None = None
    on_error: Literal["continue", "raise"] = "continue"
    _counter: Counter = field(init=False, repr=False, compare=False)

    name = "context"

    def __post_init__(self) -> None:
        check_whole("max_tokens", self.max_tokens)
        check_whole("shortest", self.shortest)
        check_whole("most", self.most)
        check_choice("extract", self.extract, (None, "sentences"))
        check_choice("order", self.order, ("best first", "ends"))
        check_choice("on_error", self.on_error, ("continue", "raise"))
        check_flag("merge", self.merge)
        check_number("threshold", self.threshold)
        check_number("duplicates", self.duplicates, above=0, at_most=1)
        check_number("timeout", self.timeout, above=0)
        if self.extract is None and (self.encoder is not None or self.threshold is not None):
            msg = "encoder and threshold go with extract='sentences' only; set that too, or leave them out"
            raise ConfigurationError(msg)
        if self.encoder is not None:
            encoder_of(self.encoder)
        if not isinstance(self.template, ContextTemplate):
            msg = f"template must be a ContextTemplate such as ContextTemplate(passage='{{text}}'), got {self.template!r}"
            raise ConfigurationError(msg)
        object.__setattr__(self, "_counter", counter_of(self.model))

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Pack whole passages, and where that is asked for and leaves something out, the sentences nearest to the query."""
        packing, state = yield from self._begun(state)
        context: Context = yield Pack(packing)
        state = state.with_context(context)
        if self.extract is None or (self.threshold is None and not _lacks(context)):
            return state
        if self.encoder is None and not any(hit.spans for hit in state.hits):
            reason = (
                "without extraction: no hit has spans; give encoder=..., or put a Localiser before the packer"
            )
            return state.with_degradation(Degradation(self.name, reason))
        try:
            spans = yield from self._spans(state)
            context = yield Pack(packing, spans)
        except Exception as error:
            # An encoder may fail in any way, or too late; whole passages are packed already.
            if self.on_error == "raise" or isinstance(error, InputError | ConfigurationError):
                raise
            return state.with_degradation(Degradation(self.name, _whole_because(error)))
        return state.with_context(context)

    def without(self, state: SearchState) -> SearchState:
        """Whole passages by a count that needs nothing loaded, where the model has one; else no context."""
        bound = self._counter.bound()
        if bound is None:
            return state
        return state.with_context(Packing(self._settings(), bound, state.query.text, state.hits).packed())

    def warm_up(self) -> None:
        """Load the token tables, and the encoder's model."""
        self._counter.load()
        if self.encoder is not None:
            encoder_of(self.encoder).warm_up()

    def _begun(self, state: SearchState) -> Flow[tuple[Packing, SearchState]]:
        try:
            count = yield Load(self._counter)
        except ModelNotFound as error:
            bound = self._counter.bound()
            if bound is None or self.on_error == "raise":
                raise
            count = bound
            state = state.with_degradation(Degradation(self.name, f"counted bytes for tokens: {error}"))
        return Packing(self._settings(), count, state.query.text, state.hits), state

    def _spans(self, state: SearchState) -> Flow[Spans]:
        found: Sequence[Sequence[Span]] = [hit.spans for hit in state.hits]
        if self.encoder is not None:
            texts = [hit.text for hit in state.hits]
            found = yield from scored_sentences(encoder_of(self.encoder), state.query.text, texts, self.most)
        return {
            rank: [span for span in spans if self.threshold is None or span.score >= self.threshold]
            for rank, spans in enumerate(found)
        }

    def _settings(self) -> Settings:
        return Settings(
            self.max_tokens, self.template, self.order, self.duplicates, self.shortest, merge=self.merge
        )


def _lacks(context: Context) -> bool:
    """Whether something found no room."""
    cut = any(citation.shortened for citation in context.citations)
    return cut or any(omission.reason == "budget" for omission in context.left_out)


def _whole_because(error: Exception) -> str:
    said = str(error) if isinstance(error, DeadlineExceeded) else f"{type(error).__name__}: {error}"
    return f"without extraction: {said}"
