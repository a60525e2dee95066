"""Models behind an OpenAI-compatible chat completions interface: OpenAI, vLLM, Ollama, llama.cpp's server and others."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from hydrant.errors import ConfigurationError, DeadlineExceeded, GenerationError, MissingDependency
from hydrant.generate.base import TextGenerator
from hydrant.generate.requests import Generation, GenerationRequest
from hydrant.generate.sampling import agather, gather
from hydrant.threads import POOL
from hydrant.types import Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

# What a server answers that knows no `n`, or wants none above 1.
_REFUSALS = frozenset({400, 422, 501})
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class _Round:
    """Requests to make side by side: for each the request, of whose samples so many are asked for at once."""

    requests: Sequence[GenerationRequest]
    enough: int


class OpenAIGenerator(TextGenerator):
    """A model behind an OpenAI-compatible server.

    All samples are asked for in one request (`n`). A server that refuses that, or answers with one sample all the same, is
    asked for single ones side by side from then on. Failed requests are tried again as the client says (`max_retries`).

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
        self._clients = _Clients(client, async_client)
        self._options = dict(options or {})
        self._limit_field = limit_field
        # Whether the server gives several samples at once; None until it was asked.
        self._many: bool | None = None

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
                answer, failure = gather(calls, step.enough, request.timeout), None
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
                answer, failure = await agather(calls, step.enough, request.timeout), None
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
        if request.samples == 1 or self._many is False:
            alone: Generation = yield self._singles(request, range(request.samples), request.needed)
            return alone
        try:
            first: Generation = yield _Round([request], request.needed)
        except GenerationError as error:
            if self._many or _status(error) not in _REFUSALS:
                raise
            answers: Generation = yield self._singles(request, range(request.samples), request.needed)
            # Only now is it known that the request was not at fault for another reason.
            self._many = False
            return answers
        came = len(first.texts) + len(first.failures)
        self._many = came > 1
        if self._many or first.failures or request.needed <= came:
            return first
        rest: Generation = yield self._singles(request, range(came, request.samples), request.needed - came)
        return Generation(first.texts + rest.texts, first.usage + rest.usage, rest.failures)

    def _singles(self, request: GenerationRequest, numbers: range, enough: int) -> _Round:
        return _Round([request.single(number) for number in numbers], enough)

    def _ask(self, client: OpenAI, request: GenerationRequest) -> Generation:
        import openai

        try:
            return _parsed(client.chat.completions.create(**self._fields(request)), self.model)
        except (openai.OpenAIError, ValueError) as error:
            raise self._said(error, request) from error

    async def _aask(self, client: AsyncOpenAI, request: GenerationRequest) -> Generation:
        import openai

        try:
            return _parsed(await client.chat.completions.create(**self._fields(request)), self.model)
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


class _Clients:
    """The clients that were given, or those made from the environment."""

    def __init__(self, client: object, async_client: object) -> None:
        self._given = client is not None or async_client is not None
        self._sync: Any = None
        self._async: Any = None
        for each in (client, async_client):
            if each is None:
                continue
            kind = _kind(each)
            if kind == "AsyncOpenAI" and self._async is None:
                self._async = each
            elif kind == "OpenAI" and self._sync is None and each is client:
                self._sync = each
            else:
                msg = f"client must be an openai.OpenAI or AsyncOpenAI, and async_client an AsyncOpenAI; got {each!r}"
                raise ConfigurationError(msg)
        self._lock = threading.Lock()
        # An async client belongs to the event loop in which its connections were opened.
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def asynchronous_only(self) -> bool:
        """Whether there is an async client and no sync one."""
        return self._given and self._sync is None

    @property
    def address(self) -> str:
        """The server's base URL, without a user or a password in it."""
        client = self._async if self._sync is None and self._async is not None else self.sync()
        url = client.base_url
        port = "" if url.port is None else f":{url.port}"
        return f"{url.scheme}://{url.host}{port}{url.path}".rstrip("/")

    def sync(self) -> OpenAI:
        """The client for sync calls."""
        if self.asynchronous_only:
            msg = "this OpenAIGenerator has an AsyncOpenAI only; await arun(...), or give it an openai.OpenAI as client too"
            raise ConfigurationError(msg)
        with self._lock:
            if self._sync is None:
                self._sync = _made("OpenAI")
            return self._sync  # type: ignore[no-any-return]

    async def asynchronous(self) -> AsyncOpenAI | None:
        """The client for async calls; None where there is but a sync one."""
        if self._given:
            return self._async  # type: ignore[no-any-return]
        loop = asyncio.get_running_loop()
        known = self._by_loop.get(loop)
        # The SDK's import and the certificates take a second, which the loop need not wait for.
        return await POOL.await_call(self._for_loop, loop) if known is None else known

    def _for_loop(self, loop: asyncio.AbstractEventLoop) -> AsyncOpenAI:
        with self._lock:
            client = self._by_loop.get(loop)
            if client is None:
                # Nobody tells a client that its loop ends: a connection that it kept would be left open.
                client = self._by_loop[loop] = _made("AsyncOpenAI", default_headers={"Connection": "close"})
            return client

    def close(self) -> None:
        """Close what was made here. Async clients end with their event loop."""
        if self._given:
            return
        with self._lock:
            if self._sync is not None:
                self._sync.close()
                self._sync = None
        self._by_loop.clear()


def _kind(client: object) -> str | None:
    """Which of the SDK's clients it is; without importing the SDK, which whoever made the client has done."""
    names = [kind.__name__ for kind in type(client).__mro__ if kind.__module__.partition(".")[0] == "openai"]
    return next((name for name in ("AsyncOpenAI", "OpenAI") if name in names), None)


def _made(kind: str, **settings: Any) -> Any:
    try:
        import openai
    except ImportError as error:
        msg = "OpenAIGenerator needs the openai package: pip install 'hydrant-rag[openai]'"
        raise MissingDependency(msg) from error
    try:
        return getattr(openai, kind)(**settings)
    except openai.OpenAIError as error:
        msg = f"no OpenAI client can be made from the environment ({error}); set OPENAI_API_KEY, or give a ready client"
        raise ConfigurationError(msg) from error


def _parsed(answer: Any, model: str) -> Generation:
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
    return Generation(tuple(texts), _usage(getattr(answer, "usage", None)), tuple(failures))


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
