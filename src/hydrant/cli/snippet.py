"""The part of a passage that answers a question best, with the question's words marked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydrant.cli.console import printable

if TYPE_CHECKING:
    from rich.text import Text

    from hydrant.encode.bm25 import Bm25Encoder

_WORD = re.compile(r"\w+")
# Lines without a letter or digit: underlines of headings, rules of tables.
_DECORATION = re.compile(r"^[^\w\n]*$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?:])\s+(?=\S)")
_MARK = "bold yellow"
# How many words of the question a snippet may lack if it begins where a sentence does.
_SENTENCE_BONUS = 1.5


@dataclass(frozen=True, slots=True)
class _Found:
    """A word of the question in the text, and which of its words it is."""

    start: int
    end: int
    term: int


def snippet(text: str, terms: Callable[[str], Mapping[str, int]], length: int) -> Text:
    """At most about `length` characters of a text, from where most words of the question stand together.

    Args:
        text: The passage's text.
        terms: Which of the text's words the question has too; see `matcher`.
        length: Characters.
    """
    from rich.text import Text

    flat = " ".join(_DECORATION.sub("", printable(text)).split())
    known = terms(flat)
    found = [
        _Found(match.start(), match.end(), known[match[0]])
        for match in _WORD.finditer(flat)
        if match[0] in known
    ]
    start, end = _window(flat, found, length)
    shown = Text(("… " if start else "") + flat[start:end] + (" …" if end < len(flat) else ""))
    shift = (2 if start else 0) - start
    for each in found:
        if start <= each.start and each.end <= end:
            shown.stylize(_MARK, each.start + shift, each.end + shift)
    return shown


def matcher(question: str, encoder: Bm25Encoder) -> Callable[[str], Mapping[str, int]]:
    """Finds the words of a text that BM25 takes for words of the question: the same stems, no stop words.

    Args:
        question: The question.
        encoder: The collection's own BM25, or another of its language.
    """
    asked = set(encoder.encode_query([question])[0].indices)

    def terms(text: str) -> Mapping[str, int]:
        words = sorted(set(_WORD.findall(text)))
        tokens = [vector.indices for vector in encoder.encode_query(words)]
        return {word: own[0] for word, own in zip(words, tokens, strict=True) if own and own[0] in asked}

    return terms


def _window(text: str, found: Sequence[_Found], length: int) -> tuple[int, int]:
    """Where to cut: for the most different words of the question, and at the beginning of a sentence if possible."""
    if len(text) <= length:
        return 0, len(text)
    sentences = {0, *(match.end() for match in _SENTENCE.finditer(text))}
    last = len(text) - length
    starts = sorted({start for start in (*sentences, *(each.start for each in found)) if start <= last} | {0})

    def worth(start: int) -> tuple[float, int]:
        inside = [each.term for each in found if start <= each.start and each.end <= start + length]
        return len(set(inside)) + (_SENTENCE_BONUS if start in sentences else 0), len(inside)

    best = max(starts, key=worth)
    return best, _word_end(text, best + length)


def _word_end(text: str, limit: int) -> int:
    if limit >= len(text):
        return len(text)
    blank = text.rfind(" ", 0, limit + 1)
    return blank if blank > 0 else limit
