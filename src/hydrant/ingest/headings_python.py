"""Classes and functions of Python source, taken as its headings."""

from __future__ import annotations

import io
import token
import tokenize
from collections.abc import Iterator

from hydrant.ingest.headings_types import Heading

_STARTS = {token.NEWLINE, token.INDENT, token.DEDENT}
_QUIET = {token.NL, tokenize.COMMENT, tokenize.ENCODING}


def python_headings(text: str) -> Iterator[Heading]:
    r"""Classes, functions and methods, in order; functions inside functions are part of them.

    The source is tokenized, not compiled: it need not be correct, and nothing is warned about.

    Args:
        text: Python source with `"\n"` line ends.

    Yields:
        One heading for each definition, its decorators included, with words like `class Client` or `def
        close`. Where the source stops being Python no more come.
    """
    lines = [0]
    around: list[tuple[int, str]] = []
    for first, keyword, name in _definitions(text):
        # Of the line, not the keyword: `async` may stand before it.
        column = len(keyword.line) - len(keyword.line.lstrip())
        while around and around[-1][0] >= column:
            around.pop()
        if any(kind == "def" for _, kind in around):
            continue
        around.append((column, keyword.string))
        _extend(lines, text, keyword.start[0])
        start = lines[first - 1]
        end = text.find("\n", lines[keyword.start[0] - 1])
        yield Heading(start, len(text) if end < 0 else end, len(around), f"{keyword.string} {name}")


def _definitions(text: str) -> Iterator[tuple[int, tokenize.TokenInfo, str]]:
    """The first line (decorators counted), the keyword and the name of each definition."""
    at_start, first = True, None
    keyword: tokenize.TokenInfo | None = None
    try:
        for item in tokenize.generate_tokens(io.StringIO(text).readline):
            if keyword is not None:
                if item.type == token.NAME:
                    yield first if first is not None else keyword.start[0], keyword, item.string
                keyword, first = None, None
            elif at_start and item.type == token.OP and item.string == "@":
                first = first if first is not None else item.start[0]
            elif at_start and item.type == token.NAME and item.string in ("class", "def"):
                keyword = item
            elif at_start and item.type not in _QUIET and item.type not in _STARTS and item.string != "async":
                first = None
            at_start = item.type in _STARTS or (at_start and (item.type in _QUIET or item.string == "async"))
    except (tokenize.TokenError, SyntaxError):
        # Not Python, or not complete: what was found so far stands.
        return


def _extend(lines: list[int], text: str, count: int) -> None:
    """Make `lines` hold where each of the first `count` lines begins."""
    while len(lines) < count:
        lines.append(text.index("\n", lines[-1]) + 1)
