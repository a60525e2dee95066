"""Creating a collection, and opening one that is there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qdrant_client import QdrantClient, models

from hydrant.collection.calls import Clients, QdrantCall, status_of
from hydrant.collection.compression import quantization
from hydrant.collection.payload import BOOKKEEPING, REVISION_KEY, PayloadMap
from hydrant.collection.profile import RECORD_KEY, Profile
from hydrant.collection.sources import (
    Record,
    Source,
    foreign_sources,
    record_of,
    recorded_sources,
    sharing,
)
from hydrant.encode.base import Encoder
from hydrant.errors import CollectionExists, CollectionNotFound, ConfigurationError, UnknownArgument
from hydrant.flow import Effect, Flow

_NOT_FOUND = 404
_RESERVED = frozenset({"collection_name", "vectors_config", "sparse_vectors_config", "metadata"})
# The kinds that go with the sources' usual names; other names go with any.
_KINDS: Mapping[str, str] = {"dense": "dense", "sparse": "sparse", "late": "multi"}
# How many payloads are looked at to recognise a layout.
_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a new collection is to be.

    Attributes:
        name: Its name.
        encoders: An encoder for each source.
        distance: How dense vectors are compared.
        tenant: The payload key that keeps tenants apart, or None.
        fields: Metadata fields to index, with the type of each.
        payload: Where text and metadata lie.
        compression: How the vectors that are searched through an index are kept in memory; None keeps them whole.
        options: Further arguments of `QdrantClient.create_collection`, such as `hnsw_config`.
    """

    name: str
    encoders: Mapping[str, Encoder]
    distance: models.Distance = models.Distance.COSINE
    tenant: str | None = None
    fields: Mapping[str, str | models.PayloadSchemaType] = field(default_factory=dict)
    payload: PayloadMap = field(default_factory=PayloadMap.hydrant)
    compression: models.QuantizationConfig | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller knows of a collection that is to be opened; whatever is left out is read or detected.

    Attributes:
        name: Its name.
        encoders: The encoder of each source; None where the stored record is to be used.
        vectors: The vector's name by source, where a foreign collection has several.
        payload: Where text and metadata lie; None to detect.
        tenant: The payload key that keeps tenants apart in a foreign collection.
        allow_unindexed: Whether fields without a payload index may be filtered by.
    """

    name: str
    encoders: Mapping[str, Encoder | None]
    vectors: Mapping[str, str] = field(default_factory=dict)
    payload: PayloadMap | None = None
    tenant: str | None = None
    allow_unindexed: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """Everything about an opened collection but the clients."""

    profile: Profile
    sources: Mapping[str, Source]
    payload: PayloadMap
    tenant: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    allow_unindexed: bool = False


class _Dimensions(Effect[int]):
    """How long an encoder's vectors are; loads the model."""

    def __init__(self, encoder: Any) -> None:
        self.name = f"load {encoder.kind} encoder"
        self._encoder = encoder

    def call(self, timeout: float | None) -> int:
        return int(self._encoder.dimensions)


def create(clients: Clients, plan: Plan) -> Flow[Opened]:
    """Make a collection, its payload indexes and its record.

    Raises:
        CollectionExists: There is one of that name.
        ConfigurationError: There is no encoder, or an option says again what the plan says.
        UnknownArgument: An option that Qdrant does not know.
    """
    if not isinstance(plan.name, str) or not plan.name.strip():
        msg = f"a collection's name must be a str with at least one character, got {plan.name!r}"
        raise ConfigurationError(msg)
    if not isinstance(plan.fields, Mapping):
        msg = f"fields must map each field to its type, such as {{'lang': 'keyword'}}; got {plan.fields!r}"
        raise ConfigurationError(msg)
    if not plan.encoders:
        msg = f"collection {plan.name!r} needs at least one encoder: dense=..., sparse=..., late=... or sources={{...}}"
        raise ConfigurationError(msg)
    check_encoders(plan.encoders)
    _check_tenant_field(plan.tenant, plan.payload)
    _check_options(plan)
    if (yield _call(clients, "collection_exists", plan.name)):
        msg = f"collection {plan.name!r} exists already; open it with Collection.open, or drop it first"
        raise CollectionExists(msg)
    sources = sharing({name: Source(name, name, encoder) for name, encoder in plan.encoders.items()})
    indexes = _indexes(plan)
    types = {key: getattr(schema, "type", schema).value for key, schema in indexes.items()}
    record = Record(record_of(sources), plan.payload.record(), plan.tenant, types)
    dense, sparse = yield from _vectors(plan)
    yield _call(
        clients,
        "create_collection",
        plan.name,
        vectors_config=dense,
        sparse_vectors_config=sparse,
        metadata={RECORD_KEY: record.metadata()},
        **plan.options,
    )
    try:
        for key, schema in indexes.items():
            yield _call(
                clients, "create_payload_index", plan.name, field_name=key, field_schema=schema, wait=True
            )
    except Exception:
        # Half a collection would be in the way of the next try, and its record would promise indexes it lacks.
        yield _call(clients, "delete_collection", plan.name)
        raise
    profile = yield from read_profile(clients, plan.name)
    return Opened(profile, sources, plan.payload, plan.tenant, types)


