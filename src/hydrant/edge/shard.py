"""One collection's engine: every call into it, with typed errors, and the books that index building needs."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import qdrant_edge as engine

from hydrant.edge.faults import is_engines, translate
from hydrant.edge.wal import remove_unbegun
from hydrant.errors import EdgeError, HydrantError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hydrant.edge.change import Change

Result = TypeVar("Result")


@dataclass(frozen=True)
class Counts:
    """What a shard knows of its own state.

    Attributes:
        points: Points that exist.
        vectors: Vectors that exist, of all names.
        indexed: Vectors in indexed segments; replaced and deleted ones count until the segment is rebuilt.
        upserted: Points written since the last rebuild, or since the shard was opened.
        base: Points that existed then.
        quiet_for: Seconds since the last write, or since the shard was opened.
    """

    points: int
    vectors: int
    indexed: int
    upserted: int
    base: int
    quiet_for: float

    @property
    def obsolete(self) -> int:
        """Points whose old version still takes up room: deleted or written over since the last rebuild."""
        return max(0, self.upserted - (self.points - self.base))


class Shard:
    """An open engine shard.

    Any number of threads may read and write. Writes take turns, so that a copy being built elsewhere can be
    brought up to date by repeating them in their order.

    Args:
        name: The collection's name, for messages.
        folder: The shard's folder.
        opened: The engine, opened on that folder.

    Attributes:
        writing: Held while points are written. Never taken by who holds the store's own lock.
        touched: How many points were written or removed since the shard was opened.
    """

    def __init__(self, name: str, folder: Path, opened: engine.EdgeShard) -> None:
        self.name = name
        self.folder = folder
        self.writing = threading.RLock()
        self._engine: engine.EdgeShard | None = opened
        self._journal: list[engine.UpdateOperation] | None = None
        self._journal_points = 0
        self._reopening = False
        self._upserted = 0
        self.touched = 0
        self._base = opened.info().points_count
        self._last_write = time.monotonic()

    @classmethod
    def create(cls, name: str, folder: Path, config: engine.EdgeConfig) -> Shard:
        """Make a new shard in a folder.

        Raises:
            InputError: The engine refuses the configuration.
            StorageError: The folder cannot be written.
        """
        return cls(
            name, folder, attempt(f"create {name!r}", lambda: engine.EdgeShard.create(str(folder), config))
        )

    @classmethod
    def load(cls, name: str, folder: Path, config: engine.EdgeConfig | None = None) -> Shard:
        """Open a shard that exists; a configuration replaces the stored one where it is compatible.

        Raises:
            EdgeError: The engine cannot read it.
        """
        return cls(name, folder, load_engine(name, folder, config))

    @property
    def quiet_for(self) -> float:
        """Seconds since the last write, or since the shard was opened."""
        return time.monotonic() - self._last_write

    @property
    def closed(self) -> bool:
        """Whether the shard was closed."""
        return self._engine is None

    def query(self, request: engine.QueryRequest) -> list[engine.ScoredPoint]:
        """Run one query."""
        opened = self._open()
        try:
            return opened.query(request)
        except BaseException as error:
            if not is_engines(error):
                raise
            if self._replaced(opened):
                return self.query(request)
            raise translate(error, f"query {self.name!r}") from error

    def read(self, doing: str, call: Callable[[engine.EdgeShard], Result]) -> Result:
        """Run any reading call; `doing` names it in an error's message."""
        opened = self._open()
        try:
            return call(opened)
        except BaseException as error:
            if not is_engines(error):
                raise
            if self._replaced(opened):
                return self.read(doing, call)
            raise translate(error, f"{doing} {self.name!r}") from error

    def update(self, changes: Sequence[Change]) -> None:
        """Apply changes in their order; returns when they are in the write-ahead log and visible."""
        with self.writing:
            opened = self._open()
            for change in changes:
                try:
                    opened.update(change.operation)
                except BaseException as error:
                    if not is_engines(error):
                        raise
                    raise translate(error, f"update {self.name!r}") from error
                self._note(change)
            self._last_write = time.monotonic()

    def counts(self, names: Sequence[str]) -> Counts:
        """The shard's state; `names` are the vectors that a point can have."""
        info = self.read("describe", lambda opened: opened.info())
        vectors = sum(self._having(name) for name in names)
        return Counts(
            info.points_count,
            vectors,
            info.indexed_vectors_count,
            self._upserted,
            self._base,
            self.quiet_for,
        )

    def optimize_here(self) -> bool:
        """Build what indexes are missing, in this process: nothing else runs meanwhile."""
        with self.writing:
            done = self.read("optimize", lambda opened: opened.optimize())
            self._settled()
            return done

    def reconfigure(self, config: engine.EdgeConfig) -> None:
        """Open the shard again with other settings; readers wait for it.

        Raises:
            InputError: The settings do not fit the data; the shard goes on with its old ones.
        """
        with self.writing:
            opened = self._open()
            self._reopening = True
            try:
                attempt(f"close {self.name!r}", opened.flush)
                attempt(f"close {self.name!r}", opened.close)
                self._engine = load_engine(self.name, self.folder, config)
            except HydrantError:
                self._engine = load_engine(self.name, self.folder)
                raise
            finally:
                self._reopening = False

    def flush(self) -> None:
        """Wait until everything written is in the shard's own files, beside the write-ahead log."""
        self.read("flush", lambda opened: opened.flush())

    def begin_journal(self) -> None:
        """Start to remember the writes from here on, for a copy that was just made under `writing`."""
        self._journal, self._journal_points = [], 0

    def take_journal(self) -> list[engine.UpdateOperation]:
        """The writes since the journal began or was last taken."""
        with self.writing:
            taken, self._journal, self._journal_points = self._journal, [], 0
            return taken if taken is not None else []

    def end_journal(self) -> None:
        """Stop remembering writes."""
        with self.writing:
            self._journal = None

    @property
    def journal_length(self) -> int:
        """How many operations wait to be repeated on the copy."""
        journal = self._journal
        return len(journal) if journal is not None else 0

    @property
    def journal_points(self) -> int:
        """How many points those operations write."""
        return self._journal_points

    def replace_engine(self, opened: engine.EdgeShard, folder: Path) -> None:
        """Go on with another engine that holds the same points; to be called under `writing`."""
        old, self._engine, self.folder = self._engine, opened, folder
        self._journal = None
        self._settled()
        if old is not None:
            with suppress(HydrantError):  # it goes away whether or not it closes well
                attempt(f"close {self.name!r}", old.close)

    def close(self, *, keep: bool = True) -> None:
        """Write everything to disk, unless it need not be kept, and let go of the files; once is enough."""
        with self.writing:
            opened, self._engine = self._engine, None
            if opened is not None:
                try:
                    if keep:
                        attempt(f"close {self.name!r}", opened.flush)
                finally:
                    attempt(f"close {self.name!r}", opened.close)

    def _replaced(self, opened: engine.EdgeShard) -> bool:
        """Whether another engine took this one's place while it was used, waiting for one that is about to."""
        if opened is self._engine:
            if not self._reopening:
                return False
            with self.writing:
                pass
        return opened is not self._engine

    def _note(self, change: Change) -> None:
        if self._journal is not None:
            self._journal.append(change.operation)
            self._journal_points += change.upserted
        self._upserted += change.upserted
        self.touched += change.upserted + change.removed

    def _having(self, name: str) -> int:
        condition = engine.Filter(must=[engine.HasVectorCondition(name)])
        return self.read(
            "count", lambda opened: opened.count(engine.CountRequest(exact=True, filter=condition))
        )

    def _settled(self) -> None:
        self._upserted = 0
        self._base = self.read("describe", lambda opened: opened.info().points_count)

    def _open(self) -> engine.EdgeShard:
        if self._engine is None:
            message = f"collection {self.name!r} is closed: it was deleted, or its client was closed"
            raise EdgeError(message)
        return self._engine


def load_engine(name: str, folder: Path, config: engine.EdgeConfig | None = None) -> engine.EdgeShard:
    """Open the engine on a folder; raises as `Shard.load` does."""
    attempt(f"open {name!r}", lambda: remove_unbegun(folder))
    return attempt(f"open {name!r}", lambda: engine.EdgeShard.load(str(folder), config))


def attempt(doing: str, call: Callable[[], Result]) -> Result:
    """Call the engine outside a shard; its exceptions become ours."""
    try:
        return call()
    except BaseException as error:
        if not is_engines(error):
            raise
        raise translate(error, doing) from error
