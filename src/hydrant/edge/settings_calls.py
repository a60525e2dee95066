"""The calls that change what a collection is: its settings, and the vectors it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.base import BackendBase
from hydrant.edge.change import Change
from hydrant.edge.convert.config import dense_params, to_engine_config
from hydrant.edge.convert.enums import to_engine
from hydrant.edge.names import check_vector_name, check_vector_size
from hydrant.edge.options import check_options
from hydrant.edge.settings import Diff, updated
from hydrant.errors import InputError, UnsupportedByEdge

if TYPE_CHECKING:
    from collections.abc import Mapping

_DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


class SettingsCalls(BackendBase):
    """Arguments and results are those of `QdrantClient`."""

    def update_collection(
        self,
        collection_name: str,
        vectors_config: Mapping[str, models.VectorParamsDiff] | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
        optimizers_config: models.OptimizersConfigDiff | None = None,
        quantization_config: Any = None,
        collection_params: models.CollectionParamsDiff | None = None,
        metadata: dict[str, Any] | None = None,
        strict_mode_config: models.StrictModeConfig | None = None,
        **kwargs: Any,
    ) -> bool:
        """Change a collection's settings; see `QdrantClient.update_collection`.

        What concerns indexes takes effect when they are next built, which this asks for.

        Raises:
            UnsupportedByEdge: Strict mode, or a change that the engine cannot make on existing data.
        """
        check_options("update_collection", kwargs)
        if strict_mode_config is not None:
            message = (
                "update_collection(strict_mode_config=...): strict mode guards a shared server; there is none"
            )
            raise UnsupportedByEdge(message)
        diff = Diff(
            vectors_config,
            sparse_vectors_config,
            hnsw_config,
            optimizers_config,
            quantization_config,
            collection_params,
            metadata,
        )
        name, entry = self.store.resolve(collection_name)
        config = updated(entry.config, diff)
        if diff.reaches_engine:
            self.store.collection(name).shard.reconfigure(to_engine_config(config))
        self.store.set_config(name, config)
        if diff.reaches_engine:
            self.store.indexer.request(name)
        return diff.reaches_engine or metadata is not None

    def create_vector_name(
        self, collection_name: str, vector_name: str, vector_name_config: Any, **kwargs: Any
    ) -> models.UpdateResult:
        """Add a named vector to a collection; see `QdrantClient.create_vector_name`."""
        check_options("create_vector_name", kwargs)
        name, entry = self.store.resolve(collection_name)
        if isinstance(vector_name_config, models.DenseVectorNameConfig):
            check_vector_name(vector_name, "dense")
            check_vector_size(vector_name_config.dense.size)
            config = _with_dense(entry.config, vector_name, vector_name_config.dense)
            operation = _create_dense(vector_name, vector_name_config.dense)
        elif isinstance(vector_name_config, models.SparseVectorNameConfig):
            check_vector_name(vector_name, "sparse")
            config = _with_sparse(entry.config, vector_name, vector_name_config.sparse)
            operation = _create_sparse(vector_name, vector_name_config.sparse)
        else:
            message = (
                f"expected a DenseVectorNameConfig or a SparseVectorNameConfig, got {vector_name_config!r}"
            )
            raise InputError(message)
        if config is not entry.config:
            self.store.write(self.store.collection(name), [Change(operation)])
            self.store.set_config(name, config)
        return _DONE

    def delete_vector_name(
        self, collection_name: str, vector_name: str, **kwargs: Any
    ) -> models.UpdateResult:
        """Remove a named vector from a collection and all its points; see `QdrantClient.delete_vector_name`."""
        check_options("delete_vector_name", kwargs)
        name, entry = self.store.resolve(collection_name)
        dense, sparse = dense_params(entry.config), dict(entry.config.sparse_vectors or {})
        if vector_name not in dense and vector_name not in sparse:
            return _DONE
        if vector_name == "" and isinstance(entry.config.vectors, models.VectorParams):
            message = "Cannot delete the unnamed vector when it is the only dense vector in the collection"
            raise InputError(message)
        dense.pop(vector_name, None)
        sparse.pop(vector_name, None)
        # The settings go first: nothing may be written to a vector that is about to go.
        self.store.set_config(
            name, entry.config.model_copy(update={"vectors": dense, "sparse_vectors": sparse})
        )
        operation = engine.UpdateOperation.delete_vector_name(vector_name)
        self.store.write(self.store.collection(name), [Change(operation)])
        return _DONE


def _create_dense(name: str, config: models.DenseVectorConfig) -> engine.UpdateOperation:
    multi = None
    if config.multivector_config is not None:
        multi = engine.MultiVectorConfig(engine.MultiVectorComparator.MaxSim)
    datatype = config.datatype
    return engine.UpdateOperation.create_dense_vector(
        name,
        config.size,
        to_engine(engine.Distance, config.distance),
        multi,
        to_engine(engine.VectorStorageDatatype, datatype) if datatype is not None else None,
    )


def _create_sparse(name: str, config: models.SparseVectorConfig) -> engine.UpdateOperation:
    idf = config.modifier is models.Modifier.IDF
    datatype = config.datatype
    return engine.UpdateOperation.create_sparse_vector(
        name,
        engine.Modifier.Idf if idf else None,
        to_engine(engine.VectorStorageDatatype, datatype) if datatype is not None else None,
    )


def _with_dense(
    config: models.CreateCollection, name: str, given: models.DenseVectorConfig
) -> models.CreateCollection:
    """The settings with one more dense vector; the same object where it exists already, just so."""
    if name in (config.sparse_vectors or {}):
        message = f"Vector {name!r} already exists as a sparse vector"
        raise InputError(message)
    current = dense_params(config)
    params = models.VectorParams(
        size=given.size,
        distance=given.distance,
        multivector_config=given.multivector_config,
        datatype=models.Datatype(given.datatype.value) if given.datatype is not None else None,
    )
    existing = current.get(name)
    if existing is None:
        return config.model_copy(update={"vectors": {**current, name: params}})
    same = ("size", "distance", "multivector_config", "datatype")
    if any(getattr(existing, key) != getattr(params, key) for key in same):
        message = f"Vector {name!r} already exists with a different configuration: {existing!r}"
        raise InputError(message)
    return config


def _with_sparse(
    config: models.CreateCollection, name: str, given: models.SparseVectorConfig
) -> models.CreateCollection:
    """The settings with one more sparse vector; the same object where it exists already, just so."""
    if name in dense_params(config):
        message = f"Vector {name!r} already exists as a dense vector"
        raise InputError(message)
    current = dict(config.sparse_vectors or {})
    existing = current.get(name)
    if existing is None:
        datatype = models.Datatype(given.datatype.value) if given.datatype is not None else None
        index = models.SparseIndexParams(datatype=datatype) if datatype is not None else None
        params = models.SparseVectorParams(modifier=given.modifier, index=index)
        return config.model_copy(update={"sparse_vectors": {**current, name: params}})
    if existing.modifier != given.modifier:
        message = f"Sparse vector {name!r} already exists with a different configuration: {existing!r}"
        raise InputError(message)
    return config
