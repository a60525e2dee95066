"""Whatever a language model answers to "rank these", read as an order of all of them.

The grade of repair is that of rank_llm's listwise rerankers (Pradeep, Sharifymoghaddam and Lin, "RankZephyr", 2023), and more:
reasoning is dropped, digits of every script and shape are digits, what is doubled or out of range is dropped, what is missing
follows in the order it had. No answer raises, and no answer loses or doubles a passage.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hydrant.generate.reasoning import without_reasoning

# An answer names some dozens of numbers; nobody has to read through a megabyte that a model could not end.
_LONGEST = 50_000
# Longer runs of digits name no passage, and Python refuses to read the longest of them.
_MOST_DIGITS = 6
_MOST_STARTS = 4
_NUMBER = re.compile(r"[0-9]+")
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")
# One identifier: [3], [Passage 3], PASSAGE3, #3 or a bare 3. A minus before it, where it is no hyphen, is its own.
_ID = r"(?:\[\s*(?:passage|document|doc|text|id)?\s*[#:]?\s*[0-9]+\s*\]|(?:passage|document|doc)\s*[#:]?\s*[0-9]+|(?<![0-9])[0-9]++)"
_CHAIN = re.compile(rf"{_ID}(?:\s*(?:>|=|,|;)+\s*{_ID})+", re.IGNORECASE)
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_RANGE = re.compile(r"\s*([0-9]{1,6})\s*(?:[-–—]|\.{2,3}|…|to)\s*([0-9]{1,6})\s*")
_NAMED = re.compile(r"(?:passage|document|doc)s?\s*[#:]?\s*([0-9]+)", re.IGNORECASE)
_NUMBERED_LINE = re.compile(r"^[ \t]*\(?([0-9]{1,3})[.):][ \t]+(?=[^\n]*[0-9])", re.MULTILINE)
_NEGATIVE = re.compile(r"(?<![\w\]\)\-])[-−][0-9]+")
_ARROWS = str.maketrans({"＞": ">", "›": ">", "»": ">", "≻": ">", "→": ">", "⇒": ">", "≥": ">", "［": "[", "］": "]", "【": "[",
                         "】": "]", "，": ",", "、": ",", "；": ";"})  # fmt: skip
_KEYS = (
    "id",
    "identifier",
    "index",
    "passage",
    "passage_id",
    "document",
    "document_id",
    "doc",
    "doc_id",
    "number",
)


@dataclass(frozen=True, slots=True)
class Permutation:
    """An order that was read from an answer.

    Attributes:
        order: The positions from 0, best first, each once.
        read: How many of them the answer named; the others follow in the order they had. 0 where nothing could be read: then
            the order is the one they had.
    """

    order: tuple[int, ...]
    read: int


def read_order(answer: str, count: int) -> Permutation:
    """The order that an answer means.

    Args:
        answer: What the model wrote.
        count: How many passages it was shown, under the numbers from 1.
    """
    named = list(dict.fromkeys(number - 1 for number in _numbers(answer) if 1 <= number <= count))
    held = set(named)
    rest = (position for position in range(count) if position not in held)
    return Permutation((*named, *rest), len(named))


def read_first(answer: str, count: int) -> int | None:
    """The position that an answer names first, None where it names none of those there are."""
    permutation = read_order(answer, count)
    return permutation.order[0] if permutation.read else None


def plain_digits(text: str) -> str:
    """A text in which every digit is one of 0 to 9.

    Superscripts and subscripts stay parts of the number they stand in; circled and bracketed numbers stand for themselves.
    """
    if text.isascii():
        return text
    return "".join(map(_plain, text))


def _plain(letter: str) -> str:
    if letter.isascii():
        return letter
    decimal = unicodedata.decimal(letter, None)
    if decimal is not None:
        return str(decimal)
    number = unicodedata.numeric(letter, None)
    # Chinese numerals are words, Roman ones letters, and fractions are no identifiers.
    if number is None or unicodedata.category(letter) != "No" or number != int(number):
        return letter
    shape = unicodedata.decomposition(letter).partition(" ")[0]
    return str(int(number)) if shape in {"<super>", "<sub>"} else f" [{int(number)}] "


def _numbers(answer: str) -> Iterator[int]:
    """The numbers that the answer names, in its order."""
    text = plain_digits(without_reasoning(answer[-_LONGEST:])).translate(_ARROWS)
    # One blank at a time: patterns with several places for blanks would try every way to share out a long run of them.
    text = _LINES.sub("\n", _BLANKS.sub(" ", text))
    structured = _json(text)
    if structured is not None:
        yield from structured
        return
    # A number after a minus is no passage; the place is kept, so that its neighbours do not grow together.
    text = _NEGATIVE.sub(" ? ", text)
    chain = _chain(text)
    if chain is not None:
        yield from _all(chain)
    brackets = [each for each in _BRACKETS.findall(text) if _NUMBER.search(each)]
    if brackets:
        for each in brackets:
            yield from _bracket(each)
        return
    named = _NAMED.findall(text)
    if named:
        yield from _whole(named)
        return
    yield from _all(_without_list_numbers(text))


def _chain(text: str) -> str | None:
    """The longest chain such as "[2] > [1]", the last one of several; commas count where there is no chain with ">"."""
    chains = [found.group() for found in _CHAIN.finditer(text)]
    chains = [each for each in chains if ">" in each] or chains
    return max(reversed(chains), key=lambda each: len(_NUMBER.findall(each)), default=None)


def _bracket(content: str) -> Iterator[int]:
    span = _RANGE.fullmatch(content)
    if span is None:
        yield from _all(content)
        return
    first, last = int(span.group(1)), int(span.group(2))
    step = 1 if first <= last else -1
    if abs(last - first) < _LONGEST:
        yield from range(first, last + step, step)


def _without_list_numbers(text: str) -> str:
    """Without the numbers of a list's own lines, as in "1. passage 3"."""
    numbers = [int(each) for each in _NUMBERED_LINE.findall(text)]
    return _NUMBERED_LINE.sub("", text) if numbers[:2] == [1, 2] else text


