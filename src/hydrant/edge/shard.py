"""One collection's engine: every call into it, with typed errors."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import qdrant_edge as engine

from hydrant.edge.faults import translate
from hydrant.errors import EdgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Result = TypeVar("Result")


class Shard:
    """An open engine shard.

    Any number of threads may read and write. Writes take turns, so that those who follow along (an index
    being built, a snapshot) see one order of them.

    Args:
        name: The collection's name, for messages.
        folder: The shard's folder.
        opened: The engine, opened on that folder.
    """

    def __init__(self, name: str, folder: Path, opened: engine.EdgeShard) -> None:
        self.name = name
        self.folder = folder
        self._engine: engine.EdgeShard | None = opened
        self._writing = threading.RLock()

    @classmethod
    def create(cls, name: str, folder: Path, config: engine.EdgeConfig) -> Shard:
        """Make a new shard in a folder.

        Raises:
            InputError: The engine refuses the configuration.
            StorageError: The folder cannot be written.
        """
        return cls(name, folder, _attempt(f"create {name!r}", lambda: engine.EdgeShard.create(str(folder), config)))

    @classmethod
    def load(cls, name: str, folder: Path) -> Shard:
        """Open a shard that exists.

        Raises:
            EdgeError: The engine cannot read it.
        """
        return cls(name, folder, _attempt(f"open {name!r}", lambda: engine.EdgeShard.load(str(folder))))

    def query(self, request: engine.QueryRequest) -> list[engine.ScoredPoint]:
        """Run one query."""
        try:
            return self._open.query(request)
        except Exception as error:  # noqa: BLE001 -- the engine raises the builtin Exception for everything
            raise self._fault("query", error) from error

    def read(self, doing: str, call: Callable[[engine.EdgeShard], Result]) -> Result:
        """Run any reading call; `doing` names it in an error's message."""
        try:
            return call(self._open)
        except Exception as error:  # noqa: BLE001 -- see `query`
            raise self._fault(doing, error) from error

    def update(self, operations: Sequence[engine.UpdateOperation]) -> None:
        """Apply operations in their order; returns when they are in the write-ahead log and visible."""
        with self._writing:
            try:
                for operation in operations:
                    self._open.update(operation)
            except Exception as error:  # noqa: BLE001 -- see `query`
                raise self._fault("update", error) from error

    def optimize(self) -> bool:
        """Build what indexes are missing, and wait for it; says whether anything was done."""
        with self._writing:
            return self.read("optimize", lambda opened: opened.optimize())

    def close(self) -> None:
        """Write everything to disk and let go of the files; a second call does nothing."""
        with self._writing:
            opened, self._engine = self._engine, None
            if opened is not None:
                _attempt(f"close {self.name!r}", opened.flush)
                _attempt(f"close {self.name!r}", opened.close)

    @property
    def _open(self) -> engine.EdgeShard:
        if self._engine is None:
            message = f"collection {self.name!r} is closed: it was deleted, or its client was closed"
            raise EdgeError(message)
        return self._engine

    def _fault(self, doing: str, error: Exception) -> Exception:
        return translate(error, f"{doing} {self.name!r}")


def _attempt(doing: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 -- whatever the call gives
    try:
        return call()
    except Exception as error:  # noqa: BLE001 -- the engine raises the builtin Exception for everything
        raise translate(error, doing) from error
