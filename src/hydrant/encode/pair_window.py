"""What a cross-encoder reads of a query and a document: the whole query, and of the document what is left of the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydrant.encode.tokens import Window

# The part of the window that a document always has, whatever the length of the query.
_DOCUMENT_SHARE = 0.25
# The part of a window that the next one begins with again, so that a sentence across the border is whole in one of them.
_OVERLAP = 0.25


@dataclass(frozen=True, slots=True)
class Pieces:
    """A query and documents as a model reads them.

    Attributes:
        query: The query.
        documents: The pieces of each document, in order; at least one each.
    """

    query: str
    documents: tuple[tuple[str, ...], ...]


class PairWindow:
    """How much of a pair a model reads.

    Args:
        tokenizer: A `tokenizers.Tokenizer`; a copy of it is used, which never changes.
        max_tokens: How many tokens of a pair the model reads, markers included.
        windows: How many pieces of a document are read at most.
        prompt: What the model puts in front of every pair.
    """

    def __init__(self, tokenizer: Any, max_tokens: int, windows: int, prompt: str = "") -> None:
        self.max_tokens = max_tokens
        self._windows = windows
        # Enough of the beginning for every window, so that no tokenizer chews through megabytes.
        self._beginning = Window(tokenizer, max_tokens * windows)
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._markers = self._tokenizer.num_special_tokens_to_add(is_pair=True) + self._length(prompt)

    def pieces(self, query: str, documents: Sequence[str]) -> Pieces:
        """The query, and each document in pieces that fit beside it.

        The query is cut only where it would leave a document less than a quarter of the window.
        """
        most = max(1, int((self.max_tokens - self._markers) * (1 - _DOCUMENT_SHARE)))
        if self._surely_fits(query, most):
            asked, length = query, len(query)
        else:
            asked = self._cut(self._beginning.cut(query), most)
            length = self._length(asked)
        room = max(1, self.max_tokens - self._markers - length)
        return Pieces(asked, self._split(documents, room))

    def _split(self, documents: Sequence[str], room: int) -> tuple[tuple[str, ...], ...]:
        doubtful = [at for at, text in enumerate(documents) if not self._surely_fits(text, room)]
        texts = {at: self._beginning.cut(documents[at]) for at in doubtful}
        encodings = self._tokenizer.encode_batch_fast(list(texts.values()), add_special_tokens=False)
        long = {
            at
            for (at, text), encoding in zip(texts.items(), encodings, strict=True)
            if len(encoding) > room or len(text) < len(documents[at])
        }
        return tuple(
            self._windows_of(texts[at], room) if at in long else (text,) for at, text in enumerate(documents)
        )

    def _windows_of(self, text: str, room: int) -> tuple[str, ...]:
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        step = max(1, int(room * (1 - _OVERLAP)))
        pieces: list[str] = []
        for start in range(0, len(offsets), step):
            part = offsets[start : start + room]
            pieces.append(text[part[0][0] : part[-1][1]])
            if len(pieces) == self._windows or start + room >= len(offsets):
                break
        return tuple(pieces) or (text,)

    def _cut(self, text: str, most: int) -> str:
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return text if len(offsets) <= most else text[: offsets[most - 1][1]]

    def _length(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False)) if text else 0

    @staticmethod
    def _surely_fits(text: str, most: int) -> bool:
        # A character of ASCII is at most one token; others can be several.
        return len(text) <= most and text.isascii()
