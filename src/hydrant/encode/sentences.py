"""A text in sentences, without a model and in time that grows with its length alone.

It need not be perfect: the sentences become views of the text that is indexed whole, none of them is shown to anybody.
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
    found: list[str] = []
    short = ""
    for raw in _between_ends(text):
        piece = f"{short} {raw}" if short else raw
        short = piece if len(piece) < _SHORTEST else ""
        if not short:
            found.extend(_cut(piece))
    if short and found:
        found[-1] = f"{found[-1]} {short}"
    elif short:
        found.append(short)
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


def _between_ends(text: str) -> Iterator[str]:
    start = 0
    for match in _END.finditer(text):
        if match[0].startswith(".") and not _ends_sentence(text, match):
            continue
        piece = text[start : match.end()].strip()
        start = match.end()
        if piece:
            yield piece
    rest = text[start:].strip()
    if rest:
        yield rest


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether a full stop is the end of a sentence."""
    following = text[match.end() : match.end() + 2].strip()
    if following[:1].islower():
        return False
    # No abbreviation is longer than that.
    before = _WORD_BEFORE.search(text[max(0, match.start() - 8) : match.start()])
    word = before[0].lower() if before else ""
    return word not in _ABBREVIATIONS and not (len(word) == 1 and word.isalpha())


def _cut(piece: str) -> Iterator[str]:
    start = 0
    while len(piece) - start > _LONGEST:
        blank = piece.rfind(" ", start + _LONGEST // 2, start + _LONGEST)
        end = blank if blank > 0 else start + _LONGEST
        part = piece[start:end].strip()
        start = end
        if part:
            yield part
    rest = piece[start:].strip()
    if rest:
        yield rest
