"""Stages that do what they are told, fail, or hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hydrant.flow import Effect, Flow
from hydrant.pipeline import Stage

if TYPE_CHECKING:
    from hydrant.types import SearchState


class FunctionStage(Stage):
    """A stage that is a plain function of the state.

    Args:
        function: From the state that comes in to the one that goes out.
        name: The stage's name.
        required: Whether the search fails with the stage.
    """

    def __init__(
        self,
        function: Callable[[SearchState], SearchState],
        name: str = "function",
        *,
        required: bool = False,
    ) -> None:
        self.name = name
        self.required = required
        self._function = function

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Call the function."""
        changed: SearchState = yield _Do("call", lambda: self._function(state))
        return changed


class FailingStage(Stage):
    """A stage that always raises.

    Args:
        error: What it raises.
        name: The stage's name.
        required: Whether the search fails with it.
    """

    def __init__(self, error: Exception, name: str = "failing", *, required: bool = False) -> None:
        self.name = name
        self.required = required
        self._error = error

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Raise."""
        yield _Do("fail", self._fail)
        return state

    def _fail(self) -> None:
        raise self._error


class HangingStage(Stage):
    """A stage that does not answer, as a model or a server does at the worst moment, and changes nothing.

    Args:
        name: The stage's name.
        seconds: How long it takes to answer after all.
        required: Whether the search fails with it.
    """

    def __init__(self, name: str = "hanging", *, seconds: float = 3600.0, required: bool = False) -> None:
        self.name = name
        self.required = required
        self._seconds = seconds
        self._released = threading.Event()

    def flow(self, state: SearchState) -> Flow[SearchState]:
        """Wait."""
        yield _Do("hang", lambda: self._released.wait(self._seconds))
        return state

    def close(self) -> None:
        """Let the calls go that are still waiting."""
        self._released.set()


class _Do(Effect[Any]):
    def __init__(self, name: str, function: Callable[[], Any]) -> None:
        self.name = name
        self._function = function

    def call(self, timeout: float | None) -> Any:
        """Call the function."""
        return self._function()
