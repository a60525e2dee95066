"""Flows without I/O, and the two drivers that run them.

A flow is a generator. It yields *steps*, things it wants done, and is sent each reply::

    def flow(self, state):
        vectors = yield Encode(self.encoder, [state.query.text])
        points = yield QdrantCall(self.client, "query_points", ...)
        return state.with_hits(...)

`run` executes the steps in the calling thread, `arun` awaits them; the flow is written once and serves both. A step is
an `Effect` (one piece of I/O or heavy work), `Together` (several steps side by side), `Within` (a flow under a
tighter time limit) or another flow. When a step fails, its error is thrown into the flow at the `yield`, so a fallback
is an ordinary `try`/`except`.

What cuts across all of it is done here and nowhere else: deadlines, retries, tracing. `_drive` holds the rules and
yields three primitive requests (`_Call`, `_Sleep`, `_Gather`); the drivers only carry those out.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

from opentelemetry import trace as otel

from hydrant.errors import ConfigurationError, DeadlineExceeded
from hydrant.threads import POOL
from hydrant.types import TraceSpan

T = TypeVar("T")
Flow: TypeAlias = Generator[Any, Any, T]

_TRACER = otel.get_tracer("hydrant")
# How long a cancelled coroutine may take to clean up before the caller is answered without it.
_CANCEL_GRACE = 0.02
# A limit beyond a year is none: the waits of threads and of the event loop overflow somewhere above.
_FOREVER = 365 * 86_400.0


class Effect(ABC, Generic[T]):
    """One thing a flow wants done: a model call, a request, a file to read.

    Subclasses give `call`. `acall` runs it in a thread of its own unless there is something better to await.
    """

    name: str = "effect"

    @abstractmethod
    def call(self, timeout: float | None) -> T:
        """Do it now. `timeout` is what is left of the deadline in seconds, None without one."""

    async def acall(self, timeout: float | None) -> T:
        """Do it without blocking the event loop."""
        return await POOL.await_call(self.call, timeout)

    def retry_after(self, error: Exception, attempt: int) -> float | None:
        """Seconds to wait before trying again after `error`, or None where repeating is unsafe or useless.

        Args:
            error: What the last attempt raised.
            attempt: How many attempts were made, from 1.
        """
        return None


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a failed step is tried again.

    Attributes:
        attempts: Tries in all, the first included.
        base: Seconds before the second try; doubled each time.
        cap: The longest wait in seconds.
    """

    attempts: int = 3
    base: float = 0.1
    cap: float = 5.0

    def __post_init__(self) -> None:
        _check_whole("attempts", self.attempts)

    def delay(self, attempt: int, at_least: float = 0.0) -> float | None:
        """Seconds to wait after the given attempt, None when there are no more.

        The wait is drawn evenly between nothing and the doubled base ("full jitter"), so that clients which
        failed together do not come back together. A server's own `at_least` is always kept.
        """
        if attempt >= self.attempts:
            return None
        ceiling = min(self.cap, self.base * 2 ** (attempt - 1))
        return at_least + random.uniform(0, ceiling)  # noqa: S311  jitter needs no secrecy


@dataclass(frozen=True, slots=True)
class Together:
    """Several steps side by side; the reply is the list of theirs, in order.

    Attributes:
        steps: Effects or flows.
        keep_errors: Put an error in its place in the list instead of raising the first one.
        at_once: How many may be under way at the same time; None for all.
    """

    steps: Sequence[Any]
    keep_errors: bool = False
    at_once: int | None = None

    def __post_init__(self) -> None:
        if self.at_once is not None:
            _check_whole("at_once", self.at_once)


@dataclass(frozen=True, slots=True)
class Within:
    """A flow that has a name in the trace and, where `seconds` is given, a time limit of its own.

    The limit nests: it can only shorten what is left of the caller's. With a recorder of its own the flow has a trace of
    its own too.
    """

    flow: Flow[Any]
    name: str
    seconds: float | None = None
    recorder: Recorder | None = None


