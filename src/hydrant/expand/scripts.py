"""In which script a text is written, as far as that takes no time."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter

# First code points of stretches of letters, and whose they are. Chinese, Japanese and bopomofo are one: a Japanese question
# may be in kanji alone and its answer in kana.
_STRETCHES = (
    (0x0041, "Latin"), (0x0250, "Latin"), (0x0370, "Greek"), (0x0400, "Cyrillic"), (0x0530, "Armenian"),
    (0x0590, "Hebrew"), (0x0600, "Arabic"), (0x0700, ""), (0x0750, "Arabic"), (0x0780, ""), (0x08A0, "Arabic"),
    (0x0900, "Devanagari"), (0x0980, "Bengali"), (0x0A00, "Gurmukhi"), (0x0A80, "Gujarati"), (0x0B00, "Odia"),
    (0x0B80, "Tamil"), (0x0C00, "Telugu"), (0x0C80, "Kannada"), (0x0D00, "Malayalam"), (0x0D80, "Sinhala"),
    (0x0E00, "Thai"), (0x0E80, "Lao"), (0x0F00, "Tibetan"), (0x1000, "Burmese"), (0x10A0, "Georgian"),
    (0x1100, "Hangul"), (0x1200, "Ethiopic"), (0x13A0, ""), (0x1780, "Khmer"), (0x1800, ""), (0x1E00, "Latin"),
    (0x1F00, "Greek"), (0x2000, ""), (0x3040, "CJK"), (0x3130, "Hangul"), (0x3190, "CJK"), (0xA000, ""),
    (0xAC00, "Hangul"), (0xD7B0, ""), (0xF900, "CJK"), (0xFB00, ""), (0xFB50, "Arabic"), (0xFE00, ""),
    (0xFE70, "Arabic"), (0xFF00, ""), (0xFF66, "CJK"), (0xFFA0, ""), (0x20000, "CJK"), (0x32000, ""),
)  # fmt: skip
_STARTS = [start for start, _ in _STRETCHES]
_LOOKED_AT = 200
_CLEARLY = 0.8
# A word or two may be a name; fewer letters than these say nothing.
_FEWEST = {"CJK": 4, "Hangul": 4}
_FEWEST_OTHERS = 8


def script_of(text: str) -> str | None:
    """The script of nearly all its letters; None where there are few, or of several."""
    if text.isascii():
        letters = sum(map(str.isalpha, text[:_LOOKED_AT]))
        return "Latin" if letters >= _FEWEST_OTHERS else None
    found = Counter(_script(letter) for letter in text[: 2 * _LOOKED_AT] if letter.isalpha())
    if not found:
        return None
    (script, count), total = found.most_common(1)[0], sum(found.values())
    if not script or count < _FEWEST.get(script, _FEWEST_OTHERS) or count < _CLEARLY * total:
        return None
    return script


def differ(one: str, other: str) -> bool:
    """Whether two texts are clearly written in different scripts, and so in different languages."""
    mine, theirs = script_of(one), script_of(other)
    return mine is not None and theirs is not None and mine != theirs


def _script(letter: str) -> str:
    place = bisect_right(_STARTS, ord(letter)) - 1
    return _STRETCHES[place][1] if place >= 0 else ""
