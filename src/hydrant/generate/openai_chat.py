"""Models behind an OpenAI-compatible chat completions interface: OpenAI, vLLM, Ollama, llama.cpp's server and others."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from hydrant.errors import ConfigurationError, DeadlineExceeded, GenerationError
from hydrant.generate.base import TextGenerator
from hydrant.generate.choices import shares
from hydrant.generate.openai_clients import Clients
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.generate.sampling import agather, gather
from hydrant.types import Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

# What a server answers that knows no `n`, or wants none above 1.
_REFUSALS = frozenset({400, 422, 501})
_SHOWN = 200
# As many as OpenAI gives.
_TOP_TOKENS = 20
_NO_TIME = 0.001


@dataclass(frozen=True, slots=True)
class _Round:
    """Requests to make side by side, how many texts suffice, and how long all of them may take."""

    requests: Sequence[GenerationRequest]
    enough: int
    seconds: float | None


class _Clock:
    """How much of a request's time is left for another round."""

    def __init__(self, seconds: float | None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds

    def singles(self, request: GenerationRequest, numbers: range, enough: int) -> _Round:
        """A round of requests for one sample each, in the time that is left."""
        left = None if self._until is None else max(_NO_TIME, self._until - time.monotonic())
        request = replace(request, timeout=left)
        return _Round([request.single(number) for number in numbers], enough, left)


class OpenAIGenerator(TextGenerator):
    """A model behind an OpenAI-compatible server.

    All samples are asked for in one request (`n`). A server that refuses that, or answers with one sample all the same, is
    asked for single ones side by side from then on; one that gives fewer than suffice, for the others. Probabilities of `choices` are asked for as `logprobs`, until the server refuses. Failed requests are tried again as the client says (`max_retries`).

    Args:
        model: The model's name on the server.
        client: A ready `openai.OpenAI` or `openai.AsyncOpenAI`. None makes one at the first use from the environment
            (`OPENAI_API_KEY`, `OPENAI_BASE_URL`); an async one that is made so opens a connection for every request, because
            nobody closes it: for a server of many users give your own. With a sync client alone, async searches use it in threads, where a
            call that is given up runs on until its time limit.
        async_client: A ready `openai.AsyncOpenAI` beside the sync client.
        options: Further fields of the request, such as `{"top_p": 0.9}` or `{"reasoning_effort": "low"}`; those
            that the client does not know by name go into `{"extra_body": {...}}`.
        limit_field: The field in which this server takes the length of an answer; OpenAI's reasoning models take
            "max_completion_tokens".

    Raises:
        ConfigurationError: A client is of another type, or the model has no name.
    """

    def __init__(
        self,
        model: str,
        client: OpenAI | AsyncOpenAI | None = None,
        *,
        async_client: AsyncOpenAI | None = None,
        options: Mapping[str, Any] | None = None,
        limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
    ) -> None:
        if not isinstance(model, str) or not model.strip():
            msg = f"model must be the model's name on the server, got {model!r}"
            raise ConfigurationError(msg)
        if limit_field not in {"max_tokens", "max_completion_tokens"}:
            msg = f"limit_field must be 'max_tokens' or 'max_completion_tokens', got {limit_field!r}"
            raise ConfigurationError(msg)
        self.model = model
        self.client, self.async_client = client, async_client
        self._clients = Clients(client, async_client)
        self._options = dict(options or {})
        self._limit_field = limit_field
        # Whether the server gives several samples at once; None until it was asked.
        self._many: bool | None = None
        # Whether the server takes a request for probabilities; None until it was asked.
        self._weighs: bool | None = None

    @property
    def identity(self) -> str | None:
        """The server's address, the model and the options."""
        return f"openai {self._clients.address} {self.model} {sorted(self._options.items())!r}"

    def complete(self, request: GenerationRequest) -> Generation:
        """The samples, in one request or in several side by side."""
        client = self._clients.sync()
        plan = self._plan(request)
        answer: Generation | None = None
        failure: Exception | None = None
        while True:
            try:
                step = plan.send(answer) if failure is None else plan.throw(failure)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            calls = [partial(self._ask, client, each) for each in step.requests]
            try:
                answer, failure = gather(calls, step.enough, step.seconds), None
            except Exception as error:  # noqa: BLE001  the plan knows what it means
                failure = error

    async def acomplete(self, request: GenerationRequest) -> Generation:
        """As `complete`; requests that are given up are cancelled."""
        client = await self._clients.asynchronous()
        if client is None:
            return await super().acomplete(request)
        plan = self._plan(request)
        answer: Generation | None = None
        failure: Exception | None = None
        while True:
            try:
                step = plan.send(answer) if failure is None else plan.throw(failure)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            calls: list[Callable[[], Awaitable[Generation]]] = [
                partial(self._aask, client, each) for each in step.requests
            ]
            try:
                answer, failure = await agather(calls, step.enough, step.seconds), None
            except Exception as error:  # noqa: BLE001  the plan knows what it means
                failure = error

    def warm_up(self) -> None:
        """Make the client."""
        if not self._clients.asynchronous_only:
            self._clients.sync()

    def close(self) -> None:
        """Close the client, if the generator made it."""
        self._clients.close()

    def _plan(self, request: GenerationRequest) -> Generator[_Round, Any, Generation]:
        """Which requests to make; the reply is what came of them."""
        clock = _Clock(request.timeout)
        if request.choices:
            return (yield from self._choosing(request, clock))
        if request.samples == 1 or self._many is False:
            alone: Generation = yield clock.singles(request, range(request.samples), request.needed)
            return alone
        try:
            first: Generation = yield _Round([request], request.needed, request.timeout)
        except GenerationError as error:
            if self._many or _status(error) not in _REFUSALS:
                raise
            answers: Generation = yield clock.singles(request, range(request.samples), request.needed)
            # Only now is it known that the request was not at fault for another reason.
            self._many = False
            return answers
        came = len(first.texts) + len(first.failures)
        self._many = came > 1
        if first.failures or request.needed <= came:
            return first
        try:
            rest: Generation = yield clock.singles(
                request, range(came, request.samples), request.needed - came
            )
        except (GenerationError, DeadlineExceeded) as error:
            # What has come is not lost with what has not.
            return replace(first, failures=(f"{type(error).__name__}: {error}",))
        return Generation(first.texts + rest.texts, first.usage + rest.usage, rest.failures)

    def _choosing(self, request: GenerationRequest, clock: _Clock) -> Generator[_Round, Any, Generation]:
        """One answer, with its probabilities where the server gives them."""
        if self._weighs is not False:
            try:
                weighed: Generation = yield clock.singles(request, range(1), 1)
            except GenerationError as error:
                if self._weighs or _status(error) not in _REFUSALS:
                    raise
            else:
                self._weighs = True
                return weighed
        plain: Generation = yield clock.singles(replace(request, choices=()), range(1), 1)
        # Only now is it known that the request was not at fault for another reason.
        self._weighs = False
        return plain

    def _ask(self, client: OpenAI, request: GenerationRequest) -> Generation:
        import openai

        try:
            return _parsed(client.chat.completions.create(**self._fields(request)), self.model, request)
        except (openai.OpenAIError, ValueError) as error:
            raise self._said(error, request) from error

    async def _aask(self, client: AsyncOpenAI, request: GenerationRequest) -> Generation:
        import openai

        try:
            return _parsed(await client.chat.completions.create(**self._fields(request)), self.model, request)
        except (openai.OpenAIError, ValueError) as error:
            raise self._said(error, request) from error

    def _fields(self, request: GenerationRequest) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "temperature": request.temperature,
            self._limit_field: request.max_tokens,
        }
        if request.samples > 1:
            fields["n"] = request.samples
        if request.choices:
            fields |= {"logprobs": True, "top_logprobs": _TOP_TOKENS}
        if request.stop:
            fields["stop"] = list(request.stop)
        if request.seed is not None:
            fields["seed"] = request.seed
        if request.timeout is not None:
            fields["timeout"] = request.timeout
        return fields | self._options

    def _said(self, error: Exception, request: GenerationRequest) -> Exception:
        """The error as ours."""
        import openai

        where = f"model {self.model!r} at {self._clients.address}"
        if isinstance(error, openai.APITimeoutError):
            limit = "its time limit" if request.timeout is None else f"the {request.timeout:.3g} s it had"
            return DeadlineExceeded(f"{where} did not answer within {limit}")
        if isinstance(error, openai.APIStatusError):
            return GenerationError(f"{where} answered HTTP {error.status_code}: {_shown(error.message)}")
        if isinstance(error, GenerationError):
            return error
        return GenerationError(f"{where} cannot be used: {type(error).__name__}: {_shown(error)}")


