"""Which passages, or which of their sentences, go into the room there is.

What a part adds is estimated by counting it alone. Byte-pair encodings are not additive, so that is off by a token here and
there; the packer counts the whole text and comes back with a little more or less room.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import pstdev

from hydrant.context.cuts import beginning
from hydrant.context.duplicates import Seen, Shingles, shingles_of
from hydrant.context.pieces import Candidate, Piece, follows
from hydrant.context.template import ContextTemplate
from hydrant.context.tokens import Count
from hydrant.types_context import Span

# What is longer than so many characters a token is not tried whole: chewing through megabytes would find nothing else.
_CHARACTERS_A_TOKEN = 64


class Costs:
    """How many tokens the parts of a context have, each counted once.

    Args:
        count: Counts tokens.
        template: How a passage looks.
    """

    def __init__(self, count: Count, template: ContextTemplate) -> None:
        self._count = count
        self._template = template
        self._known: dict[str, int] = {}
        self.mark = count(f" {template.cut} ")
        self._separator = count(template.separator)

    def text(self, text: str) -> int:
        """The tokens of a text."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._count(text)
        return known

    def frame(self, candidate: Candidate) -> int:
        """The tokens of what stands around a passage's text."""
        around = self._template.around_text(candidate.hit, candidate.rank + 1, candidate.hit.title)
        return self.text("".join(around)) + self._separator


@dataclass(frozen=True, slots=True)
class Filled:
    """What goes in.

    Attributes:
        pieces: What is shown, in the order in which it was chosen.
        duplicates: The ranks of hits that say nearly what another says.
    """

    pieces: tuple[Piece, ...]
    duplicates: frozenset[int]


class Filling(ABC):
    """A way to choose what goes in."""

    @abstractmethod
    def fill(self, room: int) -> Filled:
        """What goes into so many tokens, by the estimate."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What passages have to be like.

    Attributes:
        duplicates: From which share of common shingles on a passage is a duplicate; None for never.
        shortest: The fewest tokens that the beginning of a passage is worth showing with.
        merge: Whether neighbours become one passage.
    """

    duplicates: float | None
    shortest: int
    merge: bool


