"""Counting a model's own tokens, and cutting texts that are far longer than it reads."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from hydrant.errors import ConfigurationError

# Natural text has 1 to 6 characters a token; this many are never reached, so one cut is enough.
_CHARACTERS_PER_TOKEN = 32
# A cut may fall inside a word; only tokens this far from it are surely those of the whole text.
_EDGE_TOKENS = 128
# What a tokenizer may add beyond one token a character: markers at both ends and a leading space.
_ADDED_TOKENS = 4


class Window:
    """How much of a text a model reads.

    It works on a copy of the tokenizer without truncation and padding, which never changes and so can be used by many
    threads; the model's own changes its settings with every call.

    Args:
        tokenizer: A `tokenizers.Tokenizer`.
        max_tokens: How many tokens the model reads, markers included.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.max_tokens = max_tokens

    def counts(self, texts: Sequence[str]) -> list[int]:
        """The tokens of each text, markers included and nothing cut off."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def count_longer(self, texts: Sequence[str], prompt: str) -> int:
        """How many of the texts, behind the prompt, are longer than the window."""
        suspects = [prompt + self.cut(text) for text in texts if not self._surely_fits(prompt, text)]
        return sum(count > self.max_tokens for count in self.counts(suspects))

    def cut(self, text: str) -> str:
        """The start of a text that is enough to fill the window, so that no tokenizer chews through megabytes.

        The model sees the same tokens as of the whole text: the part is made longer until it has more tokens than the
        window by a margin, which matters for texts of endless words or blanks.
        """
        length = self.max_tokens * _CHARACTERS_PER_TOKEN
        while length < len(text):
            part = text[:length]
            if self.counts([part])[0] > self.max_tokens + _EDGE_TOKENS:
                return part
            length *= 4
        return text

    def _surely_fits(self, prompt: str, text: str) -> bool:
        # A character of ASCII is at most one token; others can be several.
        fits = len(prompt) + len(text) + _ADDED_TOKENS <= self.max_tokens
        return fits and text.isascii() and prompt.isascii()


def window_of(module: Any, max_tokens: int | None) -> Window | None:
    """The window of a module that reads text, by its fast tokenizer; None where that or the number is not known."""
    tokenizer = getattr(getattr(module, "tokenizer", None), "backend_tokenizer", None)
    # A tokenizer without a limit of its own says a number beyond any text.
    if tokenizer is None or max_tokens is None or max_tokens >= sys.maxsize:
        return None
    return Window(tokenizer, int(max_tokens))


def check_positions(module: Any, name: str, **lengths: int | None) -> None:
    """Refuse to read more tokens than a network has positions for.

    Raises:
        ConfigurationError: One of the lengths is larger.
    """
    most = getattr(getattr(module, "config", None), "max_position_embeddings", None)
    for argument, length in lengths.items():
        if isinstance(most, int) and length is not None and length > most:
            msg = f"{argument} of {name!r} can be at most {most}, its number of positions; got {length}"
            raise ConfigurationError(msg)
