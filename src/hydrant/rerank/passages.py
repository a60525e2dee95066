"""Passages made fit for a prompt: one line each, cut to a budget of tokens that is shared fairly."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hydrant.errors import ConfigurationError
from hydrant.generate.escaping import one_line
from hydrant.generate.requests import check_whole

TokenCount = Callable[[str], int]

CUT_MARK = " …"
# An estimate that lies a little above what tokenizers of large vocabularies (200,000) make of prose in twelve languages. Those of
# 100,000 agree with it on English and need up to twice as many for other scripts.
_PIECE = re.compile(r"\s*(?:[A-Za-z]{1,5}|[0-9]{1,3}|[\u00c0-\u024f]|[\u0250-\u1fff]{1,2}|\S)")
# A quicker way round a passage that is far too long: no tokenizer has more characters a token than this on the average.
_CHARACTERS_A_TOKEN = 12
_BRACKETED = re.compile(r"[\[［【〔]([^\[\]［］【】〔〕]{1,24})[\]］】〕]")
_WORDS = re.compile(r"passage|document|doc|text|id", re.IGNORECASE)
_LABEL = re.compile(r"\bPASSAGE\s*(?=[\d²³¹⁰-⁹₀-₉①-⓿❶-➓])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of the passages a prompt shows.

    Attributes:
        passage_tokens: The most tokens of one passage.
        prompt_tokens: The most tokens of all passages of a prompt together; what short ones leave is shared by the long ones.
            None for no such limit.
        count: Counts the tokens of a text as the model does. None for an estimate that lies a little above what tokenizers of
            large vocabularies count; older ones need up to twice as many for scripts other than Latin.

    Raises:
        ConfigurationError: A number is none, or `count` cannot be called.
    """

    passage_tokens: int = 300
    prompt_tokens: int | None = None
    count: TokenCount | None = None

    def __post_init__(self) -> None:
        check_whole("passage_tokens", self.passage_tokens)
        if self.prompt_tokens is not None:
            check_whole("prompt_tokens", self.prompt_tokens)
        if self.count is not None and not callable(self.count):
            msg = f"count_tokens must be a function from a text to its number of tokens, got {self.count!r}"
            raise ConfigurationError(msg)

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The texts, each on one line, escaped and cut.

        Args:
            texts: What the passages say.
        """
        # What is thrown away anyway need not be escaped.
        most = _CHARACTERS_A_TOKEN * self.passage_tokens
        lines = [as_data(text[: 2 * most]) for text in texts]
        pieces = [_PIECE.findall(line) for line in lines]
        sizes = [
            min(self._size(line, own), self.passage_tokens) for line, own in zip(lines, pieces, strict=True)
        ]
        limits = sizes if self.prompt_tokens is None else shares(sizes, self.prompt_tokens)
        return [self._cut(line, own, limit) for line, own, limit in zip(lines, pieces, limits, strict=True)]

    def _size(self, line: str, pieces: Sequence[str]) -> int:
        return len(pieces) if self.count is None else self.count(line)

    def _cut(self, line: str, pieces: Sequence[str], limit: int) -> str:
        if self._size(line, pieces) <= limit:
            return line
        # The mark takes a token; a limit of one leaves one piece without it.
        room = max(1, limit - 1)
        kept = room if self.count is None else _most(self.count, pieces, room)
        return "".join(pieces[:kept]).rstrip() + (CUT_MARK if limit > 1 else "")


def as_data(text: str) -> str:
    """A text in which nothing looks like part of a prompt: one line, no border of a chat template, no identifier in brackets."""
    line = _BRACKETED.sub(_round, one_line(text))
    return _LABEL.sub("passage no. ", line).replace('"', "'")


def shares(sizes: Sequence[int], budget: int) -> list[int]:
    """A budget shared fairly: who needs less than an equal share leaves the rest to the others.

    Args:
        sizes: What each needs.
        budget: What there is; where it is less than one for each, each has one all the same.
    """
    given = [0] * len(sizes)
    left, waiting = budget, len(sizes)
    for position in sorted(range(len(sizes)), key=lambda each: sizes[each]):
        given[position] = min(sizes[position], max(1, left // waiting))
        left, waiting = left - given[position], waiting - 1
    return given


def _round(found: re.Match[str]) -> str:
    """Round brackets where the square ones may be taken for an identifier."""
    content = found.group(1)
    bare = _WORDS.sub("", content)
    is_identifier = any(map(str.isnumeric, bare)) and not any(
        letter.isalpha() and not letter.isnumeric() for letter in bare
    )
    return f"({content})" if is_identifier else found.group()


def _most(count: TokenCount, pieces: Sequence[str], limit: int) -> int:
    """How many of the pieces have no more tokens than the limit; one at least."""
    low, high = 1, len(pieces)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count("".join(pieces[:middle])) <= limit else (low, middle - 1)
    return low