class WholePassages(Filling):
    """Passages as they are, the best first; one that does not fit is cut, or left out and the next one tried.

    Args:
        candidates: The hits, best first.
        costs: What they cost.
        rules: What they have to be like.
    """

    def __init__(self, candidates: Sequence[Candidate], costs: Costs, rules: Rules) -> None:
        self._candidates = candidates
        self._costs = costs
        self._rules = rules
        self._shingles: dict[int, Shingles] = {}

    def fill(self, room: int) -> Filled:
        """As many as fit."""
        chosen: list[Piece] = []
        placed: dict[str | None, list[Candidate]] = defaultdict(list)
        duplicates = set()
        seen = Seen(self._rules.duplicates)
        least = min(self._rules.shortest, room // 4)
        for candidate in self._candidates:
            if room <= least:
                break
            shingles = self._shingles_of(candidate)
            if seen.holds(shingles):
                duplicates.add(candidate.rank)
                continue
            near = self._neighbours(candidate, placed)
            piece, cost = self._piece(candidate, near, room, least)
            if piece is not None:
                chosen.append(piece)
                placed[candidate.hit.source].append(candidate)
                seen.add(shingles)
                room -= cost
        return Filled(tuple(chosen), frozenset(duplicates))

    def _piece(
        self, candidate: Candidate, near: Sequence[Candidate], room: int, least: int
    ) -> tuple[Piece | None, int]:
        """What of a hit goes into the room, and what it costs."""
        frame = 0 if near else self._costs.frame(candidate)
        whole = Piece.whole(candidate)
        start, end = _unshared(candidate, near, *whole.ranges[0])
        if end - start <= room * _CHARACTERS_A_TOKEN:
            cost = frame + self._costs.text(candidate.text[start:end])
            if cost <= room:
                return whole, cost
        frame += self._costs.mark
        part = _beginning(self._costs, candidate.text[start:end], room - frame, least)
        if part is None:
            return None, 0
        return Piece(candidate, ((start, start + len(part)),)), frame + self._costs.text(part)

    def _neighbours(
        self, candidate: Candidate, placed: Mapping[str | None, Sequence[Candidate]]
    ) -> list[Candidate]:
        if not self._rules.merge or candidate.start is None:
            return []
        return [other for other in placed.get(candidate.hit.source, ()) if _touch(candidate, other)]

    def _shingles_of(self, candidate: Candidate) -> Shingles:
        found = self._shingles.get(candidate.rank)
        if found is None:
            found = self._shingles[candidate.rank] = (
                frozenset() if self._rules.duplicates is None else shingles_of(candidate.text)
            )
        return found


class Sentences(Filling):
    """The sentences nearest to the query, of whatever passages, those of the best passages first.

    A stretch that is longer than all the room there is, such as many neighbours that were read together, is cut.

    By their similarity alone they would be worse than whole passages, since the ranking of the hits knows more. So from a
    sentence's similarity, in standard deviations from the mean, the binary logarithm of its hit's rank is taken off
    (`python -m benchmarks.context --only answers`).

    Args:
        candidates: The hits, best first.
        spans: The sentences of each hit that may be shown, by its rank.
        costs: What they cost.
        rules: What passages have to be like.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        spans: Mapping[int, Sequence[Span]],
        costs: Costs,
        rules: Rules,
    ) -> None:
        self._costs = costs
        self._rules = rules
        self._kept: list[Candidate] = []
        self._duplicates = set()
        seen = Seen(rules.duplicates)
        for candidate in candidates:
            shingles = frozenset() if rules.duplicates is None else shingles_of(candidate.text)
            if seen.holds(shingles):
                self._duplicates.add(candidate.rank)
            else:
                seen.add(shingles)
                self._kept.append(candidate)
        offered = [
            (candidate, span)
            for candidate in self._kept
            for span in spans.get(candidate.rank, ())
            if 0 <= span.start < span.end <= len(candidate.text)
        ]
        spread = pstdev([span.score for _, span in offered]) if offered else 1.0
        self._ranked = sorted(
            offered, key=lambda each: math.log2(1 + each[0].rank) - each[1].score / (spread or 1.0)
        )

    def fill(self, room: int) -> Filled:
        """As many as fit, each text once."""
        chosen: dict[int, list[tuple[int, int]]] = defaultdict(list)
        said = set()
        longest = room * _CHARACTERS_A_TOKEN
        least = min(self._rules.shortest, room // 4)
        whole = room
        for candidate, span in self._ranked:
            frame = self._costs.mark
            frame += 0 if candidate.rank in chosen else self._costs.frame(candidate)
            text = candidate.text[span.start : span.end]
            if len(text) > longest or frame + self._costs.text(text) > whole:
                text = _beginning(self._costs, text, room - frame, least) or ""
            key = " ".join(text.split()).casefold()
            cost = frame + self._costs.text(text)
            if key and key not in said and cost <= room:
                said.add(key)
                chosen[candidate.rank].append((span.start, span.start + len(text)))
                room -= cost
        pieces = [
            Piece(candidate, _joined(candidate.text, chosen[candidate.rank]))
            for candidate in self._kept
            if candidate.rank in chosen
        ]
        return Filled(tuple(pieces), frozenset(self._duplicates))


def _beginning(costs: Costs, text: str, room: int, least: int) -> str | None:
    """As much of the beginning of a text as fits; None where that is too little."""
    if room <= least:
        return None
    count = costs.text
    text = text[: room * _CHARACTERS_A_TOKEN]
    return beginning(text, lambda part: count(part) <= room, lambda part: count(part) >= least)


def _touch(one: Candidate, other: Candidate) -> bool:
    if one.start is None or other.start is None:
        return False
    return follows(one, other) if one.start <= other.start else follows(other, one)


def _unshared(candidate: Candidate, near: Sequence[Candidate], start: int, end: int) -> tuple[int, int]:
    """The part of a text, from `start` to `end`, that its neighbours do not show."""
    base = candidate.start or 0
    for other in near:
        if (other.start or 0) <= base:
            start = max(start, min(other.end - base, end))
        else:
            end = min(end, max((other.start or 0) - base, start))
    return start, end


def _joined(text: str, ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The ranges in order, those with nothing but blanks between them as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and not text[found[-1][1] : start].strip():
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return tuple(found)