def open_existing(clients: Clients, wanted: Wanted) -> Flow[Opened]:
    """Read a collection once, and fit encoders, payload layout and tenant field to it.

    Raises:
        CollectionNotFound: There is none of that name.
        EncoderMismatch: An encoder is not the one that made the collection.
        UnknownVector: A vector name that the collection does not have.
        PayloadUnmapped: The payloads are in no known layout and none was given.
    """
    check_encoders(wanted.encoders)
    profile = yield from read_profile(clients, wanted.name)
    record = Record.read(profile)
    if record is None:
        sources = foreign_sources(profile, wanted.encoders, wanted.vectors)
        layout = wanted.payload or (yield from _detect(clients, wanted.name))
        _check_tenant_field(wanted.tenant, layout)
        return Opened(profile, sources, layout, wanted.tenant, {}, wanted.allow_unindexed)
    if wanted.vectors or wanted.tenant not in {None, record.tenant}:
        msg = (
            f"collection {wanted.name!r} records its vectors and its tenant field ({record.tenant!r}) itself; "
            "leave vectors= and tenant= out"
        )
        raise ConfigurationError(msg)
    sources = recorded_sources(profile, record, wanted.encoders)
    layout = wanted.payload or PayloadMap.from_record(record.payload)
    return Opened(profile, sources, layout, record.tenant, record.fields, wanted.allow_unindexed)


def read_profile(clients: Clients, name: str) -> Flow[Profile]:
    """What Qdrant says of a collection.

    Raises:
        CollectionNotFound: There is none of that name; the message lists those that exist.
    """
    try:
        info = yield _call(clients, "get_collection", name)
    except Exception as error:
        # The server answers 404, local mode raises a ValueError, Edge our own error.
        if not isinstance(error, ValueError) and status_of(error) != _NOT_FOUND:
            raise
        listing = yield QdrantCall(clients, "get_collections", repeatable=True)
        names = sorted(each.name for each in listing.collections)
        if name in names:
            raise
        msg = (
            f"there is no collection {name!r}; there are: {', '.join(map(repr, names)) if names else 'none'}"
        )
        raise CollectionNotFound(msg) from error
    return Profile.read(name, info)


def check_encoders(encoders: Mapping[str, Any]) -> None:
    """Refuse what is no encoder, or makes another kind of vector than its place is for.

    Raises:
        ConfigurationError: One of them is.
    """
    for name, encoder in encoders.items():
        if encoder is None:
            continue
        if not isinstance(encoder, Encoder):
            msg = f"{name} must be an Encoder such as DenseEncoder(...) or Bm25Encoder(), got {encoder!r}"
            raise ConfigurationError(msg)
        kind = _KINDS.get(name, encoder.kind)
        if encoder.kind != kind:
            msg = (
                f"{name} must be an encoder of {kind} vectors, got one of {encoder.kind} vectors: {encoder!r}"
            )
            raise ConfigurationError(msg)


def _check_options(plan: Plan) -> None:
    options = plan.options
    known = set(inspect.signature(QdrantClient.create_collection).parameters) - {"self", "kwargs"} - _RESERVED
    reserved = sorted(_RESERVED & set(options))
    if reserved:
        msg = f"options may not set {reserved}: they follow from name and encoders"
        raise ConfigurationError(msg)
    unknown = sorted(set(options) - known)
    if unknown:
        msg = f"options takes what QdrantClient.create_collection takes, {sorted(known)}; got {unknown}"
        raise UnknownArgument(msg)
    if plan.compression is not None and options.get("quantization_config") is not None:
        msg = (
            "quantization and options['quantization_config'] both say how vectors are compressed, "
            f"{plan.compression!r} and {options['quantization_config']!r}; give one of them"
        )
        raise ConfigurationError(msg)


