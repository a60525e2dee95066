"""What arrives while a model is busy goes through it together: queries to encode, pairs to score.

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

# How many queries go through an encoder together, at most.
_MOST_TEXTS = 64
# A query that has waited this long, behind a pass that hangs or reads long texts, gets a pass of its own beside it.
_PATIENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes through a model together, and how long it waits.

    Attributes:
        items: How many items at most, unless one caller has more.
        patience: Seconds after which whoever still waits gets a pass of its own.
    """

    items: int
    patience: float


@dataclass(eq=False, slots=True)
class _Request:
    """Texts, or pairs of them, of one caller, and where the answer goes."""

    items: Sequence[Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]

    def deliver(self, results: Any, error: BaseException | None) -> None:
        """Hand over the outcome, from any thread; a caller that has given up is left alone."""

        def settle() -> None:
            if self.answer.done():
                return
            if error is None:
                self.answer.set_result(results)
            else:
                self.answer.set_exception(error)

        # The loop may be closed by now, with everybody in it gone.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(settle)


class Dispatcher:
    """Collects the work for one model, from any event loop in any thread, and has it done in turn.

    Args:
        owner: A weak reference to who does it.
        method: The name of the method that takes a list of items and returns one result for each.
        limits: How much goes together, and how long it waits.
    """

    def __init__(self, owner: weakref.ref[Any], method: str, limits: Limits) -> None:
        self._owner = owner
        self._method = method
        self._limits = limits
        self._waiting: deque[_Request] = deque()
        self._lock = threading.Lock()
        self._passes = 0

    async def results(self, items: Sequence[Any]) -> Any:
        """What the method returns for the items. A caller that is cancelled takes nobody with it.

        Raises:
            Exception: What the method raised for these items; those of other callers have no part in it.
        """
        owner = self._owner()
        if owner is None:
            msg = "the model is gone; keep a reference to it while its queries are on their way"
            raise EncodingError(msg)
        work = getattr(owner, self._method)
        if isinstance(items, (str, bytes)):  # would be taken apart into letters
            return work(items)
        loop = asyncio.get_running_loop()
        request = _Request(items, loop, loop.create_future())
        with self._lock:
            self._waiting.append(request)
        self._start(work, at_most=1)
        patience = loop.call_later(self._limits.patience, self._relieve, work, request)
        try:
            return await request.answer
        finally:
            patience.cancel()

    def _relieve(self, work: Callable[[Sequence[Any]], Any], request: _Request) -> None:
        if request in self._waiting:
            self._start(work, at_most=self._passes + 1)

    def _start(self, work: Callable[[Sequence[Any]], Any], at_most: int) -> None:
        with self._lock:
            if self._passes >= at_most:
                return
            self._passes += 1
        POOL.submit(self._serve, work)

    def _serve(self, work: Callable[[Sequence[Any]], Any]) -> None:
        """Work until nobody waits any more."""
        while batch := self._take():
            _do_together(work, batch)

    def _take(self) -> list[_Request]:
        """The next requests; none when there are none, and then this pass is over."""
        with self._lock:
            batch: list[_Request] = []
            items = 0
            while self._waiting and (not batch or items + len(self._waiting[0].items) <= self._limits.items):
                request = self._waiting.popleft()
                if not request.answer.cancelled():
                    batch.append(request)
                    items += len(request.items)
            if not batch:
                self._passes -= 1
            return batch


def dispatcher_of(encoder: Encoder) -> Dispatcher:
    """The one dispatcher of an encoder; it goes when the encoder goes."""
    return dispatcher_for(encoder, "encode_query", Limits(_MOST_TEXTS, _PATIENCE_SECONDS))


def dispatcher_for(owner: object, method: str, limits: Limits) -> Dispatcher:
    """The one dispatcher of whoever does the work; it goes when they go.

    Args:
        owner: Who does it; one method of each.
        method: The name of that method.
        limits: How much goes together, and how long it waits.
    """
    key = id(owner)
    with _REGISTRY_LOCK:
        found = _DISPATCHERS.get(key)
        if found is None:
            found = _DISPATCHERS[key] = Dispatcher(weakref.ref(owner), method, limits)
            weakref.finalize(owner, _DISPATCHERS.pop, key, None)
    return found


def _do_together(work: Callable[[Sequence[Any]], Any], batch: Sequence[_Request]) -> None:
    items = [item for request in batch for item in request.items]
    try:
        results = work(items)
        complete = len(results) == len(items)
    except BaseException as error:  # noqa: BLE001  whatever it is belongs to whoever waits
        if len(batch) == 1:
            batch[0].deliver(None, error)
            return
        complete = False
    if len(batch) == 1:
        batch[0].deliver(results, None)
    elif complete:
        start = 0
        for request in batch:
            request.deliver(results[start : start + len(request.items)], None)
            start += len(request.items)
    else:
        # One of them is at fault: each for itself, so that only its caller hears of it.
        for request in batch:
            _do_together(work, [request])


_DISPATCHERS: dict[int, Dispatcher] = {}
_REGISTRY_LOCK = threading.Lock()


def _forget() -> None:
    """A forked child has the dispatchers, but not the threads that work for them."""
    global _REGISTRY_LOCK  # noqa: PLW0603  the lock may have been held when the process was copied
    _REGISTRY_LOCK = threading.Lock()
    _DISPATCHERS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
