"""Where a file's collection lies: a folder of the embedded engine, or a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from hydrant.errors import CollectionNotFound

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

KEY_VARIABLE = "QDRANT_API_KEY"


@dataclass(frozen=True, slots=True)
class Site:
    """A place with collections.

    Attributes:
        path: The folder of an embedded index; None for a server.
        url: The address of a server; None for a folder.
    """

    path: Path | None = None
    url: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.url is None else self.url


Connect: TypeAlias = "Callable[[Site], AbstractContextManager[QdrantClient]]"


@contextmanager
def connect(site: Site) -> Iterator[QdrantClient]:
    """A client for a place, closed at the end. A server's key is read from `QDRANT_API_KEY`, never from a file.

    Raises:
        CollectionNotFound: There is no such folder.
    """
    if site.url is not None:
        from qdrant_client import QdrantClient

        client = QdrantClient(
            url=site.url, api_key=os.environ.get(KEY_VARIABLE), timeout=60, check_compatibility=False
        )
        try:
            yield client
        finally:
            client.close()
        return
    from hydrant.edge import EdgeClient

    if site.path is None or not site.path.exists():
        msg = f"there is no index at {site.path}; make one with 'hydrant index FOLDER', or correct 'path'"
        raise CollectionNotFound(msg)
    with EdgeClient(site.path.absolute()) as embedded:
        yield embedded
