"""The one place where requests leave for Qdrant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from hydrant.errors import ConfigurationError
from hydrant.flow import Effect, Retry
from hydrant.threads import POOL
from hydrant.types import PassageId

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, QdrantClient, models

T = TypeVar("T")

# "Too many requests" and the answers of a server or proxy that is starting, overloaded or gone for a moment.
_PASSING_STATUS = frozenset({429, 502, 503, 504})
_PASSING_GRPC = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})
_PATIENT = Retry()
_SCORES = "query_batch_scores"
_TAKE_TIMEOUT = frozenset(
    {"query_points", "query_batch_points", "query_points_groups", "retrieve", "scroll", "count", "facet"}
)


@dataclass(frozen=True, slots=True)
class Clients:
    """The ready clients a collection talks through. One is enough: async calls borrow a thread without the other."""

    sync: QdrantClient | None = None
    asynchronous: AsyncQdrantClient | None = None

    @classmethod
    def of(cls, client: QdrantClient | AsyncQdrantClient, beside: AsyncQdrantClient | None = None) -> Clients:
        """Sort out which kind of client was given.

        Raises:
            ConfigurationError: Something that is no Qdrant client, or two async ones.
        """
        from qdrant_client import AsyncQdrantClient, QdrantClient

        if isinstance(client, QdrantClient):
            if beside is not None and not isinstance(beside, AsyncQdrantClient):
                msg = f"async_client must be an AsyncQdrantClient, got {type(beside).__name__}"
                raise ConfigurationError(msg)
            return cls(client, beside)
        if isinstance(client, AsyncQdrantClient) and beside is None:
            return cls(None, client)
        msg = (
            "client must be a QdrantClient or an EdgeClient, with an AsyncQdrantClient beside it where async calls "
            f"should not borrow threads, or an AsyncQdrantClient alone; got {type(client).__name__}"
        )
        raise ConfigurationError(msg)


class QdrantCall(Effect[T]):
    """One call of a Qdrant client's method, by name.

    Args:
        clients: Whom to call.
        method: The method's name, the same on both kinds of client.
        repeatable: Whether the call may be made twice: reads, upserts of whole points, deletions.
        retry: How patiently, for repeatable calls that failed for a passing reason.
        **arguments: The method's keyword arguments.
    """

    def __init__(
        self, clients: Clients, method: str, *, repeatable: bool, retry: Retry = _PATIENT, **arguments: Any
    ) -> None:
        self.name = f"qdrant {method}"
        self._clients = clients
        self._method = method
        self._repeatable = repeatable
        self._retry = retry
        self._arguments = arguments

    def call(self, timeout: float | None) -> T:
        """Call the sync client.

        Raises:
            ConfigurationError: There is only an async client.
        """
        if self._clients.sync is None:
            msg = "this collection was opened with an AsyncQdrantClient alone: use arun, or open it with a QdrantClient"
            raise ConfigurationError(msg)
        return getattr(self._clients.sync, self._method)(**self._timed(timeout))  # type: ignore[no-any-return]

    async def acall(self, timeout: float | None) -> T:
        """Await the async client, or call the sync one in a thread."""
        if self._clients.asynchronous is None:
            return await super().acall(timeout)
        return await getattr(self._clients.asynchronous, self._method)(**self._timed(timeout))  # type: ignore[no-any-return]

    def retry_after(self, error: Exception, attempt: int) -> float | None:
        """Wait as long as the server asks, plus jitter, when the failure is one that passes."""
        if not self._repeatable:
            return None
        at_least = _asked_wait(error)
        return None if at_least is None else self._retry.delay(attempt, at_least)

    def _timed(self, timeout: float | None) -> dict[str, Any]:
        # Qdrant takes whole seconds; the driver keeps the fraction.
        if timeout is None or self._method not in _TAKE_TIMEOUT:
            return self._arguments
        return {**self._arguments, "timeout": max(1, math.ceil(timeout))}


class ScoresCall(QdrantCall[list[list[tuple[PassageId, float]]]]):
    """A batch of queries of which only ids and scores are wanted, asked in the cheapest way a client has.

    `EdgeClient` has a call that gives nothing else; a server's answer is read from its points.

    Args:
        clients: Whom to call.
        collection_name: The collection.
        requests: The queries, without payloads.
    """

    def __init__(self, clients: Clients, collection_name: str, requests: list[models.QueryRequest]) -> None:
        super().__init__(
            clients,
            "query_batch_points",
            repeatable=True,
            collection_name=collection_name,
            requests=requests,
        )

    def call(self, timeout: float | None) -> list[list[tuple[PassageId, float]]]:
        """Ask the sync client; raises as `QdrantCall.call` does."""
        client: Any = self._clients.sync
        if hasattr(client, _SCORES):
            answer: list[list[tuple[PassageId, float]]] = client.query_batch_scores(**self._arguments)
            return answer
        return _pairs(super().call(timeout))

    async def acall(self, timeout: float | None) -> list[list[tuple[PassageId, float]]]:
        """Await the async client, or call the sync one in a thread."""
        client: Any = self._clients.asynchronous
        if client is None:
            return await POOL.await_call(self.call, timeout)
        if hasattr(client, _SCORES):
            answer: list[list[tuple[PassageId, float]]] = await client.query_batch_scores(**self._arguments)
            return answer
        return _pairs(await super().acall(timeout))


def _pairs(responses: Any) -> list[list[tuple[PassageId, float]]]:
    return [[(point.id, point.score) for point in response.points] for response in responses]


def _asked_wait(error: Exception) -> float | None:
    """Seconds a server asked to be left alone (0 when it did not say), None for failures that do not pass."""
    if isinstance(error, ResourceExhaustedResponse):
        return float(error.retry_after_s)
    if isinstance(error, ResponseHandlingException):
        return 0.0
    if isinstance(error, UnexpectedResponse):
        return 0.0 if error.status_code in _PASSING_STATUS else None
    code = getattr(error, "code", None)  # grpc.RpcError, without importing grpc
    if callable(code) and getattr(code(), "name", "") in _PASSING_GRPC:
        return 0.0
    return None


def status_of(error: Exception) -> int | None:
    """The HTTP status behind an error of qdrant-client, where there is one."""
    return error.status_code if isinstance(error, UnexpectedResponse) else None
