"""A text in sentences, without a model and in time that grows with its length alone.

It need not be perfect: the sentences become views of a text that is indexed whole, or mark what of it is shown.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

# A sentence ends at its mark and the quotes that close after it, a heading or a paragraph at a blank line. Chinese and
# Japanese marks need no blank after them. A run of marks is tried once, at its beginning, and never given back in parts:
# a page of dots would take minutes.
_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*|\n\s*\n")
_WORD_BEFORE = re.compile(r"[^\s(\[\"']*$")
# After these a full stop ends no sentence; nor after a single letter, nor before a word in small letters.
_ABBREVIATIONS = frozenset(
    [
        *(
            "al",
            "approx",
            "ca",
            "cf",
            "ch",
            "co",
            "dr",
            "e.g",
            "ed",
            "eds",
            "eq",
            "etc",
            "fig",
            "figs",
            "i.e",
            "inc",
            "jr",
        ),
        *("mr", "mrs", "ms", "no", "nos", "nr", "pp", "prof", "sec", "sr", "st", "u.s", "vol", "vs", "z.b"),
    ]
)
# What is shorter is a number, a heading's mark or the like, and goes with the sentence after it.
_SHORTEST = 12
# A table or a program may go on for pages without a mark; it is cut at blanks after so many characters.
_LONGEST = 1000


def sentences(text: str) -> list[str]:
    """The sentences of a text in their order, without the blanks around them; none for a blank text.

    Args:
        text: Any text. Nothing but blanks of it is lost.
    """
    return [text[start:end] for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text begin and end, in characters and in their order.

    Args:
        text: Any text. Nothing but blanks of it lies outside.
    """
    found: list[tuple[int, int]] = []
    first: int | None = None
    for start, end in _between_ends(text):
        begin = start if first is None else first
        first = begin if end - begin < _SHORTEST else None
        if first is None:
            found.extend(_cut(text, begin, end))
    if first is not None:
        last = _stripped(text, first, len(text))
        if found:
            last = found.pop()[0], last[1]
        found.append(last)
    return found


def grouped(pieces: Sequence[str], most: int) -> list[str]:
    """The pieces, neighbours joined so that at most so many are left, in about as many pieces each.

    Args:
        pieces: The sentences of a text.
        most: How many groups are wanted at most, 1 or more.
    """
    if len(pieces) <= most:
        return list(pieces)
    ends = [len(pieces) * number // most for number in range(most + 1)]
    return [" ".join(pieces[start:end]) for start, end in itertools.pairwise(ends)]


def _between_ends(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _END.finditer(text):
        if match[0].startswith(".") and not _ends_sentence(text, match):
            continue
        span = _stripped(text, start, match.end())
        start = match.end()
        if span[0] < span[1]:
            yield span
    span = _stripped(text, start, len(text))
    if span[0] < span[1]:
        yield span


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch without the blanks around it."""
    piece = text[start:end]
    begin = start + len(piece) - len(piece.lstrip())
    return begin, max(begin, start + len(piece.rstrip()))


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether a full stop is the end of a sentence."""
    following = text[match.end() : match.end() + 2].strip()
    if following[:1].islower():
        return False
    # No abbreviation is longer than that.
    before = _WORD_BEFORE.search(text[max(0, match.start() - 8) : match.start()])
    word = before[0].lower() if before else ""
    return word not in _ABBREVIATIONS and not (len(word) == 1 and word.isalpha())


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > _LONGEST:
        blank = text.rfind(" ", start + _LONGEST // 2, start + _LONGEST)
        stop = blank if blank > 0 else start + _LONGEST
        span = _stripped(text, start, stop)
        start = stop
        if span[0] < span[1]:
            yield span
    span = _stripped(text, start, end)
    if span[0] < span[1]:
        yield span
