"""The OpenAI SDK's clients: those that were given, or those made from the environment when they are needed."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hydrant.errors import ConfigurationError, MissingDependency
from hydrant.threads import POOL

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

_DEFAULT_ADDRESS = "https://api.openai.com/v1"


class Clients:
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
        url = urlsplit(self._url())
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}".rstrip("/")

    def _url(self) -> str:
        if not self._given and self._sync is None:
            # Known without a client, whose import takes a second that an event loop has not.
            return os.environ.get("OPENAI_BASE_URL", _DEFAULT_ADDRESS)
        return str((self._async if self._sync is None else self._sync).base_url)

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
