"""A function from prompt to text as a generator."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from hydrant.errors import ConfigurationError, GenerationError
from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import Generation, GenerationRequest, check_whole
from hydrant.generate.sampling import agather, gather
from hydrant.threads import POOL
from hydrant.types import Usage

TextFunction: TypeAlias = Callable[[str], str] | Callable[[str], Awaitable[str]]


class CallableGenerator(TextGenerator):
    """Any function from a prompt to a text; samples are calls side by side.

    Args:
        function: Takes the prompt and returns the answer, or is a coroutine function that does.
        model: What tells its answers from another function's, for a cache on disk; None keeps them out of it.
        at_once: How many calls may be under way at a time; None for all samples.

    Raises:
        ConfigurationError: The function cannot be called.
    """

    def __init__(
        self, function: TextFunction, *, model: str | None = None, at_once: int | None = None
    ) -> None:
        if not callable(function):
            msg = f"function must take a prompt and return a text, got {function!r}"
            raise ConfigurationError(msg)
        if at_once is not None:
            check_whole("at_once", at_once)
        self._function: Callable[[str], Any] = function
        self._model = model
        self._at_once = at_once
        target = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
        self._is_async = inspect.iscoroutinefunction(target)

    @property
    def identity(self) -> str | None:
        """The name that was given."""
        return self._model

    def complete(self, request: GenerationRequest) -> Generation:
        """One call for each sample, in threads."""
        calls = [lambda: self._once(request.text)] * request.samples
        return gather(calls, request.needed, request.timeout, self._at_once)

    async def acomplete(self, request: GenerationRequest) -> Generation:
        """One call for each sample, awaited, or in threads where the function is no coroutine function."""
        calls = [lambda: self._aonce(request.text)] * request.samples
        return await agather(calls, request.needed, request.timeout, self._at_once)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CallableGenerator):
            return NotImplemented
        return self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash(self._settings())

    def _settings(self) -> tuple[Any, ...]:
        return self._function, self._model, self._at_once

    def _once(self, prompt: str) -> Generation:
        answer = self._function(prompt)
        # This runs in a thread of the pool, in which no event loop is.
        return _generation(asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer)

    async def _aonce(self, prompt: str) -> Generation:
        if self._is_async:
            return _generation(await self._function(prompt))
        answer = await POOL.await_call(self._function, prompt)
        return _generation(await answer if inspect.isawaitable(answer) else answer)


def as_generator(llm: object) -> TextGenerator:
    """What was given as a language model, as a generator.

    Raises:
        ConfigurationError: It is neither a generator nor a function.
    """
    if isinstance(llm, TextGenerator):
        return llm
    if callable(llm) and not isinstance(llm, type):
        return CallableGenerator(llm)
    msg = (
        "llm must be a text generator such as OpenAIGenerator('gpt-4o-mini') or TransformersGenerator('a/model'), or a "
        f"function from prompt to text; got {llm!r} that is a {type(llm).__name__}"
    )
    raise ConfigurationError(msg)


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _generation(answer: object) -> Generation:
    if not isinstance(answer, str):
        msg = f"the function of a CallableGenerator must return a str, got {answer!r} that is a {type(answer).__name__}"
        raise GenerationError(msg)
    return Generation((answer,), Usage(calls=1))
