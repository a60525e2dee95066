"""A collection's settings after `update_collection`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python
from qdrant_client import models

from hydrant.edge.convert.config import dense_params, merged
from hydrant.errors import UnknownVector, UnsupportedByEdge

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Diff:
    """What `update_collection` was given; None leaves a setting as it is."""

    vectors: Mapping[str, models.VectorParamsDiff] | None = None
    sparse_vectors: Mapping[str, models.SparseVectorParams] | None = None
    hnsw: models.HnswConfigDiff | None = None
    optimizers: models.OptimizersConfigDiff | None = None
    quantization: Any = None
    collection: models.CollectionParamsDiff | None = None
    metadata: dict[str, Any] | None = None

    @property
    def reaches_engine(self) -> bool:
        """Whether anything but the metadata changes."""
        given = (
            self.vectors,
            self.sparse_vectors,
            self.hnsw,
            self.optimizers,
            self.quantization,
            self.collection,
        )
        return any(part is not None for part in given)


def updated(config: models.CreateCollection, diff: Diff) -> models.CreateCollection:
    """A collection's settings with the changes merged in, field by field, as a server merges them.

    Raises:
        UnknownVector: A change to a vector that the collection lacks; nothing is changed then.
        UnsupportedByEdge: A setting that the engine cannot change on existing data.
    """
    changes: dict[str, Any] = {}
    if diff.vectors is not None:
        changes["vectors"] = _dense(config, diff.vectors)
    if diff.sparse_vectors is not None:
        changes["sparse_vectors"] = _sparse(config, diff.sparse_vectors)
    if diff.hnsw is not None:
        changes["hnsw_config"] = merged(_or(config.hnsw_config, models.HnswConfigDiff()), diff.hnsw)
    if diff.optimizers is not None:
        base = _or(config.optimizers_config, models.OptimizersConfigDiff())
        changes["optimizers_config"] = merged(base, diff.optimizers)
    if diff.quantization is not None:
        changes["quantization_config"] = _quantization(config.quantization_config, diff.quantization)
    if diff.collection is not None:
        for name in ("on_disk_payload", "payload", "id_tracker"):
            value = getattr(diff.collection, name)
            if value is not None:
                changes[name] = value
    if diff.metadata is not None:
        changes["metadata"] = _metadata(config.metadata, diff.metadata)
    return config.model_copy(update=changes)


def _dense(config: models.CreateCollection, diffs: Mapping[str, models.VectorParamsDiff]) -> Any:
    current = dense_params(config)
    for name, diff in diffs.items():
        if name not in current:
            message = (
                f"Wrong input: Not existing vector name error: {name!r}; the collection has {sorted(current)}"
            )
            raise UnknownVector(message)
        params = current[name]
        update = {key: getattr(diff, key) for key in ("on_disk", "memory") if getattr(diff, key) is not None}
        if diff.hnsw_config is not None:
            update["hnsw_config"] = merged(_or(params.hnsw_config, models.HnswConfigDiff()), diff.hnsw_config)
        if diff.quantization_config is not None:
            quantization = _quantization(params.quantization_config, diff.quantization_config)
            update["quantization_config"] = quantization
        current[name] = params.model_copy(update=update)
    return current[""] if isinstance(config.vectors, models.VectorParams) else current


def _sparse(
    config: models.CreateCollection, diffs: Mapping[str, models.SparseVectorParams]
) -> dict[str, models.SparseVectorParams]:
    current = dict(config.sparse_vectors or {})
    for name, diff in diffs.items():
        if name not in current:
            message = (
                f"Vector {name!r} does not exist in the collection; its sparse vectors are {sorted(current)}"
            )
            raise UnknownVector(message)
        params = current[name]
        if diff.modifier is not None and diff.modifier != params.modifier:
            message = (
                f"update_collection: sparse vector {name!r} has modifier {params.modifier!r}; the engine cannot "
                f"change it to {diff.modifier!r} on existing data. Create a collection with it and upload again"
            )
            raise UnsupportedByEdge(message)
        if diff.index is not None:
            index = merged(_or(params.index, models.SparseIndexParams()), diff.index)
            current[name] = params.model_copy(update={"index": index})
    return current


def _quantization(current: Any, wanted: Any) -> Any:
    if wanted is not models.Disabled.DISABLED:
        return wanted
    if current is not None:
        message = (
            "update_collection: the engine cannot take quantization off existing data. Search with "
            "QuantizationSearchParams(ignore=True), or create a collection without it and upload again"
        )
        raise UnsupportedByEdge(message)
    return None


def _metadata(current: dict[str, Any] | None, given: dict[str, Any]) -> dict[str, Any]:
    kept = dict(current) if current is not None else {}
    for key, value in to_jsonable_python(given).items():
        if value is None:  # a null removes the key, as in a payload
            kept.pop(key, None)
        else:
            kept[key] = value
    return kept


def _or(value: BaseModel | None, default: BaseModel) -> BaseModel:
    return value if value is not None else default
