"""The thread that builds indexes in the background, one collection at a time."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hydrant.edge.policy import PATIENCE_SECONDS
from hydrant.edge.rebuild import Rebuild
from hydrant.errors import EdgeError, HydrantError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hydrant.edge.collection import Collection
    from hydrant.edge.store import Store

POLL_SECONDS = 0.1
STOP_SECONDS = 30.0
SMALL_POINTS = 1_000
"""Up to so many points, an index that was asked for is built at once: that takes less time than a new process."""
ATTEMPTS = 3


@dataclass
class Progress:
    """What the indexer knows of one collection.

    Attributes:
        accepted_kb: What the last build left unindexed, because it was not worth a segment.
        failure: Why the last build failed; empty when it did not.
        building: Whether a build is running.
        waiting: Since when enough has been unindexed, and only a pause in the writes is missing; on the
            monotonic clock, 0 when that is not so.
        requested: Whether a build was asked for, whatever the counts say.
        seen: How many points the shard had touched when its state was last counted; -1 before the first time.
    """

    accepted_kb: float = 0.0
    failure: str = ""
    building: bool = False
    waiting: float = 0.0
    requested: bool = False
    seen: int = -1


@dataclass
class _Signals:
    """What the thread shares with the indexer; it must not keep the indexer itself alive."""

    woken: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    noticed: set[str] = field(default_factory=set)


class Indexer:
    """Decides when collections need their indexes built, and builds them.

    Args:
        store: The index; held weakly, so that a client nobody uses is collected in spite of the thread.
    """

    def __init__(self, store: Store) -> None:
        self._store = weakref.ref(store)
        self._signals = _Signals()
        self._thread: threading.Thread | None = None
        self._building = threading.Lock()
        self._starting = threading.Lock()
        self._progress: dict[str, Progress] = {}

    def notice(self, name: str) -> None:
        """A collection was opened or written; cheap enough for every write."""
        signals = self._signals
        if name in signals.noticed:
            return
        signals.noticed.add(name)
        if self._thread is None:
            self._start()
        signals.woken.set()

    def request(self, name: str) -> None:
        """Build a collection's indexes at the next pause in the writes, whatever the counts say."""
        self.progress(name).requested = True
        self.notice(name)

    def progress(self, name: str) -> Progress:
        """What is known of a collection."""
        return self._progress.setdefault(name, Progress())

    def forget(self, name: str) -> None:
        """A collection was deleted, or its settings changed."""
        self._progress.pop(name, None)

    def build(self, collection: Collection) -> bool:
        """Build a collection's indexes and wait for it; says whether anything was done.

        Raises:
            EdgeError: The engine failed, or the client was closed meanwhile.
            StorageError: There is no room for the copy it works on.
        """
        with self._building:
            if collection.shard.read("describe", lambda opened: opened.info().points_count) <= SMALL_POINTS:
                return self._build_here(collection)
            for _ in range(ATTEMPTS):
                done = self._rebuild(collection)
                if done is not None:
                    return done
                if self._signals.stopping.is_set() or collection.shard.closed:
                    message = (
                        f"building the index of {collection.name!r} was stopped: it was closed or deleted"
                    )
                    raise EdgeError(message)
            # Writes came faster than they could be repeated. The caller asked to wait, so the writers wait too.
            return self._build_here(collection)

    def look(self) -> None:
        """Go through the collections that were noticed, and build those that are due."""
        for name in tuple(self._signals.noticed):
            # Taken off first: a write that comes while this looks puts it on again.
            self._signals.noticed.discard(name)
            store = self._store()
            collection = store.opened(name) if store is not None else None
            del store
            if collection is not None and self._still_waits(collection):
                self._signals.noticed.add(name)

    def stop(self) -> None:
        """End the thread, and with it a build that is running; returns when both are gone."""
        self._signals.stopping.set()
        self._signals.woken.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None and not self._signals.stopping.is_set():
                self._thread = threading.Thread(
                    target=_watch,
                    args=(weakref.ref(self), self._signals),
                    name="hydrant-edge-indexer",
                    daemon=True,
                )
                self._thread.start()

    def _still_waits(self, collection: Collection) -> bool:
        """Build where it is due; says whether to look again soon."""
        progress, policy, shard = self.progress(collection.name), collection.policy, collection.shard
        touched, now = shard.touched, time.monotonic()
        if (
            progress.seen >= 0
            and not progress.requested
            and not policy.worth_counting(touched - progress.seen)
        ):
            if not progress.waiting:
                return False
            if not policy.is_quiet(shard.quiet_for) and now - progress.waiting < PATIENCE_SECONDS:
                return True
        try:
            counts = shard.counts(policy.names)
            progress.seen = touched
            worth = progress.requested or policy.is_worth(counts, progress.accepted_kb)
            progress.waiting = (progress.waiting or now) if worth else 0.0
            waited = now - progress.waiting if worth else 0.0
            if policy.is_due(counts, progress.accepted_kb, waited) or (
                progress.requested and policy.is_quiet(counts.quiet_for)
            ):
                with self._building:
                    self._rebuild(collection)
        except HydrantError as error:
            # Reads and writes go on without the index; `get_collection` tells what happened, and the next try
            # comes when as much again has been written.
            progress.failure, progress.waiting, progress.requested = str(error), 0.0, False
            progress.accepted_kb += policy.threshold_kb
        return progress.waiting > 0 and not self._signals.stopping.is_set()

    def _build_here(self, collection: Collection) -> bool:
        done = collection.shard.optimize_here()
        self._settle(collection)
        return done

    def _rebuild(self, collection: Collection) -> bool | None:
        progress = self.progress(collection.name)
        progress.building = True
        try:
            done = Rebuild(collection.shard, self._signals.stopping.is_set, self._adopter(collection)).run()
        finally:
            progress.building = False
        if done is not None:
            self._settle(collection)
        return done

    def _settle(self, collection: Collection) -> None:
        progress, policy = self.progress(collection.name), collection.policy
        progress.seen = collection.shard.touched
        progress.accepted_kb = policy.unindexed_kb(collection.shard.counts(policy.names))
        progress.failure, progress.waiting, progress.requested = "", 0.0, False

    def _adopter(self, collection: Collection) -> Callable[[Path], None]:
        def adopt(folder: Path) -> None:
            store = self._store()
            if store is None:
                message = f"the client of collection {collection.name!r} is gone"
                raise EdgeError(message)
            store.adopt(collection, folder)

        return adopt


def _watch(indexer: weakref.ref[Indexer], signals: _Signals) -> None:
    while not signals.stopping.is_set():
        signals.woken.wait()
        signals.woken.clear()
        signals.stopping.wait(POLL_SECONDS)
        alive = indexer()
        if alive is None or signals.stopping.is_set():
            return
        alive.look()
        del alive
        if signals.noticed:
            signals.woken.set()
