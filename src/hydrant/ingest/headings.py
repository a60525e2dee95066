"""The headings of a document, and the sections they make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hydrant.ingest.formats import Format
from hydrant.ingest.headings_markdown import markdown_headings
from hydrant.ingest.headings_python import python_headings
from hydrant.ingest.headings_rst import rst_headings
from hydrant.ingest.headings_types import Heading


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of text under one heading.

    Attributes:
        start: Where its heading begins, in characters.
        body: Where its heading ends; equal to `start` where there is none.
        end: Where the next section begins.
        path: The headings above the text and its own, outermost first.
    """

    start: int
    body: int
    end: int
    path: tuple[str, ...]


def find_headings(text: str, layout: Format) -> Iterator[Heading]:
    """The headings of `text`, in order; none in layouts that have none.

    Args:
        text: A document's text.
        layout: How it reads: Markdown, reStructuredText and Python have headings.
    """
    if layout is Format.MARKDOWN:
        return markdown_headings(text)
    if layout is Format.RST:
        return rst_headings(text)
    if layout is Format.PYTHON:
        return python_headings(text)
    return iter(())


def sections(text: str, layout: Format) -> Iterator[Section]:
    """Cut `text` at its headings: without gaps, from the first character to the last.

    Args:
        text: A document's text.
        layout: How it reads.
    """
    start = body = 0
    above: list[Heading] = []
    for heading in find_headings(text, layout):
        if heading.start > start:
            yield Section(start, body, heading.start, _path(above))
        while above and above[-1].level >= heading.level:
            above.pop()
        above.append(heading)
        start, body = heading.start, heading.end
    if start < len(text):
        yield Section(start, body, len(text), _path(above))


def document_title(text: str, layout: Format) -> str | None:
    """The heading that stands over the whole document: the first, if no other is of its level.

    Args:
        text: A document's text.
        layout: How it reads.
    """
    if layout not in (Format.MARKDOWN, Format.RST):
        return None
    headings = find_headings(text, layout)
    first = next(headings, None)
    if first is None or any(other.level <= first.level for other in headings):
        return None
    return first.text or None


def _path(above: list[Heading]) -> tuple[str, ...]:
    return tuple(heading.text for heading in above if heading.text)
