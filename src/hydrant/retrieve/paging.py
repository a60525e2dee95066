"""Pages that fit together.

Two things make the pages of a fused ranking overlap or skip. Qdrant leaves the order among equal scores open, and two
sources that each hold a passage the other lacks produce equal RRF scores all the time. And a ranking fused from deeper
lists is another ranking, so a depth that grows with the offset tears the pages apart.

So ties are ordered here, by point id, over a window that is a little wider than the page; and the depth depends on the page's
size alone. Beyond that depth the ranking goes on with what twice the depth adds, then four times, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter, ne
from typing import TYPE_CHECKING, Any, TypeVar

from hydrant.retrieve.request import Page, Part

if TYPE_CHECKING:
    from qdrant_client import models

Id = TypeVar("Id", bound=Hashable)
T = TypeVar("T")

# Past this many equal scores around a page's edge their order is left to the engine.
_WIDEST = 4096


@dataclass(frozen=True, slots=True)
class Window:
    """A page with some hits on both sides, wide enough to see where runs of equal scores begin and end.

    Attributes:
        page: The page.
        slack: How many further hits are asked for on each side.
    """

    page: Page
    slack: int

    @property
    def part(self) -> Part:
        """The stretch of the ranking to ask for."""
        start = max(0, self.page.offset - self.slack)
        return Part(limit=self.page.end + self.slack - start, offset=start)

    def closed(self, points: Sequence[models.ScoredPoint]) -> bool:
        """Whether no run of equal scores crosses both an edge of the page and the same edge of the window."""
        if self.slack > _WIDEST:
            return True
        part = self.part
        first, last = self.page.offset - part.offset, self.page.end - part.offset
        begins = part.offset == 0 or first >= len(points) or points[0].score != points[first].score
        ends = len(points) < part.limit or points[-1].score != points[last - 1].score
        return begins and ends

    def wider(self) -> Window:
        """The same page with more around it."""
        return Window(self.page, self.slack * 8)

    def cut(self, points: Sequence[models.ScoredPoint], *, descending: bool) -> list[models.ScoredPoint]:
        """The page itself, ties ordered by id."""
        first = self.page.offset - self.part.offset
        return in_order(points, descending=descending)[first : first + self.page.limit]


def in_order(points: Iterable[models.ScoredPoint], *, descending: bool = True) -> list[models.ScoredPoint]:
    """Best first, and among equals by id, so that the same ranking comes out every time."""
    return _in_order(points, attrgetter("score"), attrgetter("id"), descending=descending)


def pairs_in_order(ranking: Iterable[tuple[Id, float]], *, descending: bool = True) -> list[tuple[Id, float]]:
    """The same for pairs of id and score."""
    return _in_order(ranking, itemgetter(1), itemgetter(0), descending=descending)


def groups_in_order(
    groups: Iterable[models.PointGroup], *, descending: bool = True
) -> list[models.PointGroup]:
    """The same for groups of hits, by the best hit of each."""
    return _in_order(groups, lambda group: group.hits[0].score, attrgetter("id"), descending=descending)


def _in_order(
    items: Iterable[T], score: Callable[[T], float], name: Callable[[T], Any], *, descending: bool
) -> list[T]:
    # Lists come nearly sorted, and few of their scores are equal: one comparison of numbers a hit, and text only
    # where it decides, take a fraction of the time of a key of both.
    found = sorted(items, key=score, reverse=descending)
    scores = list(map(score, found))
    if all(map(ne, scores, scores[1:])):
        return found
    start = 0
    for end in range(1, len(found) + 1):
        if end < len(found) and scores[end] == scores[start]:
            continue
        if end - start > 1:
            found[start:end] = sorted(found[start:end], key=lambda item: str(name(item)))
        start = end
    return found


def depths(page: Page, base: int) -> list[int]:
    """How deep to fuse for a page: the base depth, doubled until the page lies within."""
    found = [base]
    while found[-1] < page.end:
        found.append(found[-1] * 2)
    return found


def concatenated(rankings: Iterable[Sequence[tuple[Id, float]]]) -> list[tuple[Id, float]]:
    """Each ranking's newcomers after those of the ones before it."""
    merged: dict[Id, float] = {}
    for ranking in rankings:
        for each, score in ranking:
            merged.setdefault(each, score)
    return list(merged.items())
