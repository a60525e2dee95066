"""The longest beginning of a text that fits."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Sequence

from hydrant.encode.sentences import sentence_spans

_BLANKS = re.compile(r"\s+")
# A cut at a sentence is worth losing so much of what a cut at a word would keep.
_WORTH = 0.6
_JOINERS = "\u200d"


def beginning(text: str, fits: Callable[[str], bool], least: Callable[[str], bool]) -> str | None:
    """The longest beginning that fits, up to the end of a sentence or else of a word; None where too little is left.

    Args:
        text: The text, without blanks at its beginning.
        fits: Whether a beginning is short enough.
        least: Whether a beginning is long enough to be worth showing.
    """
    words = _last_fitting([found.start() for found in _BLANKS.finditer(text)], text, fits)
    ends = [end for _, end in sentence_spans(text) if end <= words and end < len(text)]
    if ends and ends[-1] >= _WORTH * words:
        words = ends[-1]
    if words and least(text[:words]):
        return text[:words]
    # Not all scripts have blanks between words.
    letters = _last_fitting(range(1, len(text)), text, fits)
    while letters and (unicodedata.combining(text[letters]) or text[letters] in _JOINERS):
        letters -= 1
    return text[:letters] if letters and least(text[:letters]) else None


def _last_fitting(ends: Sequence[int], text: str, fits: Callable[[str], bool]) -> int:
    """The last of the places up to which the text fits; 0 where it does up to none."""
    found = bisect_left(ends, 1, key=lambda end: int(not fits(text[:end])))
    return ends[found - 1] if found else 0
