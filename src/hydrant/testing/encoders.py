"""Encoders without a model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from typing import Any

from hydrant.encode.base import Encoder
from hydrant.errors import ConfigurationError

_WORD = re.compile(r"\w+")


class HashEncoder(Encoder):
    """A dense encoder without a model: a bag of words, every word hashed to a dimension and a sign, length 1.

    Texts that share words lie near each other, the same text always has the same vector, on every machine. A text without
    a word has the vector of the word "".

    Args:
        dimensions: The length of a vector.

    Attributes:
        calls: What was encoded so far: for each call the role and the texts. Useful to count what was *not* encoded.
    """

    kind = "dense"

    def __init__(self, dimensions: int = 64) -> None:
        if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
            msg = f"dimensions must be a whole number of at least 1, got {dimensions!r}"
            raise ConfigurationError(msg)
        self._dimensions = dimensions
        self.calls: list[tuple[str, tuple[str, ...]]] = []

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._dimensions

    @property
    def documents_encoded(self) -> int:
        """How many documents were encoded so far."""
        return sum(len(texts) for role, texts in self.calls if role == "document")

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text."""
        self.calls.append(("query", tuple(texts)))
        return [self.vector(text) for text in texts]

    def encode_document(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text, the same as for queries."""
        self.calls.append(("document", tuple(texts)))
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> list[float]:
        """The vector of one text."""
        vector = [0.0] * self._dimensions
        for word in _WORD.findall(text.lower()) or [""]:
            digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
            number = int.from_bytes(digest, "big")
            vector[number % self._dimensions] += 1.0 if number >> 63 else -1.0
        length = math.sqrt(sum(value * value for value in vector))
        # Words of opposite sign in one dimension may cancel out; cosine needs something to point somewhere.
        return [value / length for value in vector] if length else [1.0, *vector[1:]]

    def record(self) -> dict[str, Any]:
        """The kind and the length."""
        return {"encoder": "hash", "dimensions": self._dimensions}


class HashLateEncoder(Encoder):
    """Token vectors without a model: one hashed vector of length 1 for every word, as a late-interaction model gives.

    Args:
        dimensions: The length of a vector.
    """

    kind = "multi"
    distance = "Cosine"
    graph = False

    def __init__(self, dimensions: int = 16) -> None:
        self._words = HashEncoder(dimensions)

    @property
    def dimensions(self) -> int:
        """The length of a vector."""
        return self._words.dimensions

    def encode_query(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """For every text a vector for each of its words; one for the empty word where it has none."""
        return [self._words.encode_query(_WORD.findall(text.lower()) or [""]) for text in texts]

    def encode_document(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """As `encode_query`."""
        return self.encode_query(texts)

    def record(self) -> dict[str, Any]:
        """The settings."""
        return {"encoder": "hash-late", "dimensions": self.dimensions}
