"""Which sentences of the hits answer the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from hydrant.context.checks import check_choice, check_number, check_whole
from hydrant.context.similarity import EncoderLike, encoder_of, similarities
from hydrant.context.tokens import countable
from hydrant.encode.base import Encode, Encoder
from hydrant.encode.sentences import sentence_spans
from hydrant.flow import Flow, Together
from hydrant.pipeline import Stage
from hydrant.types import SearchState
from hydrant.types_context import Span


@dataclass(frozen=True)
class Localiser(Stage):
    """Finds, for each hit, the sentences that answer the query: `hit.spans`, with their places in the passage's text.

    It ranks no hit and drops none. All sentences of all hits are encoded in one go, as documents, and compared with the query,
    as a bi-encoder compares passages; generation-augmented retrieval (GeAR) calls this localising the information. Where it
    fails, the hits go on without spans, and `result.degraded` says so.

    Attributes:
        encoder: An encoder, or a collection, whose dense encoder is taken. The encoder's `Encoder.kind` decides what a score is:
            a cosine for dense vectors, a mean of cosines for token vectors, a product for sparse ones.
        count: How many sentences of a hit at most.
        threshold: The least score of a sentence; a hit may end up with none.
        most: How many sentences are compared at most; of more, neighbours are read together.
        timeout: Seconds that the stage may take.
        on_error: "raise" makes a failure the caller's.

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    encoder: EncoderLike
    count: int = 3
    threshold: float | None = None
    most: int = 512
    timeout: float | None = None
    on_error: Literal["continue", "raise"] = "continue"

    name = "localise"

    def __post_init__(self) -> None:
        encoder_of(self.encoder)
        check_whole("count", self.count)
        check_whole("most", self.most)
        check_number("threshold", self.threshold)
        check_number("timeout", self.timeout, above=0)
        check_choice("on_error", self.on_error, ("continue", "raise"))

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Compare the sentences.

        Raises:
            EncodingError: The encoder made no usable vectors.
        """
        texts = [hit.text for hit in state.hits]
        found = yield from scored_sentences(encoder_of(self.encoder), state.query.text, texts, self.most)
        return state.with_hits(
            replace(hit, spans=self._best(spans)) for hit, spans in zip(state.hits, found, strict=True)
        )

    def warm_up(self) -> None:
        """Load the encoder's model."""
        encoder_of(self.encoder).warm_up()

    def _best(self, spans: Sequence[Span]) -> tuple[Span, ...]:
        near = [span for span in spans if self.threshold is None or span.score >= self.threshold]
        return tuple(sorted(near, key=lambda span: (-span.score, span.start))[: self.count])


def scored_sentences(
    encoder: Encoder, query: str, texts: Sequence[str], most: int
) -> Flow[list[tuple[Span, ...]]]:
    """The sentences of each text, in their order, with their similarity to the query.

    Args:
        encoder: What compares them.
        query: The question.
        texts: The texts.
        most: How many sentences are compared at most, shared fairly among the texts; each text has one all the same.
    """
    writable = [countable(text) for text in texts]
    places = _fairly([sentence_spans(text) for text in writable], most)
    flat = [text[start:end] for text, own in zip(writable, places, strict=True) for start, end in own]
    if not flat:
        return [() for _ in texts]
    # The same sentence stands in overlapping chunks.
    distinct = list(dict.fromkeys(flat))
    asked: Any
    made: Any
    asked, made = yield Together([Encode(encoder, [query]), Encode(encoder, distinct, "document")])
    scores = dict(zip(distinct, similarities(encoder, asked[0], made), strict=True))
    return [
        tuple(Span(start, end, text[start:end], scores[shown[start:end]]) for start, end in own)
        for text, shown, own in zip(texts, writable, places, strict=True)
    ]


def _fairly(places: Sequence[list[tuple[int, int]]], most: int) -> list[list[tuple[int, int]]]:
    """The sentences, neighbours joined in the texts that have more than their share."""
    room = most
    shares = []
    for left, own in enumerate(sorted(map(len, places))):
        share = max(1, room // (len(places) - left))
        shares.append(min(own, share))
        room -= shares[-1]
    allowed = max(shares, default=1)
    return [_grouped(own, max(1, allowed)) for own in places]


def _grouped(own: list[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    if len(own) <= most:
        return own
    ends = iter(len(own) * number // most for number in range(1, most + 1))
    found = []
    start = 0
    for end in islice(ends, most):
        found.append((own[start][0], own[end - 1][1]))
        start = end
    return found
