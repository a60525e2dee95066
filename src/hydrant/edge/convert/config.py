"""Collection settings, from `models.CreateCollection` to the engine's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import qdrant_edge as engine
from pydantic import BaseModel
from qdrant_client import models

from hydrant.edge.convert.enums import to_engine
from hydrant.edge.faults import checked

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = TypeVar("Model", bound=BaseModel)

# The defaults of a Qdrant server, which the engine's constructors ask for explicitly.
HNSW_DEFAULTS = models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000, max_indexing_threads=0)
OPTIMIZER_DEFAULTS = models.OptimizersConfig(
    deleted_threshold=0.2,
    vacuum_min_vector_number=1000,
    default_segment_number=0,
    indexing_threshold=10_000,
    flush_interval_sec=5,
)


def dense_params(config: models.CreateCollection) -> dict[str, models.VectorParams]:
    """A collection's dense vectors by name; the unnamed vector has the name ``""``."""
    if config.vectors is None:
        return {}
    if isinstance(config.vectors, models.VectorParams):
        return {"": config.vectors}
    return dict(config.vectors)


@checked
def to_engine_config(config: models.CreateCollection) -> engine.EdgeConfig:
    """The engine's configuration for a collection."""
    payload_memory = config.payload.memory if config.payload is not None else None
    id_memory = config.id_tracker.memory if config.id_tracker is not None else None
    return engine.EdgeConfig(
        vectors={name: _dense(params, config) for name, params in dense_params(config).items()},
        sparse_vectors={name: _sparse(params) for name, params in (config.sparse_vectors or {}).items()},
        on_disk_payload=config.on_disk_payload,
        hnsw_config=_hnsw(config.hnsw_config),
        quantization_config=_quantization(config.quantization_config),
        optimizers=_optimizers(config.optimizers_config),
        payload_memory=_memory(payload_memory),
        id_tracker_memory=_memory(id_memory),
    )


def hnsw_config(config: models.CreateCollection) -> models.HnswConfig:
    """The HNSW settings in force for a collection: the defaults with its own on top."""
    return merged(HNSW_DEFAULTS, config.hnsw_config)


def optimizers_config(config: models.CreateCollection) -> models.OptimizersConfig:
    """The optimizer settings in force for a collection: the defaults with its own on top."""
    return merged(OPTIMIZER_DEFAULTS, config.optimizers_config)


def merged(base: Model, diff: BaseModel | None) -> Model:
    """A copy of `base` with every setting that `diff` gives."""
    if diff is None:
        return base
    return base.model_copy(update=diff.model_dump(exclude_none=True))


def _dense(params: models.VectorParams, config: models.CreateCollection) -> engine.EdgeVectorParams:
    multi = None
    if params.multivector_config is not None:
        multi = engine.MultiVectorConfig(engine.MultiVectorComparator.MaxSim)
    own_hnsw = None
    if params.hnsw_config is not None:
        # A vector's own settings are a diff on the collection's, not on the defaults.
        own_hnsw = _hnsw(
            models.HnswConfigDiff(**merged(hnsw_config(config), params.hnsw_config).model_dump())
        )
    return engine.EdgeVectorParams(
        size=params.size,
        distance=to_engine(engine.Distance, params.distance),
        on_disk=params.on_disk,
        multivector_config=multi,
        datatype=_datatype(params.datatype),
        quantization_config=_quantization(params.quantization_config),
        hnsw_config=own_hnsw,
        memory=_memory(params.memory),
    )


def _sparse(params: models.SparseVectorParams) -> engine.EdgeSparseVectorParams:
    index = params.index if params.index is not None else models.SparseIndexParams()
    idf = params.modifier is models.Modifier.IDF
    return engine.EdgeSparseVectorParams(
        full_scan_threshold=index.full_scan_threshold,
        on_disk=index.on_disk,
        modifier=engine.Modifier.Idf if idf else None,
        datatype=_datatype(index.datatype),
        memory=_memory(index.memory),
    )


def _hnsw(diff: models.HnswConfigDiff | None) -> engine.HnswIndexConfig | None:
    if diff is None:
        return None
    settings = merged(HNSW_DEFAULTS, diff)
    return engine.HnswIndexConfig(
        m=settings.m,
        ef_construct=settings.ef_construct,
        full_scan_threshold=settings.full_scan_threshold,
        max_indexing_threads=settings.max_indexing_threads
        if settings.max_indexing_threads is not None
        else 0,
        on_disk=settings.on_disk,
        payload_m=settings.payload_m,
        inline_storage=settings.inline_storage,
        memory=_memory(settings.memory),
    )


def _optimizers(diff: models.OptimizersConfigDiff | None) -> engine.EdgeOptimizersConfig | None:
    if diff is None:
        return None
    return engine.EdgeOptimizersConfig(
        deleted_threshold=diff.deleted_threshold,
        vacuum_min_vector_number=diff.vacuum_min_vector_number,
        default_segment_number=diff.default_segment_number,
        max_segment_size=diff.max_segment_size,
        indexing_threshold=diff.indexing_threshold,
        prevent_unoptimized=diff.prevent_unoptimized,
    )


def _quantization(config: models.QuantizationConfig | None) -> engine.QuantizationConfigType | None:
    if config is None:
        return None
    if isinstance(config, models.ScalarQuantization):
        scalar = config.scalar
        return engine.ScalarQuantizationConfig(
            type=to_engine(engine.ScalarType, scalar.type), quantile=scalar.quantile, **_placement(scalar)
        )
    if isinstance(config, models.ProductQuantization):
        product = config.product
        compression = to_engine(engine.CompressionRatio, product.compression)
        return engine.ProductQuantizationConfig(compression=compression, **_placement(product))
    if isinstance(config, models.BinaryQuantization):
        return _binary(config.binary)
    bits = config.turbo.bits
    return engine.TurboQuantQuantizationConfig(
        bits=to_engine(engine.TurboQuantBitSize, bits) if bits is not None else None,
        **_placement(config.turbo),
    )


def _binary(config: models.BinaryQuantizationConfig) -> engine.BinaryQuantizationConfig:
    encoding, query = config.encoding, config.query_encoding
    return engine.BinaryQuantizationConfig(
        encoding=to_engine(engine.BinaryQuantizationEncoding, encoding) if encoding is not None else None,
        query_encoding=to_engine(engine.BinaryQuantizationQueryEncoding, query)
        if query is not None
        else None,
        **_placement(config),
    )


def _placement(config: Any) -> Mapping[str, Any]:
    return {"always_ram": config.always_ram, "memory": _memory(config.memory)}


def _memory(memory: models.Memory | None) -> engine.Memory | None:
    return to_engine(engine.Memory, memory) if memory is not None else None


def _datatype(datatype: models.Datatype | None) -> engine.VectorStorageDatatype | None:
    return to_engine(engine.VectorStorageDatatype, datatype) if datatype is not None else None
