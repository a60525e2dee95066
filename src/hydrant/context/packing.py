"""One packing: choose by estimate, count the whole, and choose again with what that taught, until it fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hydrant.context.fill import Costs, Filled, Filling, Rules, Sentences, WholePassages
from hydrant.context.pieces import Candidate, Piece, candidate_of
from hydrant.context.render import Order, Renderer
from hydrant.context.template import ContextTemplate
from hydrant.context.tokens import Count, Counter
from hydrant.flow import Effect
from hydrant.types import Hit
from hydrant.types_context import Citation, Context, Omission, Span

Spans: TypeAlias = Mapping[int, Sequence[Span]]

# How often the choice is made again. Two or three times do for a tokenizer that nearly adds up.
_ROUNDS = 6
# A hundredth of the budget may stay empty before it is worth choosing again.
_SLACK = 100


@dataclass(frozen=True, slots=True)
class Settings:
    """What a context has to be like; see `ContextPacker`."""

    max_tokens: int
    template: ContextTemplate
    order: Order
    duplicates: float | None
    shortest: int
    merge: bool


class Packing:
    """Some hits on their way into a context.

    Args:
        settings: What it has to be like.
        count: Counts tokens.
        query: The question.
        hits: The hits, best first.
    """

    def __init__(self, settings: Settings, count: Count, query: str, hits: Sequence[Hit]) -> None:
        self._settings = settings
        self._count = count
        self._query = query
        self._hits = hits

    def packed(self, spans: Spans | None = None) -> Context:
        """The context.

        Args:
            spans: The sentences of each hit that may be shown, by the hit's rank from 0; None for whole passages.
        """
        settings = self._settings
        found = [candidate_of(rank, hit) for rank, hit in enumerate(self._hits)]
        candidates = [candidate for candidate in found if candidate.text.strip()]
        if not candidates:
            return Context(left_out=tuple(Omission(each.hit, "blank") for each in found))
        renderer = Renderer(settings.template, self._query, settings.order, merge=settings.merge)
        costs = Costs(self._count, settings.template)
        rules = Rules(settings.duplicates, settings.shortest, settings.merge)
        filling: Filling = (
            WholePassages(candidates, costs, rules)
            if spans is None
            else Sentences(candidates, spans, costs, rules)
        )
        room = settings.max_tokens - costs.text(renderer.frame)
        draft = _Fit(renderer, self._count, settings.max_tokens).best(filling, room, len(candidates))
        return Context(draft.text, draft.tokens, draft.citations, _left_out(found, draft, spans))


@dataclass(frozen=True, slots=True)
class Draft:
    """A text, or the empty one; `said` has the ranks of hits whose text others show."""

    text: str = ""
    tokens: int = 0
    citations: tuple[Citation, ...] = ()
    said: frozenset[int] = frozenset()


class _Fit:
    """Finds what fits by the count of the whole text."""

    def __init__(self, renderer: Renderer, count: Count, max_tokens: int) -> None:
        self._renderer = renderer
        self._count = count
        self._max_tokens = max_tokens

    def best(self, filling: Filling, room: int, number: int) -> Draft:
        """The fullest draft that was found.

        Args:
            filling: Chooses what goes into some room, by an estimate.
            room: The tokens there are for passages.
            number: How many hits there are.
        """
        best: Draft | None = None
        filled = Filled((), frozenset())
        tried = set()
        for _ in range(_ROUNDS):
            if room in tried:
                break
            tried.add(room)
            filled = filling.fill(room)
            draft = self._draft(filled)
            over = draft.tokens - self._max_tokens
            if over <= 0 and (best is None or draft.tokens > best.tokens):
                best = draft
            done = all(piece.is_whole for piece in filled.pieces) and (
                len(filled.pieces) + len(filled.duplicates) == number
            )
            if over <= 0 and (done or -over < max(1, self._max_tokens // _SLACK)):
                break
            room -= over
        return self._dropped(filled) if best is None else best

    def _dropped(self, filled: Filled) -> Draft:
        """What is left when as much as need be is dropped from the end, for a tokenizer that does not add up at all."""
        pieces: Sequence[Piece] = filled.pieces
        while pieces:
            pieces = pieces[: len(pieces) // 2]
            draft = self._draft(Filled(tuple(pieces), filled.duplicates))
            if draft.tokens <= self._max_tokens:
                return draft
        return Draft(said=filled.duplicates)

    def _draft(self, filled: Filled) -> Draft:
        text, citations = self._renderer.rendered(filled.pieces)
        chosen = {piece.candidate.rank for piece in filled.pieces}
        return Draft(text, self._count(text) if text else 0, citations, filled.duplicates | chosen)


def _left_out(found: Sequence[Candidate], draft: Draft, spans: Spans | None) -> tuple[Omission, ...]:
    shown = {id(excerpt.hit) for citation in draft.citations for excerpt in citation.excerpts}
    return tuple(
        Omission(each.hit, _reason(each, draft, spans)) for each in found if id(each.hit) not in shown
    )


def _reason(
    candidate: Candidate, draft: Draft, spans: Spans | None
) -> Literal["budget", "duplicate", "irrelevant", "blank"]:
    if not candidate.text.strip():
        return "blank"
    if candidate.rank in draft.said:
        return "duplicate"
    return "irrelevant" if spans is not None and not spans.get(candidate.rank) else "budget"


class Load(Effect[Count]):
    """Ask for a counter's function; the reply is that.

    Args:
        counter: The counter.
    """

    name = "load tokens"

    def __init__(self, counter: Counter) -> None:
        self._counter = counter

    def call(self, timeout: float | None) -> Count:
        """The function, its tables loaded."""
        return self._counter.load()


class Pack(Effect[Context]):
    """Pack; the reply is the context.

    Args:
        packing: The hits.
        spans: The sentences that may be shown; None for whole passages.
    """

    name = "pack"

    def __init__(self, packing: Packing, spans: Spans | None = None) -> None:
        self._packing = packing
        self._spans = spans

    def call(self, timeout: float | None) -> Context:
        """The context."""
        return self._packing.packed(self._spans)
