"""The calls on collections as a whole: create, update, describe, delete, aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python
from qdrant_client import models

from hydrant.edge.base import BackendBase
from hydrant.edge.convert.config import dense_params, hnsw_config, optimizers_config
from hydrant.edge.convert.indexes import from_engine_index
from hydrant.edge.names import check_collection_name, check_vector_name, check_vector_size
from hydrant.edge.options import check_options
from hydrant.errors import CollectionExists, CollectionNotFound, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLUSTER = frozenset(("shard_number", "replication_factor", "write_consistency_factor", "sharding_method"))
_SETTINGS = frozenset(
    ("on_disk_payload", "hnsw_config", "optimizers_config", "wal_config", "quantization_config",
     "strict_mode_config", "payload", "id_tracker")
)  # fmt: skip


class Collections(BackendBase):
    """The calls on collections. Arguments and results are those of `QdrantClient`."""

    def create_collection(
        self,
        collection_name: str,
        vectors_config: models.VectorParams | Mapping[str, models.VectorParams] | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> bool:
        """Create an empty collection; see `QdrantClient.create_collection`."""
        check_options("create_collection", kwargs, _CLUSTER | _SETTINGS)
        config = models.CreateCollection(
            vectors=dict(vectors_config) if isinstance(vectors_config, Mapping) else vectors_config,
            sparse_vectors=dict(sparse_vectors_config) if sparse_vectors_config is not None else None,
            metadata=to_jsonable_python(metadata),
            **{name: value for name, value in kwargs.items() if name in _SETTINGS and value is not None},
        )
        check_collection_name(collection_name)
        for name, params in dense_params(config).items():
            check_vector_name(name, "dense")
            check_vector_size(params.size)
        for name in config.sparse_vectors or {}:
            check_vector_name(name, "sparse")
        self.store.create(collection_name, config)
        return True

    def recreate_collection(
        self,
        collection_name: str,
        vectors_config: models.VectorParams | Mapping[str, models.VectorParams] | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> bool:
        """Delete a collection where there is one, and create it empty."""
        check_collection_name(collection_name)
        self.delete_collection(collection_name)
        return self.create_collection(
            collection_name, vectors_config, sparse_vectors_config, metadata, **kwargs
        )

    def delete_collection(self, collection_name: str, **kwargs: Any) -> bool:
        """Delete a collection; says whether there was one."""
        check_options("delete_collection", kwargs)
        return self.store.drop(collection_name)

    def collection_exists(self, collection_name: str, **kwargs: Any) -> bool:
        """Whether a collection or an alias has this name."""
        check_options("collection_exists", kwargs)
        catalog = self.store.catalog
        return collection_name in catalog.collections or collection_name in catalog.aliases

    def get_collections(self, **kwargs: Any) -> models.CollectionsResponse:
        """All collections, in the order they were created."""
        check_options("get_collections", kwargs)
        names = self.store.catalog.collections
        return models.CollectionsResponse(
            collections=[models.CollectionDescription(name=name) for name in names]
        )

    def get_collection(self, collection_name: str, **kwargs: Any) -> models.CollectionInfo:
        """A collection's settings, state and counts; see `QdrantClient.get_collection`."""
        check_options("get_collection", kwargs)
        _, entry = self.store.resolve(collection_name)
        collection = self.store.collection(collection_name)
        info = collection.shard.read("describe", lambda opened: opened.info())
        progress = self.store.indexer.progress(collection.name)
        counts = collection.shard.counts(collection.policy.names)
        busy = (
            progress.building
            or progress.requested
            or collection.policy.is_worth(counts, progress.accepted_kb)
        )
        failed = models.OptimizersStatusOneOf1(error=progress.failure) if progress.failure else None
        return models.CollectionInfo(
            status=models.CollectionStatus.YELLOW if busy else models.CollectionStatus.GREEN,
            optimizer_status=failed if failed is not None else models.OptimizersStatusOneOf.OK,
            indexed_vectors_count=info.indexed_vectors_count,
            points_count=info.points_count,
            segments_count=info.segments_count,
            payload_schema={key: from_engine_index(value) for key, value in info.payload_schema.items()},
            config=describe(entry.config),
        )

    def update_collection_aliases(self, change_aliases_operations: Sequence[Any], **kwargs: Any) -> bool:
        """Create, rename and delete aliases, all or none; see `QdrantClient.update_collection_aliases`."""
        check_options("update_collection_aliases", kwargs)
        aliases = dict(self.store.catalog.aliases)
        for operation in change_aliases_operations:
            self._change_alias(aliases, operation)
        self.store.set_aliases(aliases)
        return True

    def get_collection_aliases(
        self, collection_name: str, **kwargs: Any
    ) -> models.CollectionsAliasesResponse:
        """The aliases of one collection."""
        check_options("get_collection_aliases", kwargs)
        return _aliases(
            {a: name for a, name in self.store.catalog.aliases.items() if name == collection_name}
        )

    def get_aliases(self, **kwargs: Any) -> models.CollectionsAliasesResponse:
        """All aliases."""
        check_options("get_aliases", kwargs)
        return _aliases(self.store.catalog.aliases)

    def _change_alias(self, aliases: dict[str, str], operation: Any) -> None:
        if isinstance(operation, models.CreateAliasOperation):
            created = operation.create_alias
            self._require_collection(created.collection_name)
            self._require_free(created.alias_name)
            aliases[created.alias_name] = created.collection_name
        elif isinstance(operation, models.DeleteAliasOperation):
            aliases.pop(operation.delete_alias.alias_name, None)
        elif isinstance(operation, models.RenameAliasOperation):
            old, new = operation.rename_alias.old_alias_name, operation.rename_alias.new_alias_name
            self._require_free(new)
            if old not in aliases:
                message = f"Alias {old} does not exist; the index has {sorted(aliases)}"
                raise CollectionNotFound(message)
            aliases[new] = aliases.pop(old)
        else:
            message = f"expected an alias operation of qdrant_client.models, got {operation!r}"
            raise InputError(message)

    def _require_collection(self, name: str) -> None:
        # An alias must point at a collection, not at another alias.
        if name not in self.store.catalog.collections:
            message = f"Collection {name} not found; the index has {sorted(self.store.catalog.collections)}"
            raise CollectionNotFound(message)

    def _require_free(self, alias: str) -> None:
        if alias in self.store.catalog.collections:
            message = f"Collection {alias} already exists, so no alias can have its name"
            raise CollectionExists(message)


def describe(config: models.CreateCollection) -> models.CollectionConfig:
    """A collection's settings as `get_collection` gives them, defaults filled in."""
    return models.CollectionConfig(
        params=models.CollectionParams(
            vectors=config.vectors if config.vectors is not None else {},
            sparse_vectors=config.sparse_vectors,
            shard_number=1,
            replication_factor=1,
            write_consistency_factor=1,
            on_disk_payload=config.on_disk_payload,
            payload=config.payload,
            id_tracker=config.id_tracker,
        ),
        hnsw_config=hnsw_config(config),
        optimizer_config=optimizers_config(config),
        wal_config=models.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0),
        quantization_config=config.quantization_config,
        metadata=config.metadata,
    )


def _aliases(aliases: Mapping[str, str]) -> models.CollectionsAliasesResponse:
    return models.CollectionsAliasesResponse(
        aliases=[
            models.AliasDescription(alias_name=alias, collection_name=name) for alias, name in aliases.items()
        ]
    )
