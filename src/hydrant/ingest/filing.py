"""Files into passages: which files changed, which are done, which are gone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hydrant.collection.base import CollectionBase
from hydrant.errors import ConfigurationError, EmptyDocument, HydrantError
from hydrant.flow import Flow
from hydrant.ingest.chunk import Chunker
from hydrant.ingest.files import find_files
from hydrant.ingest.passages import Prepared, Preparer
from hydrant.ingest.progress import Progress
from hydrant.ingest.read import hash_file, read_document
from hydrant.ingest.report import Tally
from hydrant.ingest.revisions import Revision, Stored, digest, forget, stored_files
from hydrant.types import Passage, PassageId


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    source: str
    size: int


class Filing:
    """One run over files: `survey`, then `prepared` window by window with `settle` after each, then `prune`."""

    def __init__(
        self, collection: CollectionBase, chunker: Chunker, tenant: PassageId | None, tally: Tally
    ) -> None:
        if collection.payload.source is None:
            msg = (
                f"collection {collection.name!r} has no place for a source in its payloads, so files could not be "
                "found again; open it with a PayloadMap that has source=..., or read the files yourself and use add"
            )
            raise ConfigurationError(msg)
        self._collection = collection
        self._chunker = chunker
        self._tenant = tenant
        self._tally = tally
        self._preparer = Preparer(collection, tenant, tally)
        self._files: list[_File] = []
        self._roots: list[str] = []
        self._stored = Stored({})
        self._weights: dict[str, float] = {}
        self._finished: list[Revision] = []

    @property
    def total_bytes(self) -> int:
        """How much there is to read."""
        return sum(file.size for file in self._files)

    def weight(self, passage: Prepared) -> float:
        """A passage's share of its file's bytes, for the progress bar."""
        return self._weights.get(passage.label, 0.0)

    def survey(self, paths: Iterable[str | Path]) -> Flow[None]:
        """Find the files, and ask the collection what it holds of them."""
        named = [paths] if isinstance(paths, str | Path) else list(paths)
        self._roots = [_identity(Path(path)) for path in named]

        def report(path: Path, reason: str) -> None:
            self._tally.fail(str(path), reason)

        for path in find_files(named, on_problem=report):
            self._files.append(_File(path, _identity(path), _size(path)))
        self._stored = yield from stored_files(self._collection, self._tenant)

    def prepared(self, bar: Progress) -> Iterator[Prepared]:
        """The passages of every file that is not in the collection in its present state."""
        for file in self._files:
            self._tally.count("files")
            try:
                passages, revision = self._cut(file)
            except EmptyDocument as error:
                # Nothing failed: there is nothing in it. What it held before is not in it any more.
                self._tally.note(file.source, self._reason(file, error))
                self._finished.append(Revision(file.source, "", 0))
                bar.advance(file.size, 0)
                continue
            except (HydrantError, OSError) as error:
                # One bad file must not cost the others.
                self._tally.fail(file.source, self._reason(file, error))
                bar.advance(file.size, 0)
                continue
            if not passages:
                bar.advance(file.size, 0)
                continue
            self._weights[file.source] = file.size / len(passages)
            for passage in passages:
                prepared = self._prepare(passage, file, revision)
                if prepared is not None:
                    yield prepared
            self._finished.append(revision)

    def settle(self) -> Flow[None]:
        """Delete what the files that are written now had before."""
        finished, self._finished = self._finished, []
        for revision in finished:
            if self._stored.revisions.get(revision.source):
                gone = yield from forget(self._collection, revision.source, self._tenant, revision)
                self._tally.count("deleted", gone)

    def prune(self) -> Flow[None]:
        """Delete the passages of files below the given folders that are not there any more.

        A given path that is missing itself is a folder that was not mounted, or a slip, rather than a wish to delete.
        """
        present = {file.source for file in self._files}
        folders = [root.rstrip(os.sep) + os.sep for root in self._roots if Path(root).is_dir()]
        for source in self._stored.revisions:
            below = any(source.startswith(folder) for folder in folders)
            if below and source not in present and _is_gone(Path(source)):
                gone = yield from forget(self._collection, source, self._tenant, None)
                self._tally.count("deleted", gone)

    def _cut(self, file: _File) -> tuple[list[Passage], Revision]:
        """The file's passages, none where the collection has them all."""
        wanted = digest(hash_file(file.path), self._chunker.record())
        complete = self._stored.complete(file.source, wanted)
        if complete is not None:
            self._tally.count("files_unchanged")
            self._tally.count("unchanged", complete.chunks)
            return [], complete
        document = read_document(file.path, source=file.source)
        for note in document.notes:
            self._tally.note(file.source, note)
        # A chunk that stands twice in one file is one passage: finding it twice would help nobody.
        chunks = {
            (chunk.title, chunk.text): chunk for chunk in reversed(list(self._chunker.chunks(document)))
        }
        passages = list(reversed(chunks.values()))
        # Of what was read just now: the file may have changed since it was looked at.
        present = digest(document.content_hash, self._chunker.record())
        return passages, Revision(file.source, present, len(passages))

    @staticmethod
    def _reason(file: _File, error: Exception) -> str:
        # The message begins with the path, which the report says anyway.
        return str(error).removeprefix(f"{file.source} ").removeprefix(f"{file.path} ")

    def _prepare(self, passage: Passage, file: _File, revision: Revision) -> Prepared | None:
        try:
            return self._preparer.prepare(replace(passage, source=file.source), file.source, str(revision))
        except HydrantError as error:
            self._tally.fail(file.source, str(error))
            return None


def _identity(path: Path) -> str:
    # A name may be bytes that are not UTF-8; escaped, two different files still have two identities.
    return os.fsencode(os.path.abspath(path)).decode("utf-8", "backslashreplace")  # noqa: PTH100  links stay as named


def _is_gone(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # It cannot be seen for another reason, such as a folder that may not be entered.
        return False
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # It vanished since it was found; reading it will say so.
        return 0
