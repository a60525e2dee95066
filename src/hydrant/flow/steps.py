"""What a flow may yield."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from hydrant.errors import ConfigurationError
from hydrant.flow.tracing import Recorder
from hydrant.threads import POOL

T = TypeVar("T")
Flow: TypeAlias = Generator[Any, Any, T]


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


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = f"{name} must be a whole number of at least 1, got {value!r}"
        raise ConfigurationError(msg)
