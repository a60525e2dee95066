"""What one pipeline made of one question."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hydrant.types import Hit, Query, Usage


@dataclass(frozen=True, slots=True)
class Found:
    """A hit, as much of it as metrics need.

    Attributes:
        id: The passage's id.
        score: Its score.
        source: Where it comes from.
        itself: Whether it is the question itself: the same id or the same text.
        stray: Whether it lies outside what the question is searched in.
    """

    id: str
    score: float
    source: str | None = None
    itself: bool = False
    stray: bool = False

    @classmethod
    def of(cls, hit: Hit, query: str, asked: Query, *, stray: bool) -> Found:
        """What counts of a hit.

        Args:
            hit: The hit.
            query: The question's id.
            asked: The question.
            stray: See the attribute.
        """
        itself = str(hit.id) == query or hit.text.strip() == asked.text.strip()
        return cls(str(hit.id), float(hit.score), hit.source, itself, stray)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one pipeline made of one question.

    Attributes:
        found: The hits, best first.
        seconds: How long it took, every stage of it, also those that were run once for several pipelines.
        usage: What language models were asked.
        degraded: What the search went on without.
        error: Why there is no answer; None where there is one.
        before: The hits that came into each reranker, by its position in the pipeline.
        cached: Whether an expansion came from a cache, so that its time and its tokens are not in here.
        at_once: How many questions were under way at a time, which its time depends on.
    """

    found: tuple[Found, ...] = ()
    seconds: float = 0.0
    usage: Usage = Usage()  # noqa: RUF009  frozen, so that one can be everybody's
    degraded: tuple[str, ...] = ()
    error: str | None = None
    before: Mapping[int, tuple[Found, ...]] = field(default_factory=dict)
    cached: bool = False
    at_once: int = 1

    def record(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        usage = self.usage
        return {
            "found": [_row(each) for each in self.found],
            "seconds": self.seconds,
            "usage": [usage.prompt_tokens, usage.completion_tokens, usage.calls],
            "degraded": list(self.degraded),
            "error": self.error,
            "before": {str(at): [_row(each) for each in found] for at, found in self.before.items()},
            "cached": self.cached,
            "at_once": self.at_once,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Outcome:
        """The outcome that `record` wrote.

        Raises:
            KeyError: It did not.
            TypeError: As above.
            ValueError: As above.
        """
        return cls(
            tuple(Found(*row) for row in record["found"]),
            float(record["seconds"]),
            Usage(*map(int, record["usage"])),
            tuple(record["degraded"]),
            record["error"],
            {int(at): tuple(Found(*row) for row in rows) for at, rows in record["before"].items()},
            bool(record["cached"]),
            int(record["at_once"]),
        )


@dataclass(frozen=True, slots=True)
class Latency:
    """How long questions took, in seconds."""

    p50: float
    p95: float
    mean: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency | None:
        """The percentiles; None of nothing."""
        if not seconds:
            return None
        p50, p95 = np.quantile(np.array(seconds), [0.5, 0.95])
        return cls(float(p50), float(p95), float(np.mean(seconds)))


def peak_memory() -> int | None:
    """The most memory this process has held since it began, in bytes; None where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kilobytes, macOS bytes.
    return peak if sys.platform == "darwin" else peak * 1024


def _row(found: Found) -> list[Any]:
    return [found.id, found.score, found.source, found.itself, found.stray]
