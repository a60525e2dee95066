"""The same question asked by several at the same time: one asks the model, the others wait for its answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from hydrant.flow import Effect


class Flight:
    """An answer that is under way. Who comes while it is waits for its end, in any thread or event loop."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._awaited: set[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = set()

    def end(self) -> None:
        """There is an answer, or there will be none; whoever waits goes on."""
        with self._lock:
            self._over.set()
            awaited, self._awaited = self._awaited, set()
        for loop, future in awaited:
            # The loop may be closed by now, with everybody in it gone.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle, future)

    def wait(self, seconds: float | None) -> None:
        """Wait for the end, or for so long."""
        self._over.wait(seconds)

    async def awaited(self) -> None:
        """Wait for the end without a thread."""
        loop = asyncio.get_running_loop()
        entry = (loop, loop.create_future())
        with self._lock:
            if self._over.is_set():
                return
            self._awaited.add(entry)
        try:
            await entry[1]
        finally:
            with self._lock:
                self._awaited.discard(entry)


class Flights:
    """The answers that are under way, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[Any, Flight] = {}

    def join(self, key: Any) -> Flight | None:
        """The flight to wait for; None for who is first, and has to `end` it whatever happens."""
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                self._flights[key] = Flight()
            return flight

    def end(self, key: Any) -> None:
        """The first one is done, or gave up."""
        with self._lock:
            flight = self._flights.pop(key)
        flight.end()


class Landing(Effect[None]):
    """Wait until somebody else's answer is there, or is given up.

    Args:
        flight: The answer.
    """

    name = "wait for the same question"

    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    def call(self, timeout: float | None) -> None:
        """Wait in this thread."""
        self._flight.wait(timeout)

    async def acall(self, timeout: float | None) -> None:
        """Wait in the event loop."""
        await self._flight.awaited()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
