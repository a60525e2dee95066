"""Generators over a model that gives one answer a call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from functools import partial

from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import Generation, GenerationRequest, check_whole
from hydrant.generate.sampling import agather, gather
from hydrant.threads import POOL


class SingleSampleGenerator(TextGenerator):
    """A generator that makes a call for every sample, all side by side: the base for other libraries' models.

    Subclasses give `sample`, and `asample` where they have something better to await than a thread. Once enough samples have
    come, those that lag behind are given up; awaited ones are cancelled. Calls in threads see the caller's context variables.

    Args:
        at_once: How many calls may be under way at a time; None for all samples.
    """

    def __init__(self, *, at_once: int | None = None) -> None:
        if at_once is not None:
            check_whole("at_once", at_once)
        self._at_once = at_once

    @abstractmethod
    def sample(self, request: GenerationRequest) -> Generation:
        """One answer.

        Args:
            request: What to ask; it wants a single sample.

        Raises:
            GenerationError: There is none.
        """

    async def asample(self, request: GenerationRequest) -> Generation:
        """One answer, without blocking the event loop."""
        return await POOL.await_call(self.sample, request)

    def complete(self, request: GenerationRequest) -> Generation:
        """The samples, each asked for in a thread."""
        calls = [partial(self.sample, request.single(number)) for number in range(request.samples)]
        return gather(calls, request.needed, request.timeout, self._at_once)

    async def acomplete(self, request: GenerationRequest) -> Generation:
        """The samples, each awaited."""
        calls: list[Callable[[], Awaitable[Generation]]] = [
            partial(self.asample, request.single(number)) for number in range(request.samples)
        ]
        return await agather(calls, request.needed, request.timeout, self._at_once)
