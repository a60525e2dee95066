"""Headings of Markdown, after CommonMark 0.31: ATX (`# One`) and setext (underlined), outside fenced code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hydrant.ingest.headings_types import Heading

# Lines that matter: fences, ATX headings, underlines. Everything else is passed over at the speed of the
# regex engine.
_LINE = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})|(?P<atx>#{1,6})(?=[ \t]|$)|(?P<under>=+|-+)(?=[ \t]*$))", re.MULTILINE
)
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_CODE = re.compile(r"`+")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_MARKS = re.compile(r"\*+|~~|(?<!\w)_+|_+(?!\w)|\{#[^{}]*\}|<[^<>]*>")
# A line that begins so is no paragraph: what is below it is a rule, not its underline.
_NOT_PARAGRAPH = re.compile(
    r" {0,3}(?:[#>]|[-+*][ \t]|\d{1,9}[.)][ \t]|\|)|[ \t]{4}|\t| {0,3}(?:=+|-+)[ \t]*$"
)
_LONGEST = 300


def markdown_headings(text: str) -> Iterator[Heading]:
    r"""The headings of Markdown text, in order.

    Args:
        text: Markdown with `"\n"` line ends and no front matter.

    Yields:
        Headings of levels 1 to 6, inline markup taken off their words.
    """
    fence = ""
    for found in _LINE.finditer(text):
        start = found.start()
        end = _line_end(text, start)
        if found["fence"]:
            fence = _after_fence(fence, found["fence"], text[found.end() : end])
        elif fence:
            continue
        elif found["atx"]:
            yield Heading(
                start,
                end,
                len(found["atx"]),
                plain(_atx_words(text[found.end() : min(end, start + _LONGEST)])),
            )
        else:
            above = _paragraph_line_above(text, start)
            if above is not None:
                words = plain(text[above : min(start - 1, above + _LONGEST)])
                yield Heading(above, end, 1 if found["under"][0] == "=" else 2, words)


def plain(words: str) -> str:
    """A heading's words without Markdown's marks: links leave their text, code and emphasis their words."""
    parts = _CODE.split(_LINK.sub(r"\1", words))
    # Every other part stood between backticks, where nothing is markup.
    outside = [_ESCAPE.sub(r"\1", _MARKS.sub("", part)) for part in parts[::2]]
    parts[::2] = outside
    return " ".join("".join(parts).split())


def _after_fence(open_fence: str, marks: str, rest: str) -> str:
    """The fence that is open after a line that looks like one."""
    if not open_fence:
        # A backtick in the rest of the line makes it inline code.
        return "" if marks[0] == "`" and "`" in rest else marks
    closes = marks[0] == open_fence[0] and len(marks) >= len(open_fence) and not rest.strip()
    return "" if closes else open_fence


def _atx_words(line: str) -> str:
    """The words of an ATX heading, its closing sequence of `#` taken off."""
    words = line.strip()
    bare = words.rstrip("#")
    return bare if not bare or bare[-1] in " \t" else words


def _paragraph_line_above(text: str, start: int) -> int | None:
    """Where the line above `start` begins, if it is a paragraph of one line: longer ones are no headings."""
    if start == 0:
        return None
    above = text.rfind("\n", 0, start - 1) + 1
    before = text.rfind("\n", 0, above - 1) + 1 if above else 0
    line = text[above : min(start - 1, above + _LONGEST)]
    if not line.strip() or text[before:above].strip() or _NOT_PARAGRAPH.match(line):
        return None
    return above


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
