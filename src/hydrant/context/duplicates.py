"""Passages that say nearly the same, found without a model."""

from __future__ import annotations

import re
from collections import Counter
from typing import TypeAlias

Shingles: TypeAlias = frozenset[int]

# Scripts that write no blanks between words are taken letter by letter.
_BARE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(f"[{_BARE}]|[^\\W{_BARE}]+")
# Words of a shingle: with three, one changed word in ten changes three shingles of eight.
_WIDTH = 3
# Longer texts are compared by their beginnings.
_COMPARED = 50_000


class Seen:
    """The passages that are kept so far, and whether a further one says anything new.

    Texts are compared by their shingles, the runs of three words in them (Broder, "On the resemblance and containment of
    documents", 1997): by containment, the share of a text's shingles that one text before has too. A short passage inside
    a longer one is a duplicate; a longer one around it is not. Order matters across three words only, case and punctuation
    not at all, and every other word and number does.

    Args:
        share: From which share on a text is a duplicate, above 0 and at most 1; None for never.
    """

    def __init__(self, share: float | None) -> None:
        self._share = share
        # The first text with a shingle, and the further ones of the few shingles that have any.
        self._first: dict[int, int] = {}
        self._further: dict[int, list[int]] = {}
        self._number = 0

    def holds(self, shingles: Shingles) -> bool:
        """Whether a text that was added says nearly the same."""
        if self._share is None:
            return False
        known = self._first.keys() & shingles
        least = self._share * len(shingles)
        if len(known) < least:
            return False
        having = Counter(self._first[shingle] for shingle in known)
        having.update(number for shingle in known for number in self._further.get(shingle, ()))
        return max(having.values(), default=0) >= least

    def add(self, shingles: Shingles) -> None:
        """Keep a text to compare others with."""
        if self._share is None:
            return
        known = self._first.keys() & shingles
        for shingle in known:
            self._further.setdefault(shingle, []).append(self._number)
        self._first.update(dict.fromkeys(shingles - known, self._number))
        self._number += 1


def shingles_of(text: str) -> Shingles:
    """The runs of three words of a text, as numbers; of a shorter text, all of it."""
    words = _WORD.findall(text[:_COMPARED].casefold())
    if len(words) < _WIDTH:
        return frozenset([hash(tuple(words))])
    return frozenset(map(hash, zip(words, words[1:], words[2:], strict=False)))
