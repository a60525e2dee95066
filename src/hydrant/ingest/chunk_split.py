"""Splitters by token count, from semantic-text-splitter, over texts of any length.

Its Markdown splitter takes time that grows with the square of the text, and both return all chunks at once.
So a text is split a window at a time; the last chunk of each window, which its edge may have cut short,
begins the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from hydrant.errors import ConfigurationError

Splitter: TypeAlias = MarkdownSplitter | TextSplitter

# The splitter asks for a model's name and carries the tables of these itself: nothing is downloaded.
ENCODINGS = {"cl100k_base": "gpt-4", "o200k_base": "gpt-4o"}
# Characters. A window holds some ten chunks, of which one is split twice.
WINDOW = 8_000
# Letters and digits: a chunk with fewer is the mark of a code block or the like.
_CRUMB = 16
_LONGEST_CRUMB = 80


@lru_cache(maxsize=64)
def splitter(tokenizer: str, capacity: int, overlap: int = 0, *, markdown: bool = False) -> Splitter:
    """A splitter into chunks of at most `capacity` tokens.

    Args:
        tokenizer: A key of `ENCODINGS`, or the path of a `tokenizer.json`.
        capacity: Tokens of a chunk, at most.
        overlap: Tokens that a chunk may repeat of the one before.
        markdown: Cut where Markdown's blocks end, rather than at lines and sentences.

    Raises:
        ConfigurationError: The tokenizer's file cannot be read.
    """
    kind = MarkdownSplitter if markdown else TextSplitter
    if tokenizer in ENCODINGS:
        return kind.from_tiktoken_model(ENCODINGS[tokenizer], capacity, overlap=overlap, trim=False)
    return kind.from_huggingface_tokenizer(_load(tokenizer), capacity, overlap=overlap, trim=False)


def fits(text: str, tokenizer: str, capacity: int) -> bool:
    """Whether `text` has at most `capacity` tokens."""
    # No tokenizer makes more tokens of ASCII than it has characters, and one to begin with.
    return (text.isascii() and len(text) < capacity) or len(
        splitter(tokenizer, capacity).chunk_indices(text)
    ) <= 1


def spans(cutter: Splitter, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the chunks of `text[start:end]` begin and end, in characters, blanks around them left out.

    Args:
        cutter: Made by `splitter`.
        text: The whole text.
        start: Where to begin.
        end: Where to stop.
    """
    while start < end:
        stop = min(start + WINDOW, end)
        pieces = cutter.chunk_indices(text[start:stop])
        redo = pieces[-1][0] if stop < end and len(pieces) > 1 else 0
        for offset, piece in pieces[:-1] if redo else pieces:
            span = trimmed(text, start + offset, start + offset + len(piece))
            if span[0] < span[1]:
                yield span
        start = start + redo if redo else stop


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """`start` and `end` moved inwards past blank lines and blanks; the first line keeps its indentation."""
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    if lead == len(piece):
        return start, start
    line = piece.rfind("\n", 0, lead) + 1
    inside_line = line == 0 and start > 0 and text[start - 1] != "\n"
    return start + (lead if inside_line else line), start + len(piece.rstrip())


def without_crumbs(
    text: str, pieces: Iterator[tuple[int, int]], room_for: Callable[[int, int], bool]
) -> Iterator[tuple[int, int]]:
    """The spans, those with next to no words in them joined to a neighbour if there is room.

    Args:
        text: The whole text.
        pieces: From `spans`.
        room_for: Whether what stands between a start and an end is small enough for one passage.
    """
    held: tuple[int, int] | None = None
    for span in pieces:
        if held is None:
            held = span
        elif (_is_crumb(text, *held) or _is_crumb(text, *span)) and room_for(held[0], span[1]):
            held = (held[0], span[1])
        else:
            yield held
            held = span
    if held is not None:
        yield held


def _is_crumb(text: str, start: int, end: int) -> bool:
    return end - start <= _LONGEST_CRUMB and sum(map(str.isalnum, text[start:end])) < _CRUMB


@lru_cache(maxsize=4)
def _load(path: str) -> object:
    """A Hugging Face tokenizer that cuts nothing off and pads nothing."""
    from tokenizers import Tokenizer

    if not Path(path).is_file():
        message = f"tokenizer must be one of {sorted(ENCODINGS)} or the path of a tokenizer.json; {path!r} is no file"
        raise ConfigurationError(message)
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:
        # The Rust library raises Exception itself.
        message = f"tokenizer {path!r} cannot be loaded: {error}"
        raise ConfigurationError(message) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
