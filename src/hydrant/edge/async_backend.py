"""The backend for `asyncio`: every call is the synchronous one, run in a thread."""

from __future__ import annotations

import inspect
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from qdrant_client.async_client_base import AsyncQdrantBase

from hydrant.edge.backend import EdgeBackend
from hydrant.edge.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class AsyncEdgeBackend(AsyncQdrantBase):
    """Implements `AsyncQdrantBase` by an `EdgeBackend`; there is no second copy of its logic.

    Its methods, those of `AsyncQdrantBase`, are made below from the synchronous ones of the same name.

    Args:
        sync: The backend that does the work.
    """

    def __init__(self, sync: EdgeBackend) -> None:
        super().__init__()
        self.sync = sync
        self._workers = Workers()

    async def run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Run one of the synchronous backend's methods in a thread."""
        return await self._workers.run(partial(getattr(self.sync, name), *args, **kwargs))

    def upload_points(self, *args: Any, **kwargs: Any) -> None:
        """Write points in batches; synchronous in `AsyncQdrantClient` too."""
        self.sync.upload_points(*args, **kwargs)

    def upload_collection(self, *args: Any, **kwargs: Any) -> None:
        """Write columns of vectors, payloads and ids; synchronous in `AsyncQdrantClient` too."""
        self.sync.upload_collection(*args, **kwargs)


def _delegate(name: str, declared: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    @wraps(declared)
    async def call(self: AsyncEdgeBackend, *args: Any, **kwargs: Any) -> Any:
        return await self.run(name, *args, **kwargs)

    call.__doc__ = getattr(EdgeBackend, name).__doc__
    return call


for _name, _declared in vars(AsyncQdrantBase).items():
    if inspect.iscoroutinefunction(_declared) and not _name.startswith("_"):
        setattr(AsyncEdgeBackend, _name, _delegate(_name, _declared))
