"""Snapshots of one collection: a tar file with its settings and its shard.

The engine reads the snapshots of a server's shard but makes none; these are our own.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse
from uuid import uuid4

from pydantic import ValidationError
from qdrant_client import models

from hydrant.edge.base import BackendBase
from hydrant.edge.catalog import FORMAT
from hydrant.edge.files import remove_tree
from hydrant.edge.options import check_options
from hydrant.errors import FormatError, InputError, StorageError, UnsupportedByEdge

if TYPE_CHECKING:
    from collections.abc import Callable

SNAPSHOTS = "snapshots"
SUFFIX = ".snapshot"
_SETTINGS = "collection.json"
_SHARD = "shard"


class SnapshotCalls(BackendBase):
    """Arguments and results are those of `QdrantClient`."""

    def list_snapshots(self, collection_name: str, **kwargs: Any) -> list[models.SnapshotDescription]:
        """The snapshots of a collection, oldest first."""
        check_options("list_snapshots", kwargs)
        name, _ = self.store.resolve(collection_name)
        return [_describe(path) for path in sorted(self._folder(name).glob("*" + SUFFIX))]

    def create_snapshot(self, collection_name: str, **kwargs: Any) -> models.SnapshotDescription:
        """Write a snapshot of a collection; writers wait while its files are read, readers do not.

        Raises:
            StorageError: The disk refused; nothing of the snapshot is left.
        """
        check_options("create_snapshot", kwargs)
        name, entry = self.store.resolve(collection_name)
        collection = self.store.collection(name)
        moment = datetime.now(tz=UTC).strftime("%Y-%m-%d-%H-%M-%S-%f")
        path = self._folder(name) / f"{moment}{SUFFIX}"
        settings = {"format": FORMAT, "config": entry.config.model_dump(mode="json", exclude_none=True)}

        def write(draft: Path) -> None:
            with collection.shard.writing, tarfile.open(draft, "w") as tar:
                collection.shard.flush()
                _add_text(tar, _SETTINGS, json.dumps(settings))
                tar.add(collection.shard.folder, _SHARD)

        _write_whole(path, write)
        return _describe(path)

    def delete_snapshot(self, collection_name: str, snapshot_name: str, **kwargs: Any) -> bool:
        """Delete a snapshot; says whether there was one."""
        check_options("delete_snapshot", kwargs)
        name, _ = self.store.resolve(collection_name)
        path = self._folder(name) / snapshot_name
        if path.parent != self._folder(name) or not path.is_file():
            return False
        path.unlink()
        return True

    def recover_snapshot(self, collection_name: str, location: str, **kwargs: Any) -> bool:
        """Replace a collection, or make it, from a snapshot.

        Args:
            collection_name: The collection; what it held is gone afterwards.
            location: The snapshot's path, a ``file://`` URL, or its name as `list_snapshots` gives it.
            **kwargs: `checksum`, the SHA-256 that the file must have; the others concern servers.

        Raises:
            FormatError: The file is no snapshot of ours, or not the one that the checksum belongs to.
            InputError: There is no such file.
            UnsupportedByEdge: A location on the network.
        """
        also = frozenset(("api_key", "priority"))
        checksum = kwargs.pop("checksum", None)
        check_options("recover_snapshot", kwargs, also)
        path = self._locate(collection_name, location)
        if checksum is not None and _checksum(path) != checksum:
            message = f"snapshot {path} has SHA-256 {_checksum(path)}, expected {checksum}; copy it again"
            raise FormatError(message)
        target = self.store.folder / "shards" / uuid4().hex
        try:
            config = _unpack(path, target)
            self.store.install(collection_name, config, target)
        except BaseException:
            remove_tree(target)
            raise
        return True

    def list_full_snapshots(self, **kwargs: Any) -> list[models.SnapshotDescription]:
        """None: snapshots are made of one collection at a time."""
        check_options("list_full_snapshots", kwargs)
        return []

    def list_shard_snapshots(
        self, collection_name: str, shard_id: int, **kwargs: Any
    ) -> list[models.SnapshotDescription]:
        """None: an embedded collection has one shard, see `list_snapshots`."""
        check_options("list_shard_snapshots", kwargs)
        self.store.resolve(collection_name)
        return []

    def _folder(self, collection: str) -> Path:
        return self.store.folder / SNAPSHOTS / collection

    def _locate(self, collection: str, location: str) -> Path:
        parsed = urlparse(location)
        if parsed.scheme in {"http", "https"}:
            message = (
                f"recover_snapshot(location={location!r}): give a path or a file:// URL; download it first"
            )
            raise UnsupportedByEdge(message)
        given = Path(unquote(parsed.path)) if parsed.scheme == "file" else Path(location)
        for path in (given, self._folder(collection) / location):
            if path.is_file():
                return path
        message = f"there is no snapshot {location!r}"
        raise InputError(message)


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        message = f"cannot write snapshot {path}: {error.strerror}"
        raise StorageError(message) from error


def _unpack(path: Path, target: Path) -> models.CreateCollection:
    try:
        with tarfile.open(path) as tar:
            settings = json.loads(_read(tar, _SETTINGS))
            if settings["format"] > FORMAT:
                message = (
                    f"snapshot {path} has format {settings['format']}; this version reads up to {FORMAT}"
                )
                raise FormatError(message)
            config = models.CreateCollection.model_validate(settings["config"])
            _extract(tar, target)
        (target / _SHARD).rename(target.with_name(target.name + ".part"))
        remove_tree(target)
        target.with_name(target.name + ".part").rename(target)
    except (tarfile.TarError, KeyError, ValueError, TypeError, ValidationError) as error:
        message = f"{path} is no snapshot of an embedded collection: {error}"
        raise FormatError(message) from error
    except OSError as error:
        message = f"cannot unpack snapshot {path}: {error.strerror}"
        raise StorageError(message) from error
    return config


def _extract(tar: tarfile.TarFile, target: Path) -> None:
    """Unpack files and folders, and nothing that leads out of the target.

    Python's own filter does this too, but the first releases of 3.11 do not have it.
    """
    for member in tar.getmembers():
        inside = (target / member.name).resolve().is_relative_to(target.resolve())
        if not inside or not (member.isfile() or member.isdir()):
            message = f"{member.name!r} in it is no file or folder of a snapshot"
            raise ValueError(message)
    filtering: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    tar.extractall(target, **filtering)  # noqa: S202  every member was looked at above


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    if member is None:
        raise KeyError(name)
    return member.read()


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    from io import BytesIO

    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, BytesIO(content))


def _describe(path: Path) -> models.SnapshotDescription:
    moment = datetime.strptime(path.name.removesuffix(SUFFIX), "%Y-%m-%d-%H-%M-%S-%f").replace(tzinfo=UTC)
    return models.SnapshotDescription(
        name=path.name,
        creation_time=moment.replace(microsecond=0, tzinfo=None).isoformat(),
        size=path.stat().st_size,
        checksum=_checksum(path),
    )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
