"""What an open index holds on to, and how it is given back."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hydrant.edge.collection import Collection
from hydrant.edge.files import remove_tree
from hydrant.edge.indexer import Indexer
from hydrant.edge.lock import FolderLock
from hydrant.errors import HydrantError


@dataclass
class Resources:
    """What must be given back at the end, kept apart from the store so that a finalizer can hold it."""

    folder: Path | None = None
    lock: FolderLock | None = None
    temporary: bool = False
    indexer: Indexer | None = None
    opened: dict[str, Collection] = field(default_factory=dict)
    process: int = field(default_factory=os.getpid)

    def release(self) -> None:
        """Close every shard, then give the folder back. Each step runs whatever the others do."""
        if self.process != os.getpid():
            # A forked child holds copies of what is its parent's to close and to remove.
            return
        if self.indexer is not None:
            self.indexer.stop()
        first: HydrantError | None = None
        while self.opened:
            _, collection = self.opened.popitem()
            try:
                collection.shard.close(keep=not self.temporary)
            except HydrantError as error:
                first = first if first is not None else error
        lock, self.lock = self.lock, None
        if lock is not None:
            lock.release()
        folder, self.folder = self.folder, None
        if folder is not None and self.temporary:
            remove_tree(folder)
        if first is not None:
            raise first


def sweep(shards: Path, known: set[str]) -> None:
    """Remove shards that no collection owns: what a crash while creating or deleting leaves behind."""
    for path in shards.iterdir():
        if path.name not in known:
            remove_tree(path)


def release_quietly(held: Resources) -> None:
    """Give everything back from a finalizer."""
    # It has nobody to tell; whatever could not be flushed is still in the write-ahead log.
    with suppress(HydrantError):
        held.release()
