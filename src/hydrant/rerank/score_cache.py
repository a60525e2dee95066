"""Scores that are known already."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from hydrant.errors import ConfigurationError


class ScoreCache:
    """Keeps the last scores, by the model, the query and the document's content. Safe in many threads.

    Several rerankers may share one. An entry takes about 150 bytes, whatever the length of the texts. A copy or a pickle
    is empty.

    Args:
        size: How many scores are kept, those used last; 0 for none.

    Attributes:
        hits: How many scores were found so far.
        misses: How many were not.

    Raises:
        ConfigurationError: The size is no whole number of at least 0.
    """

    def __init__(self, size: int = 10_000) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            msg = f"cache must be a whole number of scores to keep, 0 for none, or a ScoreCache; got {size!r}"
            raise ConfigurationError(msg)
        self._size = size
        self._scores: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    @classmethod
    def of(cls, cache: int | ScoreCache) -> ScoreCache:
        """The cache, or a new one of that size."""
        return cache if isinstance(cache, ScoreCache) else cls(cache)

    def __len__(self) -> int:
        return len(self._scores)

    def known(self, model: str, query: str, contents: Iterable[str]) -> dict[str, float]:
        """The scores that are known, by the content.

        Args:
            model: Everything about the model that decides a score.
            query: The query.
            contents: The documents.
        """
        if not self._size:
            return {}
        keys = {content: _key(model, query, content) for content in contents}
        with self._lock:
            found = {content: self._scores[key] for content, key in keys.items() if key in self._scores}
            for content in found:
                self._scores.move_to_end(keys[content])
            self.hits += len(found)
            self.misses += len(keys) - len(found)
        return found

    def keep(self, model: str, query: str, scores: Mapping[str, float]) -> None:
        """Keep the scores of documents, by their content."""
        if not self._size:
            return
        keyed = {_key(model, query, content): score for content, score in scores.items()}
        with self._lock:
            for key, score in keyed.items():
                self._scores[key] = score
                self._scores.move_to_end(key)
            while len(self._scores) > self._size:
                self._scores.popitem(last=False)

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._scores.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return ScoreCache, (self._size,)


def _key(model: str, query: str, content: str) -> bytes:
    digest = hashlib.blake2b(digest_size=20)
    for part in (model, query, content):
        encoded = part.encode("utf-8", "surrogatepass")
        # With its length in front, no two lists of parts run into the same bytes.
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.digest()