def _check_tenant_field(tenant: str | None, layout: PayloadMap) -> None:
    if tenant is None:
        return
    own = [path for path in (layout.text, layout.title, layout.source, layout.id) if path is not None]
    first = tenant.split(".")[0] if isinstance(tenant, str) else ""
    if not first or first in {BOOKKEEPING, *own} or tenant in {layout.metadata, *own}:
        msg = (
            f"tenant must be a payload key of its own, such as 'tenant' or 'metadata.tenant', got {tenant!r}; "
            f"the passage itself takes {[*own, layout.metadata, BOOKKEEPING]}"
        )
        raise ConfigurationError(msg)


def _call(clients: Clients, method: str, name: str, **arguments: Any) -> QdrantCall[Any]:
    repeatable = method != "create_collection"
    return QdrantCall(clients, method, repeatable=repeatable, collection_name=name, **arguments)


def _vectors(plan: Plan) -> Flow[tuple[dict[str, Any], dict[str, Any]]]:
    dense = {}
    sparse = {}
    for name, encoder in plan.encoders.items():
        if encoder.kind == "sparse":
            modifier = models.Modifier.IDF if encoder.idf else None
            sparse[name] = models.SparseVectorParams(modifier=modifier)
        else:
            size = yield _Dimensions(encoder)
            dense[name] = _vector_params(encoder, size, plan)
    return dense, sparse


def _vector_params(encoder: Encoder, size: int, plan: Plan) -> models.VectorParams:
    """How Qdrant is to keep an encoder's dense vectors."""
    compression = plan.compression if encoder.graph else None
    if encoder.storage == "binary":
        compression = quantization("binary")
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return models.VectorParams(
        size=size,
        distance=plan.distance if encoder.distance is None else models.Distance(encoder.distance),
        datatype=models.Datatype.FLOAT16 if encoder.storage == "float16" else None,
        multivector_config=multi if encoder.kind == "multi" else None,
        # Building a graph over vectors that only rank what others found would be time and memory for nothing.
        hnsw_config=None if encoder.graph else models.HnswConfigDiff(m=0),
        quantization_config=compression,
        # The small copies are in memory; the whole vectors are read for the few candidates that are rescored.
        on_disk=None if compression is None else True,
    )


def _indexes(plan: Plan) -> dict[str, Any]:
    """The payload indexes of a new collection, by payload key."""
    indexes: dict[str, Any] = {
        plan.payload.key(field): index_schema(field, kind) for field, kind in plan.fields.items()
    }
    if plan.payload.source is not None:
        indexes[plan.payload.source] = models.PayloadSchemaType.KEYWORD
    indexes[REVISION_KEY] = models.PayloadSchemaType.KEYWORD
    if plan.tenant is not None and plan.tenant in indexes:
        msg = f"field {plan.tenant!r} keeps tenants apart and is indexed as that; leave it out of fields"
        raise ConfigurationError(msg)
    if plan.tenant is not None:
        # Qdrant keeps a tenant's points together on disk where it knows the field.
        indexes[plan.tenant] = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    return indexes


def index_schema(field: str, kind: str | models.PayloadSchemaType) -> Any:
    """The schema of a payload index, by the name of its type.

    Raises:
        ConfigurationError: There is no such type.
    """
    try:
        schema = models.PayloadSchemaType(kind)
    except ValueError as error:
        known = ", ".join(each.value for each in models.PayloadSchemaType)
        msg = f"field {field!r} must be one of the types {known}; got {kind!r}"
        raise ConfigurationError(msg) from error
    if schema is models.PayloadSchemaType.TEXT:
        # Without it a filter by phrase finds nothing.
        return models.TextIndexParams(type=models.TextIndexType.TEXT, phrase_matching=True)
    return schema


def _detect(clients: Clients, name: str) -> Flow[PayloadMap]:
    points, _ = yield _call(clients, "scroll", name, limit=_SAMPLES, with_payload=True, with_vectors=False)
    if not points:
        return PayloadMap.hydrant()
    return PayloadMap.detect((point.payload or {} for point in points), f"collection {name!r}")