def _all(text: str) -> Iterator[int]:
    return _whole(_NUMBER.findall(text))


def _whole(digits: Iterable[str]) -> Iterator[int]:
    return (int(each) for each in digits if len(each.lstrip("0")) <= _MOST_DIGITS)


def _json(text: str) -> list[int] | None:
    """The identifiers of the first JSON value in the text, None where there is none with any."""
    decoder = json.JSONDecoder()
    starts = [
        found.start() for found, _ in zip(re.finditer(r"[\[{]", text), range(_MOST_STARTS), strict=False)
    ]
    for start in starts:
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        found = list(_identifiers(value))
        # "[3] > [1]" begins with a list of one as well, and "1. [3]" ends with one.
        if len(found) > 1 or (
            found and (isinstance(value, dict) or not _NUMBER.search(text[:start] + text[end:]))
        ):
            return found
    return None


def _identifiers(value: Any, depth: int = 0) -> Iterator[int]:
    if isinstance(value, bool) or value is None or depth > _MOST_STARTS:
        return
    if isinstance(value, int):
        yield value
    elif isinstance(value, str):
        yield from _all(_NEGATIVE.sub(" ? ", value)) if _short(value) else ()
    elif isinstance(value, list):
        for each in value:
            yield from _identifiers(each, depth + 1)
    elif isinstance(value, dict):
        named = next((value[key] for key in _KEYS if isinstance(value.get(key), int | str)), None)
        if named is not None:
            yield from _identifiers(named, depth + 1)
        else:
            for each in value.values():
                if (
                    isinstance(each, list | dict)
                    or len(value) == 1
                    or (isinstance(each, str) and ">" in each)
                ):
                    yield from _identifiers(each, depth + 1)


def _short(text: str) -> bool:
    """Whether a text in JSON may be an identifier or an order, and no explanation."""
    return len(text) < 16 or ">" in text  # noqa: PLR2004  "Passage 12" and the like
