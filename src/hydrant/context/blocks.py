"""Neighbouring chunks of one source as one passage, with what they share shown once and what is left out marked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from hydrant.context.pieces import Candidate, Piece, follows

_PATH = " › "


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a hit's text as it is shown.

    Attributes:
        candidate: The hit.
        start: Where it begins in the hit's text.
        end: Where it ends there.
        before: What stands between it and what is shown before it.
    """

    candidate: Candidate
    start: int
    end: int
    before: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of neighbouring hits.

    Attributes:
        stretches: The stretches of their texts, in order.
        after: What stands behind the last of them.
        hides: Whether some text of theirs is not shown.
    """

    stretches: tuple[Stretch, ...]
    after: str
    hides: bool


@dataclass(frozen=True, slots=True)
class Block:
    """Pieces that are shown as one passage.

    Attributes:
        pieces: The pieces, in the order in which they lie in their source.
    """

    pieces: tuple[Piece, ...]

    @property
    def best(self) -> Candidate:
        """The best of its hits."""
        return min((piece.candidate for piece in self.pieces), key=lambda candidate: candidate.rank)

    @property
    def title(self) -> str | None:
        """The title that its passages share; of paths of headings, what they have in common."""
        titles = [piece.candidate.hit.title for piece in self.pieces]
        if len(set(titles)) == 1 or None in titles:
            return titles[0]
        levels = zip(*(title.split(_PATH) for title in titles if title is not None), strict=False)
        common = [level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels)]
        return _PATH.join(common) if common else titles[0]

    def shown(self, mark: str) -> Shown:
        """What is shown of its hits.

        Args:
            mark: What stands where text was left out.
        """
        ranges = [
            (_base(piece) + start, _base(piece) + end, piece.candidate)
            for piece in self.pieces
            for start, end in piece.ranges
        ]
        found: list[Stretch] = []
        hidden = False
        reached = min(_base(piece) for piece in self.pieces)
        for start, end, candidate in sorted(ranges, key=lambda each: (each[0], each[2].rank)):
            begin = max(start, reached)
            if begin < end:
                hides = self._hides(reached, begin)
                hidden |= hides
                before = _between(begin - reached, mark if hides else None, first=not found)
                base = candidate.start or 0
                found.append(Stretch(candidate, begin - base, end - base, before))
                reached = end
        hides = self._hides(reached, max(_base(piece) + len(piece.candidate.text) for piece in self.pieces))
        return Shown(tuple(found), f" {mark}" if mark and hides else "", hidden or hides)

    def _hides(self, start: int, end: int) -> bool:
        """Whether any of its hits has text between two places of the source."""
        return start < end and any(
            piece.candidate.text[max(0, start - _base(piece)) : max(0, end - _base(piece))].strip()
            for piece in self.pieces
        )


def blocks_of(pieces: Sequence[Piece], *, merge: bool) -> list[Block]:
    """The pieces as passages, the one with the best hit first.

    Args:
        pieces: What is shown.
        merge: Whether neighbours become one passage.
    """
    found = [Block((piece,)) for piece in pieces if not merge or piece.candidate.start is None]
    sources: dict[str | None, list[Piece]] = defaultdict(list)
    if merge:
        for piece in pieces:
            if piece.candidate.start is not None:
                sources[piece.candidate.hit.source].append(piece)
    for own in sources.values():
        found += _chains(own)
    return sorted(found, key=lambda block: block.best.rank)


def _chains(pieces: list[Piece]) -> list[Block]:
    """The pieces of one source, in chains of neighbours."""
    chains: list[list[Piece]] = []
    furthest: Candidate | None = None
    for piece in sorted(pieces, key=lambda piece: (_base(piece), piece.candidate.rank)):
        if furthest is None or not follows(furthest, piece.candidate):
            chains.append([])
            furthest = piece.candidate
        elif piece.candidate.end > furthest.end:
            furthest = piece.candidate
        chains[-1].append(piece)
    return [Block(tuple(chain)) for chain in chains]


def _base(piece: Piece) -> int:
    start = piece.candidate.start
    return 0 if start is None else start


def _between(blanks: int, mark: str | None, *, first: bool) -> str:
    """What stands before a stretch, so many characters behind the one before; `mark` where these hold text."""
    if mark:
        return f"{mark} " if first else f" {mark} "
    if first or not blanks:
        return ""
    if mark is not None:
        return " "
    # Only blanks lie between; which ones is not known where no chunk has them.
    return "\n\n" if blanks > 1 else "\n"
