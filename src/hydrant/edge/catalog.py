"""What an index folder holds: its collections, their settings, their aliases, and its format version.

Layout of an index folder::

    edge.json            this catalog
    edge.lock            the process that holds the folder
    shards/<id>/         one engine shard per collection; the catalog says which
    snapshots/           snapshots that were made
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from qdrant_client import models

from hydrant.edge.files import write_durably
from hydrant.errors import FormatError, StorageError

CATALOG_FILE = "edge.json"
SHARDS = "shards"
FORMAT = 1
"""The version of the layout above that this code writes, and the newest it can read."""


@dataclass(frozen=True)
class Entry:
    """One collection of the catalog.

    Attributes:
        shard: Name of the collection's folder under ``shards/``.
        config: Everything `create_collection` was told, with later updates merged in.
    """

    shard: str
    config: models.CreateCollection


@dataclass(frozen=True)
class Catalog:
    """All collections and aliases of one index; immutable, each change gives a new catalog.

    Attributes:
        collections: Name to entry, in order of creation.
        aliases: Alias to the name of its collection.
    """

    collections: dict[str, Entry] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def with_entry(self, name: str, entry: Entry) -> Catalog:
        """This catalog with one collection added or replaced."""
        return replace(self, collections={**self.collections, name: entry})

    def without(self, name: str) -> Catalog:
        """This catalog less one collection and the aliases that point at it."""
        return Catalog(
            collections={key: entry for key, entry in self.collections.items() if key != name},
            aliases={alias: target for alias, target in self.aliases.items() if target != name},
        )

    def with_aliases(self, aliases: dict[str, str]) -> Catalog:
        """This catalog with its aliases replaced."""
        return replace(self, aliases=dict(aliases))

    def save(self, folder: Path) -> None:
        """Write the catalog into an index folder, atomically.

        Raises:
            StorageError: The disk refused the write; the old catalog is kept.
        """
        document = {
            "format": FORMAT,
            "collections": {
                name: {
                    "shard": entry.shard,
                    "config": entry.config.model_dump(mode="json", exclude_none=True),
                }
                for name, entry in self.collections.items()
            },
            "aliases": self.aliases,
        }
        write_durably(folder / CATALOG_FILE, json.dumps(document, indent=1).encode())


def read_catalog(folder: Path) -> Catalog | None:
    """Read the catalog of an index folder; None where the folder is empty or does not exist.

    Raises:
        FormatError: The path is a file, another program's folder, or an index that a newer version wrote.
        StorageError: The folder cannot be read.
    """
    path = folder / CATALOG_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        _refuse_foreign(folder)
        return None
    except NotADirectoryError as error:
        raise FormatError(_not_a_folder(folder)) from error
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; check the folder's permissions"
        raise StorageError(message) from error
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> Catalog:
    try:
        document = json.loads(content)
        version = document["format"]
    except (ValueError, TypeError, KeyError) as error:
        message = f"{path} is not the catalog of an index: {content[:60]!r}; choose another folder"
        raise FormatError(message) from error
    if not isinstance(version, int) or version > FORMAT:
        message = (
            f"{path} has format {version!r}; this version of hydrant reads up to {FORMAT}. "
            "Upgrade hydrant, or open the index with the version that wrote it"
        )
        raise FormatError(message)
    try:
        return _from_document(document)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        message = f"{path} is damaged: {error}; restore it from a snapshot or a copy"
        raise FormatError(message) from error


def _from_document(document: dict[str, Any]) -> Catalog:
    collections = {
        name: Entry(shard=entry["shard"], config=models.CreateCollection.model_validate(entry["config"]))
        for name, entry in document["collections"].items()
    }
    return Catalog(collections=collections, aliases=dict(document["aliases"]))


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder that some other program filled, before anything is written into it."""
    try:
        found = sorted(item.name for item in folder.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise FormatError(_not_a_folder(folder)) from error
    except OSError as error:
        message = f"cannot read {folder}: {error.strerror}; check the folder's permissions"
        raise StorageError(message) from error
    # A crash between the first lock and the first catalog leaves these two, and nothing else.
    ours = {"edge.lock", CATALOG_FILE + ".new", SHARDS}
    foreign = [name for name in found if name not in ours]
    if foreign:
        message = (
            f"{folder} is not an index of EdgeClient: it holds {foreign[:5]} and no {CATALOG_FILE}; "
            "choose an empty or a new folder"
        )
        raise FormatError(message)


def _not_a_folder(folder: Path) -> str:
    return f"{folder} is a file, expected a folder for the index; choose another path"
