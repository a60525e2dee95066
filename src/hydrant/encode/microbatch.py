"""Queries that arrive while the model is busy go through it together.

A model takes hardly longer for several short texts than for one, so a server with many users wants their queries in one
forward pass. Nobody waits for company: a query that finds the model idle goes at once and alone, and what has gathered when
that pass is over is the next one. Yu et al., "Orca", OSDI 2022, is the better known form of the thought.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydrant.errors import EncodingError
from hydrant.threads import POOL

if TYPE_CHECKING:
    from hydrant.encode.base import Encoder

# How many texts go through the model together, at most.
_MOST_TEXTS = 64
# A query that has waited this long, behind a pass that hangs or reads long texts, gets a pass of its own beside it.
_PATIENCE_SECONDS = 0.5


@dataclass(eq=False, slots=True)
class _Request:
    """Texts of one caller, and where the answer goes."""

    texts: Sequence[str]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]

    def deliver(self, vectors: Any, error: BaseException | None) -> None:
        """Hand over the outcome, from any thread; a caller that has given up is left alone."""

        def settle() -> None:
            if self.answer.done():
                return
            if error is None:
                self.answer.set_result(vectors)
            else:
                self.answer.set_exception(error)

        # The loop may be closed by now, with everybody in it gone.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(settle)


class Dispatcher:
    """Collects the queries for one encoder, from any event loop in any thread, and encodes them in turn.

    Args:
        encoder: A weak reference to it.
    """

    def __init__(self, encoder: weakref.ref[Encoder]) -> None:
        self._encoder = encoder
        self._waiting: deque[_Request] = deque()
        self._lock = threading.Lock()
        self._passes = 0

    async def vectors(self, texts: Sequence[str]) -> Any:
        """What the encoder returns for the texts. A caller that is cancelled takes nobody with it.

        Raises:
            Exception: What the encoder raised for these texts; those of other callers have no part in it.
        """
        encoder = self._encoder()
        if encoder is None:
            msg = "the encoder is gone; keep a reference to it while its queries are on their way"
            raise EncodingError(msg)
        encode = encoder.encode_query
        if isinstance(texts, (str, bytes)):  # would be taken apart into letters
            return encode(texts)
        loop = asyncio.get_running_loop()
        request = _Request(texts, loop, loop.create_future())
        with self._lock:
            self._waiting.append(request)
        self._start(encode, at_most=1)
        patience = loop.call_later(_PATIENCE_SECONDS, self._relieve, encode, request)
        try:
            return await request.answer
        finally:
            patience.cancel()

    def _relieve(self, encode: Callable[[Sequence[str]], Any], request: _Request) -> None:
        if request in self._waiting:
            self._start(encode, at_most=self._passes + 1)

    def _start(self, encode: Callable[[Sequence[str]], Any], at_most: int) -> None:
        with self._lock:
            if self._passes >= at_most:
                return
            self._passes += 1
        POOL.submit(self._work, encode)

    def _work(self, encode: Callable[[Sequence[str]], Any]) -> None:
        """Encode until nobody waits any more."""
        while batch := self._take():
            _encode_together(encode, batch)

    def _take(self) -> list[_Request]:
        """The next requests; none when there are none, and then this pass is over."""
        with self._lock:
            batch: list[_Request] = []
            texts = 0
            while self._waiting and (not batch or texts + len(self._waiting[0].texts) <= _MOST_TEXTS):
                request = self._waiting.popleft()
                if not request.answer.cancelled():
                    batch.append(request)
                    texts += len(request.texts)
            if not batch:
                self._passes -= 1
            return batch


def dispatcher_of(encoder: Encoder) -> Dispatcher:
    """The one dispatcher of an encoder; it goes when the encoder goes."""
    key = id(encoder)
    with _REGISTRY_LOCK:
        found = _DISPATCHERS.get(key)
        if found is None:
            found = _DISPATCHERS[key] = Dispatcher(weakref.ref(encoder))
            weakref.finalize(encoder, _DISPATCHERS.pop, key, None)
    return found


def _encode_together(encode: Callable[[Sequence[str]], Any], batch: Sequence[_Request]) -> None:
    texts = [text for request in batch for text in request.texts]
    try:
        vectors = encode(texts)
        complete = len(vectors) == len(texts)
    except BaseException as error:  # noqa: BLE001  whatever it is belongs to whoever waits
        if len(batch) == 1:
            batch[0].deliver(None, error)
            return
        complete = False
    if len(batch) == 1:
        batch[0].deliver(vectors, None)
    elif complete:
        start = 0
        for request in batch:
            request.deliver(vectors[start : start + len(request.texts)], None)
            start += len(request.texts)
    else:
        # One of them is at fault: each for itself, so that only its caller hears of it.
        for request in batch:
            _encode_together(encode, [request])


_DISPATCHERS: dict[int, Dispatcher] = {}
_REGISTRY_LOCK = threading.Lock()


def _forget() -> None:
    """A forked child has the dispatchers, but not the threads that work for them."""
    global _REGISTRY_LOCK  # noqa: PLW0603  the lock may have been held when the process was copied
    _REGISTRY_LOCK = threading.Lock()
    _DISPATCHERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
