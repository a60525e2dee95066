"""An index folder while it is open: the lock, the catalog and the shards of its collections."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hydrant.edge.catalog import SHARDS, Catalog, Entry, read_catalog
from hydrant.edge.collection import Collection, vector_of
from hydrant.edge.convert.config import to_engine_config
from hydrant.edge.convert.queries import Planner
from hydrant.edge.convert.schema import Schema
from hydrant.edge.files import remove_tree
from hydrant.edge.indexer import Indexer
from hydrant.edge.lock import FolderLock
from hydrant.edge.policy import Policy
from hydrant.edge.resources import Resources, release_quietly, sweep
from hydrant.edge.shard import Shard
from hydrant.errors import (
    CollectionExists,
    CollectionNotFound,
    EdgeError,
    HydrantError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from qdrant_client import models

    from hydrant.edge.change import Change

MEMORY = ":memory:"
"""The location that means: a temporary index, removed when its client is closed or the program ends."""


class Store:
    """The collections of one index folder.

    Nothing is read or written before the first use. Thread-safe.

    Args:
        location: The folder, made where it is missing, or `MEMORY`.
    """

    def __init__(self, location: str | os.PathLike[str]) -> None:
        self.location = str(location)
        self._catalog: Catalog | None = None
        self._closed = False
        self._process = os.getpid()
        # Guards opening, closing and the catalog; queries on an open collection do not take it. Whoever holds it
        # must not take a shard's `writing`: a finished build takes them in the other order.
        self._guard = threading.RLock()
        self._held = Resources()
        self.indexer = self._held.indexer = Indexer(self)
        # Runs at garbage collection and at interpreter exit, whichever comes first.
        self._finalizer = weakref.finalize(self, release_quietly, self._held)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def folder(self) -> Path:
        """The index folder; opens the index where that has not happened yet."""
        self._ensure_open()
        if self._held.folder is None:  # another thread closed the index meanwhile
            raise self._closed_error()
        return self._held.folder

    @property
    def catalog(self) -> Catalog:
        """What the index holds; opens it where that has not happened yet."""
        return self._ensure_open()

    def collection(self, name: str) -> Collection:
        """The collection of a name or alias, opened where it is not.

        Raises:
            CollectionNotFound: No such name; the message lists those that exist.
            EdgeError: The client is closed.
        """
        self._require_process()
        found = self._held.opened.get(name)
        return found if found is not None else self._open_collection(name)

    def opened(self, name: str) -> Collection | None:
        """A collection by its own name if it is open."""
        return self._held.opened.get(name)

    def write(self, collection: Collection, changes: Sequence[Change]) -> None:
        """Apply changes to a collection; raises as `Shard.update` does."""
        collection.shard.update(changes)
        self.indexer.notice(collection.name)

    def install(self, name: str, config: models.CreateCollection, folder: Path) -> None:
        """Make a shard that lies in a folder of `SHARDS` the collection of a name, in the place of what had it.

        Raises:
            CollectionExists: An alias has that name.
            EdgeError: The engine cannot read the shard; nothing is changed.
        """
        with self._guard:
            if name in self.catalog.aliases:
                message = f"Alias {name} already exists"
                raise CollectionExists(message)
            shard = Shard.load(name, folder)
            old_entry = self.catalog.collections.get(name)
            old_path = self._shard_path(old_entry) if old_entry is not None else None
            try:
                self._save(self.catalog.with_entry(name, Entry(folder.name, config)))
            except HydrantError:
                shard.close()
                raise
            replaced = self._held.opened.pop(name, None)
            self._forget_aliases()
            self.indexer.forget(name)
            self._held.opened[name] = self._collection_of(name, shard, config)
        if replaced is not None:
            with suppress(HydrantError):  # see `drop`
                replaced.shard.close(keep=False)
        if old_path is not None:
            remove_tree(old_path)

    def adopt(self, collection: Collection, folder: Path) -> None:
        """Make the catalog name another folder as a collection's shard.

        Raises:
            EdgeError: The collection was deleted meanwhile.
            StorageError: The disk refused; the catalog names the old folder still.
        """
        with self._guard:
            entry = self.catalog.collections.get(collection.name)
            if entry is None or entry.shard != collection.shard.folder.name:
                message = f"collection {collection.name!r} was deleted while its index was built"
                raise EdgeError(message)
            self._save(self.catalog.with_entry(collection.name, Entry(folder.name, entry.config)))

    def resolve(self, name: str) -> tuple[str, Entry]:
        """A collection's own name and its catalog entry, from its name or an alias."""
        catalog = self.catalog
        own = name if name in catalog.collections else catalog.aliases.get(name)
        if own is None:
            message = f"Collection {name} not found; the index has {sorted(catalog.collections)}"
            if catalog.aliases:
                message += f" and the aliases {sorted(catalog.aliases)}"
            raise CollectionNotFound(message)
        return own, catalog.collections[own]

    def create(self, name: str, config: models.CreateCollection) -> None:
        """Add a collection.

        Raises:
            CollectionExists: A collection or an alias has that name.
        """
        with self._guard:
            catalog = self.catalog
            if name in catalog.collections:
                message = f"Collection {name} already exists"
                raise CollectionExists(message)
            if name in catalog.aliases:
                message = f"Alias {name} already exists"
                raise CollectionExists(message)
            entry = Entry(shard=uuid4().hex, config=config)
            path = self._shard_path(entry)
            shard = Shard.create(name, path, to_engine_config(config))
            try:
                self._save(catalog.with_entry(name, entry))
            except HydrantError:
                shard.close()
                remove_tree(path)
                raise
            self._held.opened[name] = self._collection_of(name, shard, config)

    def drop(self, name: str) -> bool:
        """Delete a collection with its aliases; says whether there was one. An alias itself is not followed."""
        with self._guard:
            entry = self.catalog.collections.get(name)
            if entry is None:
                return False
            path = self._shard_path(entry)
            # The catalog goes first: after a crash in between, the next open removes the orphaned shard.
            self._save(self.catalog.without(name))
            opened = self._held.opened.pop(name, None)
            self._forget_aliases()
            self.indexer.forget(name)
        if opened is not None:
            with suppress(HydrantError):  # its files go away whether or not it closes well
                opened.shard.close(keep=False)
        remove_tree(path)
        return True

    def set_config(self, name: str, config: models.CreateCollection) -> None:
        """Record a collection's changed settings."""
        with self._guard:
            entry = self.catalog.collections[name]
            self._save(self.catalog.with_entry(name, Entry(entry.shard, config)))
            opened = self._held.opened.get(name)
            if opened is not None:
                self._forget_aliases()
                self._held.opened[name] = self._collection_of(name, opened.shard, config)

    def set_aliases(self, aliases: dict[str, str]) -> None:
        """Replace all aliases at once."""
        with self._guard:
            self._save(self.catalog.with_aliases(aliases))
            self._forget_aliases()

    def close(self) -> None:
        """Write everything to disk and give the folder back; a second call does nothing.

        Raises:
            StorageError: The disk refused the last writes. They stay in the write-ahead log.
        """
        with self._guard:
            if self._closed:
                return
            self._closed = True
            self._finalizer.detach()
        # Not under the guard: a build that is just being adopted needs it to come to its end.
        self._held.release()

    def _require_process(self) -> None:
        """Refuse a forked child, where a call into the engine would wait for ever for threads it does not have."""
        if self._process != os.getpid():
            message = (
                f"{self.location!r} was opened by process {self._process}, before a fork, and the engine's threads did not "
                f"come along to this one ({os.getpid()}): make a client in the child, after the parent closed its own, "
                "or start processes by 'spawn'"
            )
            raise EdgeError(message)

    def _ensure_open(self) -> Catalog:
        self._require_process()
        catalog = self._catalog
        if catalog is not None and not self._closed:
            return catalog
        with self._guard:
            if self._closed:
                raise self._closed_error()
            if self._catalog is None:
                self._open()
            assert self._catalog is not None  # `_open` sets it or raises  # noqa: S101
            return self._catalog

    def _open(self) -> None:
        temporary = self.location == MEMORY
        folder = Path(tempfile.mkdtemp(prefix="hydrant-edge-")) if temporary else Path(self.location)
        # Reading comes before writing: a folder of another program is refused untouched.
        read_catalog(folder)
        try:
            (folder / SHARDS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"cannot make the index folder {folder}: {error.strerror}; check path and permissions"
            raise StorageError(message) from error
        lock = FolderLock(folder)
        lock.acquire()
        try:
            # Read again: only with the lock is it certain that nobody is writing it.
            catalog = read_catalog(folder)
            if catalog is None:
                catalog = Catalog()
                catalog.save(folder)
            sweep(folder / SHARDS, {entry.shard for entry in catalog.collections.values()})
        except BaseException:
            lock.release()
            raise
        self._held.folder, self._held.lock, self._held.temporary = folder, lock, temporary
        self._catalog = catalog

    def _open_collection(self, name: str) -> Collection:
        with self._guard:
            own, entry = self.resolve(name)
            collection = self._held.opened.get(own)
            if collection is None:
                shard = Shard.load(own, self._shard_path(entry))
                collection = self._collection_of(own, shard, entry.config)
                self._held.opened[own] = collection
                self.indexer.notice(own)
            # An alias is kept beside the names so that the next call finds it without resolving.
            self._held.opened[name] = collection
            return collection

    def _collection_of(self, name: str, shard: Shard, config: models.CreateCollection) -> Collection:
        schema = Schema.of(name, config)
        # Held weakly: the store owns the collection, and reference counting alone must be able to end both.
        store = weakref.ref(self)

        def lookup(place: str | None, vector_name: str, point_id: int | UUID) -> Any:
            alive = store()
            if alive is None:
                message = f"the client of collection {name!r} is gone"
                raise EdgeError(message)
            return vector_of(alive.collection(name if place is None else place), vector_name, point_id)

        return Collection(name, shard, schema, Policy.of(config), Planner(schema, lookup))

    def _forget_aliases(self) -> None:
        for key in [key for key, collection in self._held.opened.items() if collection.name != key]:
            del self._held.opened[key]

    def _shard_path(self, entry: Entry) -> Path:
        return self.folder / SHARDS / entry.shard

    def _save(self, catalog: Catalog) -> None:
        catalog.save(self.folder)
        self._catalog = catalog

    def _closed_error(self) -> EdgeError:
        return EdgeError(f"the client of the index {self.location!r} is closed; create a new EdgeClient")
