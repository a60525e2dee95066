"""What a crash can leave in the engine's write-ahead log that the engine itself cannot open.

The log is a row of files, each reserved ahead of need and then given a header. A process that dies between the two
leaves a file of zeros, which the engine takes for a damaged one, and refuses to open the whole log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = "wal"
_RESERVED = "open-*"
_HEADER = 4
_PIECE = 1 << 20


def remove_unbegun(shard: Path) -> list[Path]:
    """Remove the files of a shard's log that were reserved and never begun; the shard must not be open.

    Entries come behind a header, so a file of nothing but zeros holds none. Whatever else is wrong with a file is the
    engine's to say.

    Args:
        shard: The shard's folder.

    Returns:
        What was removed.

    Raises:
        OSError: The folder cannot be read or written.
    """
    removed = []
    for file in sorted((shard / _FOLDER).glob(_RESERVED)):
        if _is_blank(file):
            file.unlink()
            removed.append(file)
    return removed


def _is_blank(file: Path) -> bool:
    with file.open("rb") as content:
        if any(content.read(_HEADER)):
            return False
        while piece := content.read(_PIECE):
            if any(piece):
                return False
    return True
