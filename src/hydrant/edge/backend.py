"""Qdrant Edge as a backend of qdrant-client, beside its remote and its Python-local one."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from hydrant.edge.collections import Collections
from hydrant.edge.groups import GroupCalls
from hydrant.edge.matrix import MatrixCalls
from hydrant.edge.options import check_options
from hydrant.edge.settings_calls import SettingsCalls
from hydrant.edge.snapshots import SnapshotCalls
from hydrant.edge.unsupported import Unsupported
from hydrant.edge.writes import Writes

if TYPE_CHECKING:
    from qdrant_client.client_base import QdrantBase


class EdgeBackend(GroupCalls, Writes, Collections, SettingsCalls, MatrixCalls, SnapshotCalls, Unsupported):
    """Implements `QdrantBase` on the in-process engine.

    `EdgeClient` puts `QdrantClient`'s interface in front of it. Every call may come from any thread.

    Args:
        store: The index to work on.
    """

    def optimize(self, collection_name: str, **kwargs: Any) -> bool:
        """Build what indexes are missing, and wait for it; says whether anything was done."""
        check_options("optimize", kwargs)
        return self.store.indexer.build(self.store.collection(collection_name))

    def migrate(
        self,
        dest_client: QdrantBase,
        collection_names: list[str] | None = None,
        batch_size: int = 100,
        recreate_on_collision: bool = False,
    ) -> None:
        """Copy collections to another client, be it of a server; see `QdrantClient.migrate`."""
        from qdrant_client.migrate.migrate import migrate

        migrate(self, dest_client, collection_names, recreate_on_collision, batch_size)

    def info(self) -> models.VersionInfo:
        """Which engine answers, and in which version."""
        return models.VersionInfo(title="qdrant edge", version=version("qdrant-edge-py"), commit=None)
