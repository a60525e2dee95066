"""One process holds an index folder at a time; the holder says who it is."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hydrant.errors import CollectionInUse, StorageError

if TYPE_CHECKING:
    from typing import BinaryIO

LOCK_FILE = "edge.lock"


class FolderLock:
    """An exclusive lock on a folder, held through an open file.

    The operating system drops the lock when the process ends, however it ends, so a crash leaves
    nothing to clean up. The holder writes its process id into the file for others to read.

    Args:
        folder: The folder to lock; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._owner = 0

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            CollectionInUse: Another client holds the folder; the message names its process id.
            StorageError: The lock file cannot be written.
        """
        # portalocker looks for a writable folder when imported, so a read-only system must not
        # pay for it before it opens an index.
        import portalocker

        path = self._folder / LOCK_FILE
        try:
            # Opening for append neither empties the holder's file nor needs it to exist.
            file = path.open("a+b")
        except OSError as error:
            message = (
                f"cannot open {path} to lock the index: {error.strerror}; check the folder's permissions"
            )
            raise StorageError(message) from error
        flags = portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING
        try:
            portalocker.lock(file, flags)
        except portalocker.exceptions.LockException as error:
            holder = _read_holder(file)
            file.close()
            raise CollectionInUse(_in_use(self._folder, holder)) from error
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
        self._file, self._owner = file, os.getpid()

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        import portalocker

        file, self._file = self._file, None
        if file is None:
            return
        # A forked child inherits the open file: unlocking there would unlock the parent's index.
        if self._owner == os.getpid():
            with suppress(OSError):
                file.truncate(0)
            with suppress(portalocker.exceptions.LockException):
                portalocker.unlock(file)
        file.close()


def _read_holder(file: BinaryIO) -> int | None:
    file.seek(0)
    try:
        return int(file.read(20))
    except ValueError:
        # The holder has the lock but has not written its id yet.
        return None


def _in_use(folder: Path, holder: int | None) -> str:
    if holder == os.getpid():
        return (
            f"the index {str(folder)!r} is already open in this process ({holder}); share that client, "
            "or close() it first"
        )
    who = "another process" if holder is None else f"process {holder}"
    return (
        f"the index {str(folder)!r} is held by {who}; close it there, or use a Qdrant server "
        "where several processes need the same index"
    )
