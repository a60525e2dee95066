"""Writing small files so that a crash leaves the old or the new content, never half of one."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from hydrant.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file's content atomically and wait until it is on the disk.

    Raises:
        StorageError: The disk is full, read-only or gone; the old content is kept.
    """
    draft = path.with_name(path.name + ".new")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        message = f"cannot write {path}: {error.strerror}; the index keeps its last saved state"
        raise StorageError(message) from error


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries (created, renamed, removed) are on the disk."""
    if os.name == "nt":  # Windows cannot open a folder as a file, and needs no such call.
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(folder: Path) -> None:
    """Remove a folder and everything in it; one that is gone already is fine."""
    shutil.rmtree(folder, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Wait until every file in a folder, and every folder's entries, are on the disk.

    Raises:
        StorageError: The disk refused.
    """
    try:
        for path in folder.rglob("*"):
            if path.is_dir():
                sync_folder(path)
            elif path.is_file():
                _sync_file(path)
        sync_folder(folder)
    except OSError as error:
        message = f"cannot write {folder} to disk: {error.strerror}"
        raise StorageError(message) from error


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
