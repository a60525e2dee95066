"""Threads that run blocking calls for an event loop, and never keep a program from ending."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", "Callable[[], Any]"]

THREADS = 4


class Workers:
    """A small pool of daemon threads, started at the first call.

    `asyncio.to_thread` shares its threads with the whole program and joins them at exit, so a long index build
    would hold up both.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._started = 0
        self._guard = threading.Lock()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        # The threads hold the queue and not the pool, so that a pool nobody needs can be collected.
        weakref.finalize(self, _stop, self._jobs, threads).atexit = False

    async def run(self, call: Callable[[], Result]) -> Result:
        """Run a call in a thread and wait for it; a cancelled wait leaves the call to finish by itself."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._jobs.put((loop, future, call))
        if self._started < self._threads:
            self._start()
        return await future

    def _start(self) -> None:
        with self._guard:
            if self._started < self._threads:
                self._started += 1
                threading.Thread(target=_work, args=(self._jobs,), name="hydrant-edge", daemon=True).start()


def _stop(jobs: SimpleQueue[_Job | None], threads: int) -> None:
    for _ in range(threads):
        jobs.put(None)


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        loop, future, call = job
        try:
            result, error = call(), None
        except BaseException as caught:  # noqa: BLE001 -- handed to whoever awaits the call
            result, error = None, caught
        # The loop may have been closed while the call ran; then nobody waits for the answer.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, future, result, error)
        # Nothing of the finished job may stay alive while this thread waits for the next.
        del job, loop, future, call, result, error


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():  # cancelled meanwhile
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
