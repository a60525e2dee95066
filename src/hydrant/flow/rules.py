"""The rules of every run: deadlines that nest, retries, tracing, and errors thrown back at the `yield`.

Nothing here waits or calls: `drive` is a generator over a flow that yields `Call`, `Sleep` and `Gather` to a driver.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hydrant.errors import ConfigurationError, DeadlineExceeded
from hydrant.flow.steps import Effect, Flow, Together, Within
from hydrant.flow.tracing import Recorder, Span

T = TypeVar("T")

# A limit beyond a year is none: the waits of threads and of the event loop overflow somewhere above.
_FOREVER = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Scope:
    """Where in the run a step lies: its deadline on the monotonic clock, and its place in the trace."""

    deadline: float | None
    recorder: Recorder
    depth: int = 0

    @classmethod
    def begin(cls, deadline: float | None, recorder: Recorder | None) -> Scope:
        """The scope of a whole run.

        Raises:
            ConfigurationError: The deadline is no number of seconds above 0.
        """
        number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
        if deadline is not None and not (number and deadline > 0):
            msg = f"deadline must be a number of seconds above 0, or None for no limit; got {deadline!r}"
            raise ConfigurationError(msg)
        until = None if deadline is None or deadline > _FOREVER else time.monotonic() + deadline
        return cls(until, Recorder() if recorder is None else recorder)

    def remaining(self) -> float | None:
        """Seconds left, None without a deadline."""
        return None if self.deadline is None else self.deadline - time.monotonic()

    def within(self, seconds: float | None) -> Scope:
        """The scope of a step inside this one, with a limit of its own or without."""
        deadline = self.deadline
        if seconds is not None and seconds <= _FOREVER:
            own = time.monotonic() + seconds
            deadline = own if deadline is None else min(deadline, own)
        return Scope(deadline, self.recorder, self.depth + 1)

    def recording(self, recorder: Recorder | None) -> Scope:
        """This scope with another trace."""
        return self if recorder is None else Scope(self.deadline, recorder)

    def span(self, name: str) -> Span:
        """A step's place in the trace."""
        return Span(self.recorder, name, self.depth)


@dataclass(frozen=True, slots=True)
class Call:
    """Do this now; `timeout` is what is left of the deadline."""

    effect: Effect[Any]
    timeout: float | None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Gather:
    """Drive these side by side, so many at a time; the reply has `Failed` where one raised."""

    runs: Sequence[Generator[Any, Any, Any]]
    at_once: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """What one of several raised."""

    error: Exception


def drive(flow: Flow[Any], scope: Scope) -> Generator[Any, Any, Any]:
    """Run a flow by the rules; returns what it returns."""
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


def _step(step: Any, scope: Scope) -> Generator[Any, Any, Any]:
    if isinstance(step, Effect):
        return (yield from _attempt(step, scope))
    if isinstance(step, Within):
        scope = scope.recording(step.recorder)
        with scope.span(step.name):
            return (yield from drive(step.flow, scope.within(step.seconds)))
    if isinstance(step, Together):
        return (yield from _together(step, scope))
    if isinstance(step, Generator):
        return (yield from drive(step, scope))
    msg = f"a flow may yield an Effect, Together, Within or another flow; got {step!r}"
    raise TypeError(msg)


def _attempt(effect: Effect[T], scope: Scope) -> Generator[Any, Any, T]:
    with scope.span(effect.name) as span:
        while True:
            remaining = scope.remaining()
            if remaining is not None and remaining <= 0:
                msg = f"no time was left for {effect.name}"
                raise DeadlineExceeded(msg)
            try:
                return (yield Call(effect, remaining))  # type: ignore[no-any-return]
            except DeadlineExceeded:
                raise
            except Exception as error:
                delay = effect.retry_after(error, span.attempts)
                remaining = scope.remaining()
                if delay is None or (remaining is not None and delay >= remaining):
                    raise
            yield Sleep(delay)
            span.attempts += 1


def _together(together: Together, scope: Scope) -> Generator[Any, Any, list[Any]]:
    inner = scope.within(None)
    runs = [drive(_single(step), inner) for step in together.steps]
    outcomes = yield Gather(runs, together.at_once)
    errors = [outcome.error for outcome in outcomes if isinstance(outcome, Failed)]
    if errors and not together.keep_errors:
        raise errors[0]
    return [outcome.error if isinstance(outcome, Failed) else outcome for outcome in outcomes]


def _single(step: Any) -> Flow[Any]:
    return (yield step)
