"""Passages as one text, with a citation for each that knows where in it everything stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from hydrant.context.blocks import Block, blocks_of
from hydrant.context.pieces import Piece
from hydrant.context.template import ContextTemplate
from hydrant.types_context import Citation, Excerpt

Order: TypeAlias = Literal["best first", "ends"]
Rendered: TypeAlias = tuple[str, tuple[Citation, ...]]


class Renderer:
    """Makes the text.

    Args:
        template: How it looks.
        query: The question, for a template that shows it.
        order: In which order the passages stand.
        merge: Whether neighbours become one passage.
    """

    def __init__(self, template: ContextTemplate, query: str, order: Order, *, merge: bool) -> None:
        self.template = template
        self._around = template.around_passages(query)
        self._order: Order = order
        self._merge = merge

    @property
    def frame(self) -> str:
        """The text without a passage."""
        return "".join(self._around)

    def rendered(self, pieces: Sequence[Piece]) -> Rendered:
        """The whole text and its citations; nothing at all without a piece."""
        blocks = _ordered(blocks_of(pieces, merge=self._merge), self._order)
        if not blocks:
            return "", ()
        text = _Text(self._around[0])
        citations = []
        for number, block in enumerate(blocks, 1):
            if number > 1:
                text.add(self.template.separator)
            citations.append(self._cited(text, block, number))
        text.add(self._around[1])
        return str(text), tuple(citations)

    def _cited(self, text: _Text, block: Block, number: int) -> Citation:
        start = text.length
        before, after = self.template.around_text(block.best.hit, number, block.title)
        text.add(before)
        shown = block.shown(self.template.cut)
        excerpts = []
        for stretch in shown.stretches:
            text.add(stretch.before)
            excerpts.append(Excerpt(stretch.candidate.hit, stretch.start, stretch.end, text.length))
            text.add(stretch.candidate.text[stretch.start : stretch.end])
        text.add(shown.after)
        text.add(after)
        return Citation(number, start, text.length, tuple(excerpts), shown.hides)


class _Text:
    """A text that grows and knows its length."""

    def __init__(self, start: str) -> None:
        self._parts = [start]
        self.length = len(start)

    def add(self, part: str) -> None:
        self._parts.append(part)
        self.length += len(part)

    def __str__(self) -> str:
        return "".join(self._parts)


def _ordered(blocks: list[Block], order: Order) -> list[Block]:
    if order == "best first":
        return blocks
    # The best first, the second best last, and so on inwards: the worst ends up in the middle.
    return blocks[::2] + blocks[1::2][::-1]
