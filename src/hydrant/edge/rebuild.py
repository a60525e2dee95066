"""Building a collection's indexes while it is read and written.

The shard is copied, the copy optimized in a child process, the writes of the meantime repeated on it; then the
catalog names the copy and the old shard goes. Until that moment the old shard is the truth and answers everything:
a crash at any point leaves one complete shard in the catalog, and the next open removes the other.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from hydrant.edge.child import optimize_in_child
from hydrant.edge.files import remove_tree, sync_tree
from hydrant.edge.shard import attempt, load_engine
from hydrant.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import qdrant_edge as engine

    from hydrant.edge.shard import Shard

JOURNAL_POINTS = 100_000
"""A build is given up, to be tried again later, when more points than this were written meanwhile: they are
held in memory until they can be repeated."""
_LAST_ROUND = 32


@dataclass(frozen=True)
class Rebuild:
    """One build of one shard.

    Attributes:
        shard: What to build.
        cancelled: Asked now and then; once it says yes, everything made so far is removed.
        adopt: Makes the catalog name the folder it is given; called once, at the end, while no write can come.
    """

    shard: Shard
    cancelled: Callable[[], bool]
    adopt: Callable[[Path], None]

    def run(self) -> bool | None:
        """Build, and go over to what was built.

        Returns:
            Whether there was anything to do; None when it was cancelled.

        Raises:
            EdgeError: The engine failed.
            StorageError: There is no room for the copy.
        """
        target = self.shard.folder.with_name(uuid4().hex)
        try:
            done = self._build(target)
        except BaseException:
            self._discard(target)
            raise
        if not done:
            self._discard(target)
        return done

    def _build(self, target: Path) -> bool | None:
        self._copy(target)
        done = optimize_in_child(target, self._given_up)
        if not done:
            return done
        opened = load_engine(self.shard.name, target)
        try:
            while self.shard.journal_length > _LAST_ROUND and not self._given_up():
                self._repeat(opened)
            if self._given_up():
                attempt("close the copy", opened.close)
                return None
            self._switch(opened, target)
        except BaseException:
            attempt("close the copy", opened.close)
            raise
        return True

    def _copy(self, target: Path) -> None:
        # Readers go on while this runs; writers wait for as long as the disk takes to copy the shard.
        with self.shard.writing:
            self.shard.flush()
            try:
                shutil.copytree(self.shard.folder, target)
            except (OSError, shutil.Error) as error:
                message = f"cannot copy collection {self.shard.name!r} to build its index: {error}"
                raise StorageError(message) from error
            self.shard.begin_journal()

    def _given_up(self) -> bool:
        return self.cancelled() or self.shard.closed or self.shard.journal_points > JOURNAL_POINTS

    def _repeat(self, opened: engine.EdgeShard) -> None:
        for operation in self.shard.take_journal():
            attempt(f"update {self.shard.name!r}", partial(opened.update, operation))

    def _switch(self, opened: engine.EdgeShard, target: Path) -> None:
        # Most of the writing to disk happens before writers have to wait.
        attempt("flush the copy", opened.flush)
        sync_tree(target)
        old = self.shard.folder
        with self.shard.writing:
            self._repeat(opened)
            attempt("flush the copy", opened.flush)
            self.adopt(target)
            self.shard.replace_engine(opened, target)
        remove_tree(old)

    def _discard(self, target: Path) -> None:
        self.shard.end_journal()
        remove_tree(target)
