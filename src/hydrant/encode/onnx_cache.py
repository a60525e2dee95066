"""Where exported models lie: a folder each, named by what went into it, complete or not there at all.

A folder holds `model.onnx`, `tokenizer.json` and `manifest.json`; the last has the checksums of the others and the facts
that a user of the model needs. It is made under another name and renamed when it is whole, so that two processes which
export the same model at the same time do not meet: the second finds the first one's folder and throws its own away.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrant.errors import HydrantError, StorageError

_LOGGER = logging.getLogger("hydrant")
CACHE_VARIABLE = "HYDRANT_CACHE"
MANIFEST = "manifest.json"
_BLOCK = 1 << 20
# What a process that was killed in the middle of an export left behind is swept away after this long.
_STALE_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A model in the cache.

    Attributes:
        folder: Where its files lie.
        facts: What was said of it when it was exported.
        built: Whether that was just now.
    """

    folder: Path
    facts: Mapping[str, Any]
    built: bool = False


def cache_folder() -> Path:
    """Where exported models are kept: under $HYDRANT_CACHE, else in the user's cache folder of this system."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser() / "onnx"
    from platformdirs import user_cache_path

    return user_cache_path("hydrant") / "onnx"


def key_of(parts: Mapping[str, Any]) -> str:
    """The name of a folder for everything that decides what is in it."""
    line = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(line.encode()).hexdigest()[:40]


def obtain(key: str, build: Callable[[Path], Mapping[str, Any]]) -> Entry:
    """The entry of that key; made now where it is not there or is damaged.

    Args:
        key: What `key_of` said.
        build: Writes the files into an empty folder and returns the facts.

    Raises:
        StorageError: The cache cannot be written.
    """
    root = cache_folder()
    folder = root / key
    if folder.is_dir():
        entry = read(folder)
        if entry is not None:
            return entry
        _LOGGER.warning("the exported model in %s is damaged: it is exported again", folder)
        discard(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        return _build(folder, build)
    except OSError as error:
        if isinstance(error, HydrantError):
            raise
        msg = (
            f"an exported model cannot be written to {root}: {error}; give the process a folder that it may write "
            f"with the environment variable {CACHE_VARIABLE}"
        )
        raise StorageError(msg) from error


def read(folder: Path) -> Entry | None:
    """The entry of a folder, None where a file is missing, cut short or changed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sums = manifest["files"]
        whole = all(_checksum(folder / name) == expected for name, expected in sums.items())
        return Entry(folder, manifest["facts"]) if whole and sums else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def discard(folder: Path) -> None:
    """Take a folder away; it is renamed first, so that nobody sees a half of it."""
    aside = Path(tempfile.mkdtemp(prefix=".gone-", dir=folder.parent))
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        folder.rename(aside / folder.name)
    shutil.rmtree(aside, ignore_errors=True)


def _build(folder: Path, build: Callable[[Path], Mapping[str, Any]]) -> Entry:
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        facts = build(made)
        files = {file.name: _checksum(file) for file in sorted(made.iterdir())}
        content = json.dumps({"files": files, "facts": facts}, ensure_ascii=False, indent=1)
        (made / MANIFEST).write_text(content, encoding="utf-8")
        # Read back, so that the facts are the same whether they were just made or found.
        facts = json.loads(content)["facts"]
        if _renamed(made, folder):
            return Entry(folder, facts, built=True)
        entry = read(folder)
        if entry is None:
            discard(folder)
            made.rename(folder)
            return Entry(folder, facts, built=True)
        return entry
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _renamed(made: Path, folder: Path) -> bool:
    """Whether the new folder took its place; not where another process put its own there meanwhile."""
    try:
        made.rename(folder)
    except OSError:
        if folder.is_dir():
            return False
        raise
    return True


def _checksum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _sweep(root: Path) -> None:
    before = time.time() - _STALE_SECONDS
    for left in (*root.glob(".new-*"), *root.glob(".gone-*")):
        with contextlib.suppress(OSError):  # another process sweeps too
            if left.stat().st_mtime < before:
                shutil.rmtree(left, ignore_errors=True)
