"""What of which hit is shown, and which hits are neighbours in one source."""

from __future__ import annotations

from dataclasses import dataclass

from hydrant.context.tokens import countable
from hydrant.types import Hit

# Where chunks say their place in the text they were cut from: ours, LangChain's splitters, Haystack's.
_START_KEYS = ("start", "start_index", "split_idx_start")
# Chunks of one text have only blanks between them, and no more than a few.
_BLANKS = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hit that may be shown.

    Attributes:
        rank: Its place among the hits, from 0.
        hit: The hit.
        text: Its text, fit for tokenizers.
        start: Where the text begins in its source; None where that is not known.
    """

    rank: int
    hit: Hit
    text: str
    start: int | None

    @property
    def end(self) -> int:
        """Where the text ends in its source."""
        return (0 if self.start is None else self.start) + len(self.text)


@dataclass(frozen=True, slots=True)
class Piece:
    """What is shown of a hit.

    Attributes:
        candidate: The hit.
        ranges: The stretches of its text, in order and apart.
    """

    candidate: Candidate
    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def whole(cls, candidate: Candidate) -> Piece:
        """All of the text but the blanks around it."""
        text = candidate.text
        start = len(text) - len(text.lstrip())
        return cls(candidate, ((start, max(start, len(text.rstrip()))),))

    @property
    def is_whole(self) -> bool:
        """Whether all of the text is shown."""
        return self.ranges == Piece.whole(self.candidate).ranges


def candidate_of(rank: int, hit: Hit) -> Candidate:
    """A hit with its place in its source, where its metadata says one that can be true."""
    return Candidate(rank, hit, countable(hit.text), None if hit.source is None else _start(hit))


def _start(hit: Hit) -> int | None:
    key = next((key for key in _START_KEYS if key in hit.metadata), None)
    start = None if key is None else hit.metadata[key]
    if isinstance(start, bool) or not isinstance(start, int) or start < 0:
        return None
    end = hit.metadata.get("end") if key == "start" else start + len(hit.text)
    # A field of that name may mean anything, such as a time.
    return start if end == start + len(hit.text) else None


def follows(one: Candidate, other: Candidate) -> bool:
    """Whether two chunks of one source touch or overlap, the first of them beginning no later."""
    if one.start is None or other.start is None or one.hit.source != other.hit.source:
        return False
    if other.start > one.end + _BLANKS:
        return False
    end = min(one.end, other.end)
    if other.start >= end:
        return True
    # Texts of two versions of a file may lie in each other's place and be no neighbours.
    shared = one.text[other.start - one.start : end - one.start]
    return other.text.startswith(shared)
