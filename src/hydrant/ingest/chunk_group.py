"""Sections that belong in one passage: headings with the text below, and short neighbours together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hydrant.ingest.headings import Section

# Characters: some two lines. Sections shorter than this say too little to be found alone.
_SHORT = 160


@dataclass(frozen=True, slots=True)
class Group:
    """A stretch of text that is cut as one.

    Attributes:
        start: Where the headings at its top begin, in characters.
        body: Where its first text begins.
        tail: Where headings with nothing under them begin, at the end of the document; else equal to `end`.
        end: Where the next group begins.
        path: The headings that hold for all of it.
    """

    start: int
    body: int
    tail: int
    end: int
    path: tuple[str, ...]


def grouped(text: str, found: Iterator[Section], fits: Callable[[str], bool]) -> Iterator[Group]:
    """Join sections so that no heading is alone and short ones keep company.

    Args:
        text: The whole text.
        found: Its sections, in order and without gaps.
        fits: Whether a text is small enough for one passage.
    """
    ready: Group | None = None
    held: Group | None = None
    for section in found:
        if held is None:
            held = Group(section.start, section.body, section.end, section.end, section.path)
        elif _is_blank(text, held):
            held = Group(held.start, section.body, section.end, section.end, section.path)
        elif _keep_company(text, held, section) and fits(text[held.start : section.end]):
            held = replace(held, tail=section.end, end=section.end, path=_common(held.path, section.path))
        else:
            if ready is not None:
                yield ready
            ready, held = held, Group(section.start, section.body, section.end, section.end, section.path)
    yield from _last(text, ready, held)


def _last(text: str, ready: Group | None, held: Group | None) -> Iterator[Group]:
    """The last two groups; headings with nothing under them go with the text above."""
    if held is None:
        return
    if ready is None:
        # A document of headings alone is all body.
        yield replace(held, body=held.start) if _is_blank(text, held) else held
    elif _is_blank(text, held):
        yield replace(ready, end=held.end)
    else:
        yield ready
        yield held


def _is_blank(text: str, group: Group) -> bool:
    # Most groups have text near their beginning: no need to copy all of it.
    return (
        not text[group.body : min(group.body + _SHORT, group.end)].strip()
        and not text[group.body : group.end].strip()
    )


def _keep_company(text: str, held: Group, section: Section) -> bool:
    """Whether both are short and under the same heading, or both at the top."""
    if section.end - section.start > _SHORT or held.end - held.start > _SHORT:
        return False
    if not text[section.body : section.end].strip():
        # A heading waits for its own text.
        return False
    return bool(_common(held.path, section.path)) or max(len(held.path), len(section.path)) <= 1


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    length = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return one[:length]
