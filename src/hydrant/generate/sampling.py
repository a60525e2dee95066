"""Several samples side by side: enough of them suffice, and stragglers are given up.

A slow sample among eight should not decide when the answer is there (Dean and Barroso, "The Tail at Scale", CACM 2013). Once
enough have come, the others have a little longer: a quarter of the time that those took.
"""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Awaitable, Callable, Sequence

from hydrant.errors import DeadlineExceeded, GenerationError
from hydrant.generate.reasoning import without_reasoning
from hydrant.generate.requests import Generation
from hydrant.threads import POOL
from hydrant.types import Usage

_GRACE_SHARE = 0.25
_MOST_REASONS = 3


class Gathering:
    """The samples that have come so far, and how long to wait for more.

    Args:
        calls: How many are under way.
        enough: How many texts suffice.
        seconds: How long all may take; None for no limit.
    """

    def __init__(self, calls: int, enough: int, seconds: float | None) -> None:
        self._calls = calls
        self._enough = enough
        self._began = time.monotonic()
        self._until = None if seconds is None else self._began + seconds
        self._outcomes: dict[int, Generation | Exception] = {}
        self._texts = 0

    def add(self, number: int, outcome: Generation | Exception) -> None:
        """One is over."""
        had = self._texts
        self._outcomes[number] = outcome
        if isinstance(outcome, Generation):
            self._texts += sum(
                1 for text in outcome.texts if not isinstance(text, str) or without_reasoning(text)
            )
        if had < self._enough <= self._texts:
            now = time.monotonic()
            until = now + _GRACE_SHARE * (now - self._began)
            self._until = until if self._until is None else min(self._until, until)

    @property
    def over(self) -> bool:
        """Whether all have come."""
        return len(self._outcomes) == self._calls

    def patience(self) -> float | None:
        """Seconds to wait for the next one; None for as long as it takes."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def result(self) -> Generation:
        """What has come, in the order in which it was asked for.

        Raises:
            DeadlineExceeded: Nothing has come in time.
            Exception: What the first one raised, where all failed.
        """
        ordered = [self._outcomes[number] for number in sorted(self._outcomes)]
        good = [outcome for outcome in ordered if isinstance(outcome, Generation)]
        errors = [outcome for outcome in ordered if isinstance(outcome, Exception)]
        missing = self._calls - len(ordered)
        if not good:
            if errors:
                raise errors[0]
            msg = (
                f"the language model did not answer within the {time.monotonic() - self._began:.3g} s it had"
            )
            raise DeadlineExceeded(msg)
        late = [f"{missing} of {self._calls} samples were not there in time"] if missing else []
        failures = [reason for outcome in good for reason in outcome.failures]
        return Generation(
            tuple(text for outcome in good for text in outcome.texts),
            sum((outcome.usage for outcome in good), Usage(calls=len(errors) + missing)),
            (*failures, *(f"{type(error).__name__}: {error}" for error in errors), *late),
            good[0].probabilities if len(good) == 1 else None,
        )


def gather(
    calls: Sequence[Callable[[], Generation]], enough: int, seconds: float | None, at_once: int | None = None
) -> Generation:
    """Make the calls in threads, and wait until enough samples have come.

    A thread cannot be stopped: a call that is given up ends by itself, at its own time limit.

    Args:
        calls: One sample each, or several.
        enough: How many texts suffice.
        seconds: How long all may take.
        at_once: How many may be under way at a time; None for all.
    """
    gathering = Gathering(len(calls), enough, seconds)
    arrived: queue.SimpleQueue[tuple[int, Generation | Exception]] = queue.SimpleQueue()
    waiting = list(enumerate(calls))

    def start() -> None:
        number, call = waiting.pop(0)
        POOL.submit(lambda: arrived.put((number, _outcome(call))))

    for _ in range(len(calls) if at_once is None else min(at_once, len(calls))):
        start()
    while not gathering.over:
        try:
            gathering.add(*arrived.get(timeout=gathering.patience()))
        except queue.Empty:
            break
        if waiting:
            start()
    return gathering.result()


async def agather(
    calls: Sequence[Callable[[], Awaitable[Generation]]],
    enough: int,
    seconds: float | None,
    at_once: int | None = None,
) -> Generation:
    """As `gather`, in the event loop. What is given up is cancelled, and so is everything when the caller is."""
    gathering = Gathering(len(calls), enough, seconds)
    gate = asyncio.Semaphore(len(calls) if at_once is None else at_once)

    async def sample(number: int, call: Callable[[], Awaitable[Generation]]) -> None:
        async with gate:
            try:
                gathering.add(number, await call())
            except Exception as error:  # noqa: BLE001  one sample's failure is no other's
                gathering.add(number, error)

    pending = {asyncio.ensure_future(sample(number, call)) for number, call in enumerate(calls)}
    try:
        while pending and not gathering.over:
            done, pending = await asyncio.wait(
                pending, timeout=gathering.patience(), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    return gathering.result()


def said(failures: Sequence[str]) -> str:
    """Why samples are missing, briefly."""
    reasons = list(dict.fromkeys(failures))
    more = f" and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
    return "; ".join(reasons[:_MOST_REASONS]) + more


def _outcome(call: Callable[[], Generation]) -> Generation | Exception:
    try:
        generation: object = call()
    except Exception as error:  # noqa: BLE001  one sample's failure is no other's
        return error
    if isinstance(generation, Generation):
        return generation
    return GenerationError(f"a sample must be a Generation, got {generation!r}")
