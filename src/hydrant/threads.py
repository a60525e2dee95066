"""A pool of daemon threads.

`concurrent.futures` joins its threads when the interpreter exits, and `asyncio.run` joins the default executor's, so one
call that hangs would keep the whole program from ending. These threads are daemons, grow with demand and are kept for
reuse; a caller may stop waiting for one and leave it behind. At exit they are given two seconds, no more.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
S = TypeVar("S")

# An idle thread ends after this many seconds, so that a burst does not leave its threads behind.
_IDLE_SECONDS = 30.0
# A call that computes inside native code when the interpreter is taken down can abort the whole process. One that was left
# behind by a deadline mostly ends soon after: it is given this long.
_EXIT_SECONDS = 2.0


class Ticket:
    """A call under way in another thread."""

    __slots__ = ("_callback", "_done", "_error", "_lock", "_value")

    def __init__(self) -> None:
        self._done = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None
        self._callback: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the call is over; False when `timeout` seconds pass first."""
        return self._done.wait(timeout)

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back from the worker's thread when the call is over, or at once if it is."""
        with self._lock:
            if not self._done.is_set():
                self._callback = callback
                return
        callback()

    def perform(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Make the call and keep its outcome."""
        try:
            self._value = function(*args)
        except BaseException as error:  # noqa: BLE001  whatever it is belongs to whoever waits
            self._error = error
        with self._lock:
            self._done.set()
            callback = self._callback
        if callback is not None:
            callback()


class DaemonPool:
    """Threads that are made when needed, reused, and never waited for at exit."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count(1)
        self._idle: list[queue.SimpleQueue[Callable[[], None]]] = []
        self._running: set[Ticket] = set()
        self._lock = threading.Lock()

    def submit(self, function: Callable[..., Any], *args: Any) -> Ticket:
        """Start a call in another thread, with the caller's context variables."""
        ticket = Ticket()
        context = contextvars.copy_context()

        def job() -> None:
            context.run(ticket.perform, function, args)
            self._running.discard(ticket)

        with self._lock:
            self._running.add(ticket)
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            name = f"{self._name}-{next(self._numbers)}"
            threading.Thread(target=self._work, args=(inbox,), name=name, daemon=True).start()
        inbox.put(job)
        return ticket

    def map(self, function: Callable[[S], T], items: Sequence[S], *, at_once: int | None = None) -> list[T]:
        """Call the function on every item side by side; results in the order of the items."""
        if len(items) <= 1 or at_once == 1:
            return [function(item) for item in items]
        gate = threading.Semaphore(len(items) if at_once is None else at_once)

        def gated(item: S) -> T:
            try:
                return function(item)
            finally:
                gate.release()

        tickets = []
        for item in items:
            gate.acquire()
            tickets.append(self.submit(gated, item))
        return [ticket.result() for ticket in tickets]

    async def await_call(self, function: Callable[..., T], *args: Any) -> T:
        """Call the function in another thread while the event loop goes on."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def finish() -> None:
            if not done.done():
                done.set_result(None)

        def wake() -> None:
            # The loop may be closed by the time a call that nobody waits for any more ends.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish)

        ticket = self.submit(function, *args)
        ticket.when_done(wake)
        await done
        return ticket.result()  # type: ignore[no-any-return]

    def drain(self, seconds: float) -> None:
        """Wait for the calls that are under way, but no longer than `seconds` for all of them."""
        until = time.monotonic() + seconds
        with self._lock:
            running = list(self._running)
        for ticket in running:
            ticket.wait(max(0.0, until - time.monotonic()))

    def forget_threads(self) -> None:
        """Drop what a fork left behind: the child has the list of threads, but not the threads."""
        self._idle = []
        self._running = set()
        self._lock = threading.Lock()

    def _work(self, inbox: queue.SimpleQueue[Callable[[], None]]) -> None:
        while True:
            try:
                job = inbox.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if inbox in self._idle:
                        self._idle.remove(inbox)
                        return
                # Somebody took this thread in the last moment: their job is on its way.
                job = inbox.get()
            job()
            del job
            with self._lock:
                self._idle.append(inbox)


POOL = DaemonPool("hydrant")
atexit.register(POOL.drain, _EXIT_SECONDS)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=POOL.forget_threads)
