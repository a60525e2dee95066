"""What a tracer of LlamaIndex hears of a search."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # as its docs say
from llama_index.core.instrumentation.event_handlers.null import NullEventHandler  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events import BaseEvent

from hydrant import SearchResult

_LOGGER = logging.getLogger(__name__)
_DISPATCHER = get_dispatcher(__name__)


class HydrantSearchEvent(BaseEvent):
    """A search is over: what its stages did and how long they took.

    The stages are spans of OpenTelemetry too, inside the current one, where somebody records those.

    Attributes:
        query: What was asked.
        steps: Every step in the order they began: "name", "depth" (how many steps it lies inside), "start" and "seconds"
            (since the search began, and how long), "attempts", "error".
        hypotheses: The hypothetical documents that were searched with.
        degraded: The stages that the search went on without, and why.
        usage: What language models were asked, by stage: "prompt_tokens", "completion_tokens", "calls".
    """

    query: str
    steps: list[dict[str, Any]]
    hypotheses: list[str]
    degraded: list[str]
    usage: dict[str, dict[str, int]]

    @classmethod
    def class_name(cls) -> str:
        """The event's name."""
        return "HydrantSearchEvent"


def report(query: str, result: SearchResult, before: Sequence[str] = ()) -> list[str]:
    """Tell tracers of a search, and the log of what it went on without; returns the latter.

    Args:
        query: What was asked.
        result: What came of it.
        before: What went wrong before.
    """
    degraded = [*before, *map(str, result.degraded)]
    if result.degraded:
        _LOGGER.warning("the search went on without %s", "; ".join(map(str, result.degraded)))
    if _is_heard():
        _DISPATCHER.event(_event(query, result, degraded))
    return degraded


def _is_heard() -> bool:
    """Whether somebody listens; an event that nobody hears would cost as much as making the nodes."""
    dispatcher: Any = _DISPATCHER
    while dispatcher is not None:
        if any(not isinstance(handler, NullEventHandler) for handler in dispatcher.event_handlers):
            return True
        dispatcher = dispatcher.parent if dispatcher.propagate else None
    return False


def _event(query: str, result: SearchResult, degraded: list[str]) -> HydrantSearchEvent:
    steps = [
        {
            "name": step.name,
            "depth": step.depth,
            "start": step.start,
            "seconds": step.seconds,
            "attempts": step.attempts,
            "error": step.error,
        }
        for step in result.trace
    ]
    usage = {
        stage: {
            "prompt_tokens": used.prompt_tokens,
            "completion_tokens": used.completion_tokens,
            "calls": used.calls,
        }
        for stage, used in result.usage.items()
    }
    return HydrantSearchEvent(
        query=query, steps=steps, hypotheses=list(result.hypotheses), degraded=degraded, usage=usage
    )
