"""The indexer: passages, texts, records and files into a collection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from hydrant.collection.base import CollectionBase
from hydrant.encode.texts import shown
from hydrant.errors import ConfigurationError
from hydrant.flow import Effect, Flow, arun, run
from hydrant.ingest.filing import Filing
from hydrant.ingest.learning import learn, learn_again
from hydrant.ingest.passages import Item, Prepared, Preparer
from hydrant.ingest.progress import Progress, progress
from hydrant.ingest.report import IndexReport, Tally
from hydrant.ingest.settings import IndexerSettings
from hydrant.ingest.writing import Writer
from hydrant.types import Passage, PassageId

_FIRST = 512


class Indexer:
    """Puts passages into a collection. Made by `Collection.indexer`.

    Running it twice adds nothing: ids come from the content, or are the caller's own, and what is stored already is
    compared before anything is encoded. An interrupted run is finished by running it again.

    Several may run at once, with one restriction: while a collection with BM25 has fewer than some 2,000 passages it still
    learns their average length, and two that learn at the same time can leave weights of two averages behind.
    """

    def __init__(self, collection: CollectionBase, settings: IndexerSettings) -> None:
        self._collection = collection
        self._settings = settings

    def add(self, items: Iterable[Item], *, tenant: PassageId | None = None) -> IndexReport:
        """Index passages.

        Args:
            items: Strings, `Passage` objects, or records: mappings with a "text", and optionally "id" (or "_id"),
                "title", "source" and "metadata"; every further key is metadata. Read lazily, a window at a time.
            tenant: Whose they are, in a collection that has a tenant field.

        Returns:
            What was done. An item that cannot be indexed is in `failures` with its reason and stops no other.

        Raises:
            TenantRequired: The collection has a tenant field and no tenant was given.
            StorageError: The disk is full or cannot be written; what was written before stays.
        """
        with progress("indexing", show=self._settings.progress) as bar:
            return run(self._adding(items, tenant, bar))

    async def aadd(self, items: Iterable[Item], *, tenant: PassageId | None = None) -> IndexReport:
        """As `add`, without blocking the event loop."""
        with progress("indexing", show=self._settings.progress) as bar:
            return await arun(self._adding(items, tenant, bar))

    def add_paths(
        self, paths: Iterable[str | Path], *, tenant: PassageId | None = None, prune: bool = False
    ) -> IndexReport:
        """Index files and folders.

        An unchanged file costs a read of its bytes. A changed one replaces its passages; those of its passages that did
        not change are not encoded again.

        Args:
            paths: Files and folders. A file's absolute path is its identity and its passages' `source`.
            tenant: Whose they are, in a collection that has a tenant field.
            prune: Whether to delete the passages of files below the given folders that are gone.

        Returns:
            What was done. A file that cannot be read is in `failures` with its reason and stops no other.

        Raises:
            TenantRequired: The collection has a tenant field and no tenant was given.
            StorageError: The disk is full or cannot be written; what was written before stays.
        """
        with progress("indexing", show=self._settings.progress) as bar:
            return run(self._filing(paths, tenant, bar, prune=prune))

    async def aadd_paths(
        self, paths: Iterable[str | Path], *, tenant: PassageId | None = None, prune: bool = False
    ) -> IndexReport:
        """As `add_paths`, without blocking the event loop."""
        with progress("indexing", show=self._settings.progress) as bar:
            return await arun(self._filing(paths, tenant, bar, prune=prune))

    # ---- flows ---------------------------------------------------------------------------------------------------

    def _adding(self, items: Iterable[Item], tenant: PassageId | None, bar: Progress) -> Flow[IndexReport]:
        started = time.perf_counter()
        tally = Tally()
        if isinstance(items, str | bytes | Passage | Mapping) or not isinstance(items, Iterable):
            msg = f"add takes several items; for one passage give a list of one, got {shown(items)}"
            raise ConfigurationError(msg)
        if isinstance(items, Sequence):
            bar.expect(len(items))
        preparer = Preparer(self._collection, tenant, tally)
        weigh = _one_each if isinstance(items, Sequence) else _growing(bar)
        yield from self._windows(preparer.prepared(items), tally, bar, weigh)
        return tally.report(time.perf_counter() - started)

    def _filing(
        self, paths: Iterable[str | Path], tenant: PassageId | None, bar: Progress, *, prune: bool
    ) -> Flow[IndexReport]:
        started = time.perf_counter()
        tally = Tally()
        filing = Filing(self._collection, self._settings.chunker, tenant, tally)
        yield from filing.survey(paths)
        bar.expect(filing.total_bytes)
        yield from self._windows(filing.prepared(bar), tally, bar, filing.weight, after=filing.settle)
        yield from filing.settle()
        if prune:
            yield from filing.prune()
        return tally.report(time.perf_counter() - started)

    def _windows(
        self,
        passages: Iterator[Prepared],
        tally: Tally,
        bar: Progress,
        weigh: Callable[[Prepared], float],
        after: Callable[[], Flow[None]] | None = None,
    ) -> Flow[None]:
        def done(written: Sequence[Prepared]) -> None:
            bar.advance(sum(weigh(each) for each in written), len(written))

        writer = Writer(self._collection, tally, done)
        # Cutting files takes time: a small first window puts something on the bar, and on the disk, soon.
        reading = _Reading(
            passages, self._settings.window, first=self._settings.window if after is None else _FIRST
        )
        while window := (yield reading):
            yield from learn(self._collection, [passage.content for passage in window])
            yield from writer.write(window)
            # At once, while there are few passages to weigh again.
            yield from learn_again(self._collection)
            if after is not None:
                yield from after()


class _Reading(Effect[list[Prepared]]):
    """Take the next window of passages, time and again; reading and chunking files happens here.

    What was read before the input failed is handed out first, and the failure at the next call.
    """

    name = "read"

    def __init__(self, passages: Iterator[Prepared], window: int, *, first: int) -> None:
        self._passages = passages
        self._window = window
        self._next = min(first, window)
        self._error: Exception | None = None

    def call(self, timeout: float | None) -> list[Prepared]:
        if self._error is not None:
            raise self._error
        taken: list[Prepared] = []
        try:
            taken.extend(islice(self._passages, self._next))
        except Exception as error:
            # Whatever the caller's own iterator raises is the caller's, after what it gave is safe.
            if not taken:
                raise
            self._error = error
        self._next = min(2 * self._next, self._window)
        return taken


def _one_each(_: Prepared) -> float:
    return 1.0


def _growing(bar: Progress) -> Callable[[Prepared], float]:
    """For input of unknown length the bar grows with what was read."""

    def weigh(_: Prepared) -> float:
        bar.expect(1.0)
        return 1.0

    return weigh
