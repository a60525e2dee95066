"""How long every step took: for `result.trace`, and for OpenTelemetry where somebody listens."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from opentelemetry import trace as otel

from hydrant.types import TraceSpan

_TRACER = otel.get_tracer("hydrant")


@dataclass(slots=True)
class Recorder:
    """Collects the spans of one run; list.append is atomic, so side-by-side steps may share it."""

    began: float = field(default_factory=time.perf_counter)
    spans: list[TraceSpan] = field(default_factory=list)

    def trace(self) -> tuple[TraceSpan, ...]:
        """The spans so far in the order in which the steps began."""
        return tuple(sorted(self.spans, key=lambda span: (span.start, span.depth)))


class Span:
    """One step's place in the trace, and its OpenTelemetry span where somebody records those.

    Without a tracer provider a span of the API still costs more to make current than everything else here.
    """

    __slots__ = ("_begun", "_current", "_depth", "_name", "_recorder", "attempts")

    def __init__(self, recorder: Recorder, name: str, depth: int) -> None:
        self._recorder = recorder
        self._name = name
        self._depth = depth
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
        said = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else None
        began = self._begun - self._recorder.began
        self._recorder.spans.append(TraceSpan(self._name, self._depth, began, seconds, self.attempts, said))
        if self._current is not None:
            self._current.__exit__(kind, error, where)