@dataclass(slots=True)
class Recorder:
    """Collects the spans of one run; list.append is atomic, so side-by-side steps may share it."""

    began: float = field(default_factory=time.perf_counter)
    spans: list[TraceSpan] = field(default_factory=list)

    def trace(self) -> tuple[TraceSpan, ...]:
        """The spans so far in the order in which the steps began."""
        return tuple(sorted(self.spans, key=lambda span: (span.start, span.depth)))


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where in the run a step lies: its deadline on the monotonic clock, and its place in the trace."""

    deadline: float | None
    recorder: Recorder
    depth: int = 0

    def remaining(self) -> float | None:
        return None if self.deadline is None else self.deadline - time.monotonic()

    def within(self, seconds: float | None) -> _Scope:
        deadline = self.deadline
        if seconds is not None and seconds <= _FOREVER:
            own = time.monotonic() + seconds
            deadline = own if deadline is None else min(deadline, own)
        return _Scope(deadline, self.recorder, self.depth + 1)

    def recording(self, recorder: Recorder | None) -> _Scope:
        return self if recorder is None else _Scope(self.deadline, recorder)

    def span(self, name: str) -> _Span:
        return _Span(self, name)


class _Span:
    """One step's place in the trace, and its OpenTelemetry span where somebody records those.

    Without a tracer provider a span of the API still costs more to make current than everything else here.
    """

    __slots__ = ("_begun", "_current", "_name", "_scope", "attempts")

    def __init__(self, scope: _Scope, name: str) -> None:
        self._scope = scope
        self._name = name
        self._current: AbstractContextManager[otel.Span] | None = None
        self.attempts = 1

    def __enter__(self) -> Self:
        span = _TRACER.start_span(self._name)
        if span.is_recording():
            self._current = otel.use_span(span, end_on_exit=True)
            self._current.__enter__()
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._begun
        recorder = self._scope.recorder
        said = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else None
        began = self._begun - recorder.began
        recorder.spans.append(TraceSpan(self._name, self._scope.depth, began, seconds, self.attempts, said))
        if self._current is not None:
            self._current.__exit__(kind, error, where)


@dataclass(frozen=True, slots=True)
class _Call:
    effect: Effect[Any]
    timeout: float | None


@dataclass(frozen=True, slots=True)
class _Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class _Gather:
    runs: Sequence[Generator[Any, Any, Any]]
    at_once: int | None


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


def run(flow: Flow[T], *, deadline: float | None = None, recorder: Recorder | None = None) -> T:
    """Run a flow in the calling thread.

    Args:
        flow: The flow.
        deadline: Seconds it may take. With one, every effect runs in a thread of its own, so that the caller is
            answered on time even while an effect hangs.
        recorder: Where the trace is collected.

    Raises:
        DeadlineExceeded: The time ran out and the flow had no fallback.
    """
    return _run_sync(_drive(flow, _scope(deadline, recorder)))  # type: ignore[no-any-return]


async def arun(flow: Flow[T], *, deadline: float | None = None, recorder: Recorder | None = None) -> T:
    """Run a flow in the event loop; see `run`."""
    return await _run_async(_drive(flow, _scope(deadline, recorder)))  # type: ignore[no-any-return]


def _scope(deadline: float | None, recorder: Recorder | None) -> _Scope:
    number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if deadline is not None and not (number and deadline > 0):
        msg = f"deadline must be a number of seconds above 0, or None for no limit; got {deadline!r}"
        raise ConfigurationError(msg)
    until = None if deadline is None or deadline > _FOREVER else time.monotonic() + deadline
    return _Scope(until, Recorder() if recorder is None else recorder)


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = f"{name} must be a whole number of at least 1, got {value!r}"
        raise ConfigurationError(msg)


# ---- the rules ---------------------------------------------------------------------------------------------------


def _drive(flow: Flow[Any], scope: _Scope) -> Generator[Any, Any, Any]:
    reply: Any = None
    failure: Exception | None = None
    try:
        while True:
            try:
                step = flow.send(reply) if failure is None else flow.throw(failure)
            except StopIteration as stop:
                return stop.value
            try:
                reply, failure = (yield from _step(step, scope)), None
            except Exception as error:  # noqa: BLE001  every failure belongs to the flow, which may have a fallback
                failure = error
    finally:
        flow.close()


def _step(step: Any, scope: _Scope) -> Generator[Any, Any, Any]:
    if isinstance(step, Effect):
        return (yield from _attempt(step, scope))
    if isinstance(step, Within):
        scope = scope.recording(step.recorder)
        with scope.span(step.name):
            return (yield from _drive(step.flow, scope.within(step.seconds)))
    if isinstance(step, Together):
        return (yield from _together(step, scope))
    if isinstance(step, Generator):
        return (yield from _drive(step, scope))
    msg = f"a flow may yield an Effect, Together, Within or another flow; got {step!r}"
    raise TypeError(msg)


def _attempt(effect: Effect[T], scope: _Scope) -> Generator[Any, Any, T]:
    with scope.span(effect.name) as span:
        while True:
            remaining = scope.remaining()
            if remaining is not None and remaining <= 0:
                msg = f"no time was left for {effect.name}"
                raise DeadlineExceeded(msg)
            try:
                return (yield _Call(effect, remaining))  # type: ignore[no-any-return]
            except DeadlineExceeded:
                raise
            except Exception as error:
                delay = effect.retry_after(error, span.attempts)
                remaining = scope.remaining()
                if delay is None or (remaining is not None and delay >= remaining):
                    raise
            yield _Sleep(delay)
            span.attempts += 1


def _together(together: Together, scope: _Scope) -> Generator[Any, Any, list[Any]]:
    inner = scope.within(None)
    runs = [_drive(_single(step), inner) for step in together.steps]
    outcomes = yield _Gather(runs, together.at_once)
    errors = [outcome.error for outcome in outcomes if isinstance(outcome, _Failed)]
    if errors and not together.keep_errors:
        raise errors[0]
    return [outcome.error if isinstance(outcome, _Failed) else outcome for outcome in outcomes]


def _single(step: Any) -> Flow[Any]:
    return (yield step)


def _late(effect: Effect[Any], timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"{effect.name} did not answer within the {timeout:.3g} s it had")


# ---- the sync driver ---------------------------------------------------------------------------------------------


def _run_sync(steps: Generator[Any, Any, Any]) -> Any:
    reply: Any = None
    failure: Exception | None = None
    try:
        while True:
            request = steps.send(reply) if failure is None else steps.throw(failure)
            try:
                reply, failure = _perform(request), None
            except Exception as error:  # noqa: BLE001  handed to the flow that asked
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def _perform(request: _Call | _Sleep | _Gather) -> Any:
    if isinstance(request, _Call):
        if request.timeout is None:
            return request.effect.call(None)
        ticket = POOL.submit(request.effect.call, request.timeout)
        if not ticket.wait(request.timeout):
            raise _late(request.effect, request.timeout)
        return ticket.result()
    if isinstance(request, _Sleep):
        return time.sleep(request.seconds)
    return _gather(request)


def _gather(request: _Gather) -> list[Any]:
    def outcome(steps: Generator[Any, Any, Any]) -> Any:
        try:
            return _run_sync(steps)
        except Exception as error:  # noqa: BLE001  kept as that step's outcome
            return _Failed(error)

    return POOL.map(outcome, request.runs, at_once=request.at_once)


# ---- the async driver --------------------------------------------------------------------------------------------


async def _run_async(steps: Generator[Any, Any, Any]) -> Any:
    reply: Any = None
    failure: Exception | None = None
    try:
        while True:
            request = steps.send(reply) if failure is None else steps.throw(failure)
            try:
                reply, failure = await _aperform(request), None
            except Exception as error:  # noqa: BLE001  handed to the flow that asked
                failure = error
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


async def _aperform(request: _Call | _Sleep | _Gather) -> Any:
    if isinstance(request, _Call):
        if request.timeout is None:
            return await request.effect.acall(None)
        return await _acall_within(request.effect, request.timeout)
    if isinstance(request, _Sleep):
        return await asyncio.sleep(request.seconds)
    return await _agather(request)


async def _acall_within(effect: Effect[Any], timeout: float) -> Any:
    task = asyncio.ensure_future(effect.acall(timeout))
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if done:
            return task.result()
        raise _late(effect, timeout)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_GRACE)
            task.add_done_callback(_retrieve)


def _retrieve(task: asyncio.Future[Any]) -> None:
    """Look at a late task's error, so that asyncio does not report it as never retrieved."""
    if not task.cancelled():
        task.exception()


async def _agather(request: _Gather) -> list[Any]:
    gate = asyncio.Semaphore(len(request.runs) if request.at_once is None else request.at_once)

    async def outcome(steps: Generator[Any, Any, Any]) -> Any:
        async with gate:
            try:
                return await _run_async(steps)
            except Exception as error:  # noqa: BLE001  kept as that step's outcome
                return _Failed(error)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(steps)) for steps in request.runs]
    return [task.result() for task in tasks]
