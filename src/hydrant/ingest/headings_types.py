"""What a heading is, for every layout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading in a text.

    Attributes:
        start: Where its first line begins, in characters.
        end: Where its last line ends, the line end not counted.
        level: From 1, the outermost.
        text: Its words, without markup.
    """

    start: int
    end: int
    level: int
    text: str
