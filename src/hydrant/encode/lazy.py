"""A value that is made at its first use, once, whichever thread comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Makes its value at the first `get`; callers that come meanwhile wait for it.

    An error is the caller's, and the next `get` tries again. A copy or a pickle carries the factory, not the value.
    """

    __slots__ = ("_factory", "_lock", "_value")

    def __init__(self, factory: Callable[[], T]) -> None:
        self._factory = factory
        self._lock = threading.Lock()
        self._value: T | None = None

    def get(self) -> T:
        """The value, made now if it is not there yet."""
        value = self._value
        if value is None:
            with self._lock:
                value = self._value
                if value is None:
                    value = self._value = self._factory()
        return value

    def peek(self) -> T | None:
        """The value if it is there, without making it."""
        return self._value

    def clear(self) -> None:
        """Forget the value."""
        with self._lock:
            self._value = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Lazy, (self._factory,)