def _parsed(answer: Any, model: str, request: GenerationRequest) -> Generation:
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        msg = f"model {model!r} must answer with a chat completion that has choices, got {_shown(answer)}"
        raise GenerationError(msg)
    texts, failures = [], []
    for choice in choices:
        content = getattr(getattr(choice, "message", None), "content", None)
        if isinstance(content, str):
            texts.append(content)
        else:
            failures.append(
                f"a sample without text (finish_reason {getattr(choice, 'finish_reason', None)!r})"
            )
    usage = _usage(getattr(answer, "usage", None))
    weighed = shares(request.choices, _first_tokens(choices[0])) if request.choices else None
    return Generation(tuple(texts), usage, tuple(failures), weighed)


def _first_tokens(choice: Any) -> list[tuple[str, float]]:
    """What the answer might have begun with, and the logarithms of how probable that was."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    tops = getattr(content[0], "top_logprobs", None) if isinstance(content, list) and content else None
    return [(getattr(top, "token", ""), getattr(top, "logprob", -math.inf)) for top in tops or ()]


def _usage(said: Any) -> Usage:
    def count(name: str) -> int:
        value = getattr(said, name, None)
        return value if isinstance(value, int) else 0

    return Usage(count("prompt_tokens"), count("completion_tokens"), calls=1)


def _status(error: BaseException) -> int | None:
    return getattr(error.__cause__, "status_code", None)


def _shown(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
