"""Documents to passages: cut at headings, then at the largest units that fit, each under its headings."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hydrant.errors import ConfigurationError
from hydrant.ingest.chunk_group import Group, grouped
from hydrant.ingest.chunk_split import ENCODINGS, Splitter, fits, spans, splitter, trimmed, without_crumbs
from hydrant.ingest.formats import Format
from hydrant.ingest.headings import sections
from hydrant.ingest.read import Document
from hydrant.types import Passage

SEPARATOR = " › "
_LEAST_TOKENS = 16
# Raised when documents are read or cut otherwise than before: what was cut by older rules is cut again.
_RULES = 1
# What separates a page's own title from the site's: "Install — Manual", "Install | Manual".
_TITLE_PARTS = re.compile(r"\s+[—–|·•:›»-]\s+")
# A title is costed in steps of this part of `max_tokens`: few different splitters are made that way.
_STEPS = 16
# Tokens left free for what is joined to a chunk afterwards: the mark of a code block, and the seam itself.
_SLACK = 4


@dataclass(frozen=True, slots=True)
class Chunker:
    """Cuts documents into passages sized in tokens.

    A passage's title is the path of headings above it, after the document's own title where that says
    something else. Title and text together have at most `max_tokens` tokens, so nothing is cut off by an
    encoder whose limit that is. A heading is never a passage by itself, and very short sections that follow
    each other share one.

    Attributes:
        max_tokens: The most tokens of a passage's title and text together. The default keeps within the 256
            word pieces of all-MiniLM-L6-v2 for nearly all English text, and is short enough to be about one
            thing.
        overlap: The most tokens that a passage repeats of the one before it in the same section.
        tokenizer: `"cl100k_base"`, `"o200k_base"`, or the path of an encoder's `tokenizer.json`, which makes
            sizes exact.

    Raises:
        ConfigurationError: A setting is out of range.
    """

    max_tokens: int = 180
    overlap: int = 24
    tokenizer: str = "cl100k_base"

    def __post_init__(self) -> None:
        for name in ("max_tokens", "overlap"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                message = f"{name} must be a whole number of tokens; got {value!r}"
                raise ConfigurationError(message)
        if self.max_tokens < _LEAST_TOKENS:
            message = f"max_tokens must be at least {_LEAST_TOKENS}; got {self.max_tokens}"
            raise ConfigurationError(message)
        if not 0 <= self.overlap <= self.max_tokens // 2:
            message = (
                f"overlap must be from 0 to half of max_tokens ({self.max_tokens // 2}); got {self.overlap}"
            )
            raise ConfigurationError(message)
        file = isinstance(self.tokenizer, str) and self.tokenizer.endswith(".json")
        if self.tokenizer not in ENCODINGS and not file:
            message = f"tokenizer must be one of {sorted(ENCODINGS)} or the path of a .json file; got {self.tokenizer!r}"
            raise ConfigurationError(message)

    def record(self) -> dict[str, Any]:
        """The settings that decide where a text is cut, to be stored and compared; JSON values."""
        return {
            "max_tokens": self.max_tokens,
            "overlap": self.overlap,
            "tokenizer": self.tokenizer,
            "rules": _RULES,
        }

    def chunks(self, document: Document) -> Iterator[Passage]:
        """The passages of a document, in order.

        Each passage's `text` is `document.text[start:end]` with the `start` and `end` in its metadata;
        together they hold everything but blanks. The metadata has `"headings"` and `"format"` besides.

        Args:
            document: From `read_document` or `document_from_text`.

        Raises:
            ConfigurationError: The tokenizer's file cannot be read.
        """
        layout = document.format.layout
        for group in grouped(document.text, sections(document.text, layout), self._fits):
            title = self._title(document.title, group.path)
            for start, end in self._spans(document.text, group, title, layout):
                yield Passage(
                    text=document.text[start:end],
                    title=title or None,
                    source=document.source,
                    metadata={
                        "headings": list(group.path),
                        "start": start,
                        "end": end,
                        "format": document.format.value,
                    },
                )

    def _spans(self, text: str, group: Group, title: str, layout: Format) -> Iterator[tuple[int, int]]:
        """Where the passages of one group begin and end."""
        above = f"{title}\n" if title else ""
        start, end = trimmed(text, group.start, group.end)
        # Text has four or five characters a token: what is far longer need not be tried.
        if end - start <= self.max_tokens * 8 and self._fits(above + text[start:end]):
            yield start, end
            return
        # Blank lines go with the headings, so that what is counted is what will stand there.
        body, tail = trimmed(text, group.body, group.tail)
        reserve = self._cost(f"{above}{text[start:body]}{text[tail:end]}")
        if reserve > self.max_tokens // 2:
            # Headings so long that they are no headings.
            body, tail, reserve = start, end, self._cost(above)

        def whole(first: int, last: int) -> tuple[int, int]:
            """A span of the body with the headings that it is next to."""
            return start if first == body else first, end if last == tail else last

        def room_for(first: int, last: int) -> bool:
            first, last = whole(first, last)
            return self._fits(above + text[first:last])

        pieces = _stretched(spans(self._splitter(reserve, layout), text, body, tail), body, tail)
        for first, last in without_crumbs(text, pieces, room_for):
            yield whole(first, last)

    def _splitter(self, reserve: int, layout: Format) -> Splitter:
        """The splitter that leaves `reserve` tokens free."""
        capacity = self.max_tokens - reserve - _SLACK
        overlap = min(self.overlap, capacity // 2)
        return splitter(self.tokenizer, capacity, overlap, markdown=layout is Format.MARKDOWN)

    def _fits(self, text: str, capacity: int | None = None) -> bool:
        return fits(text, self.tokenizer, self.max_tokens if capacity is None else capacity)

    def _cost(self, text: str) -> int:
        """Tokens of `text`, rounded up to a step; more than half of `max_tokens` is `max_tokens`."""
        if not text:
            return 0
        steps = [max(1, self.max_tokens * n // _STEPS) for n in range(1, _STEPS // 2 + 1)]
        found = bisect_left(steps, 1, key=lambda step: int(self._fits(text, step)))
        return steps[found] if found < len(steps) else self.max_tokens

    def _title(self, own: str | None, path: tuple[str, ...]) -> str:
        """The document's title and the path, cut in the middle to at most a quarter of `max_tokens`."""
        parts = _with_own_title(own, path)
        room = self.max_tokens // 4
        title = SEPARATOR.join(parts)
        while len(parts) > 1 and not self._fits(title, room):
            # The outermost and the innermost say most.
            parts = (parts[0], *parts[2:]) if len(parts) > 2 else parts[1:]  # noqa: PLR2004  both ends
            title = SEPARATOR.join(parts)
        while not self._fits(title, room):
            title = title[: min(len(title) - 1, len(title) * 3 // 4)].rstrip()
        return title


def _with_own_title(own: str | None, path: tuple[str, ...]) -> tuple[str, ...]:
    """The document's title before its headings, without saying the first of them twice."""
    if not own:
        return path
    said = {part.casefold() for part in (own, *_TITLE_PARTS.split(own))}
    return (own, *path[1:]) if path and path[0].casefold() in said else (own, *path)


def _stretched(pieces: Iterator[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The spans, the first stretched back to `start` and the last on to `end`."""
    held: tuple[int, int] | None = None
    for span in pieces:
        if held is None:
            held = (start, span[1])
        else:
            yield held
            held = span
    if held is not None:
        yield held[0], end
