"""The vectors of the last queries, kept by their text."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from hydrant.errors import ConfigurationError

# Queries are short; a longer text is a document in disguise, and 1,000 of those would be megabytes.
_LONGEST = 2000
_OFF: ContextVar[bool] = ContextVar("hydrant_query_cache_off", default=False)


@contextmanager
def without_query_caches() -> Iterator[None]:
    """Have every query encoded, also one that was asked before: a measurement of latency is about new questions."""
    token = _OFF.set(True)
    try:
        yield
    finally:
        _OFF.reset(token)


class QueryCache:
    """Keeps what an encoder made of the last queries, dense, sparse or of several rows. Safe in many threads.

    One belongs to one encoder, whose model and prompts are fixed, so that the text alone is the key. What comes out is
    always a copy: a caller that changes its vector changes nobody else's. A copy or a pickle of the cache is empty.

    Args:
        size: How many queries are kept, those used last; 0 for none.

    Raises:
        ConfigurationError: The size is no whole number of at least 0.
    """

    __slots__ = ("_lock", "_size", "_vectors")

    def __init__(self, size: int) -> None:
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            msg = f"query_cache must be a whole number of queries to keep, 0 for none; got {size!r}"
            raise ConfigurationError(msg)
        self._size = size
        self._vectors: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    def through(self, texts: Sequence[str], encode: Callable[[list[str]], Sequence[Any]]) -> list[Any]:
        """One vector for each text, from the cache or from the encoder.

        Args:
            texts: The queries, checked.
            encode: Encodes those that are not known, each text once.
        """
        if not self._size or _OFF.get():
            return list(encode(list(texts)))
        known = self._known(texts)
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            made = dict(zip(missing, encode(missing), strict=True))
            self._keep(made)
            known |= made
        return [_copied(known[text]) for text in texts]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._vectors.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        return QueryCache, (self._size,)

    def _known(self, texts: Sequence[str]) -> dict[str, Any]:
        with self._lock:
            known = {text: self._vectors[text] for text in texts if text in self._vectors}
            for text in known:
                self._vectors.move_to_end(text)
        return known

    def _keep(self, made: dict[str, Any]) -> None:
        with self._lock:
            for text, vector in made.items():
                if len(text) <= _LONGEST:
                    self._vectors[text] = vector
                    self._vectors.move_to_end(text)
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)


def _copied(vector: Any) -> Any:
    """A copy of a vector; the common kinds without deepcopy's look at every number."""
    if isinstance(vector, list):
        nested = bool(vector) and isinstance(vector[0], list)
        return [list(row) for row in vector] if nested else list(vector)
    if isinstance(vector, np.ndarray):
        return vector.copy()
    if hasattr(vector, "indices") and hasattr(vector, "values"):
        return type(vector).model_construct(indices=list(vector.indices), values=list(vector.values))
    return copy.deepcopy(vector)
