"""Section titles of reStructuredText: underlined or between two lines, ranked by first appearance."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hydrant.ingest.headings_types import Heading

_ADORNMENT = re.compile(r"^([!-/:-@\[-`{-~])\1+(?=[ \t]*$)", re.MULTILINE)
_ROLE = re.compile(r":[\w:.+-]+:`([^`<]*?)(?:[ \t]*<[^`>]*>)?`")
_MARKS = re.compile(r"`+(?:__?)?(?!\w)|[`*|]")
_SHORTEST = 4


def rst_headings(text: str) -> Iterator[Heading]:
    r"""The section titles of reStructuredText, in order.

    Args:
        text: The text, with `"\n"` line ends.

    Yields:
        Titles whose level is the rank of their adornment: the first style met is level 1, and so on. See
        "Sections" in the reStructuredText Markup Specification.
    """
    styles: dict[str, int] = {}
    done = 0
    for found in _ADORNMENT.finditer(text):
        title_start = _line_above(text, found.start())
        if title_start is None or title_start < done:
            continue
        title = text[title_start : found.start() - 1]
        start = _overline(text, title_start, found[0])
        if not _is_title(title, found[0], overlined=start < title_start) or not _blank_above(text, start):
            continue
        style = found[1] * 2 if start < title_start else found[1]
        done = found.end()
        level = styles.setdefault(style, len(styles) + 1)
        yield Heading(start, done, level, plain(title))


def plain(words: str) -> str:
    """A title's words without inline markup."""
    return " ".join(_MARKS.sub("", _ROLE.sub(r"\1", words)).split())


def _is_title(title: str, adornment: str, *, overlined: bool) -> bool:
    words = title.strip()
    if not words or (title[0] in " \t" and not overlined) or _ADORNMENT.fullmatch(words):
        return False
    # docutils puts up with a line that is too short, with a warning, from four characters.
    return len(adornment) >= len(title.rstrip()) or len(adornment) >= _SHORTEST


def _overline(text: str, title_start: int, adornment: str) -> int:
    """Where the title begins, the line over it included if it is the same as the one below."""
    above = _line_above(text, title_start)
    return above if above is not None and text[above : title_start - 1].rstrip() == adornment else title_start


def _blank_above(text: str, start: int) -> bool:
    above = _line_above(text, start)
    return above is None or not text[above : start - 1].strip()


def _line_above(text: str, start: int) -> int | None:
    """Where the line before the one that begins at `start` begins."""
    return None if start == 0 else text.rfind("\n", 0, start - 1) + 1
