"""What a collection is, read from Qdrant once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qdrant_client import models

from hydrant.collection.compression import compression_of
from hydrant.errors import UnknownVector

RECORD_KEY = "hydrant"


@dataclass(frozen=True, slots=True)
class DenseVector:
    """A dense vector of a collection.

    Attributes:
        size: Its number of dimensions.
        distance: How it is compared.
        multi: Whether a point has several of them, compared by MaxSim.
        compression: "scalar", "binary", "product", "turbo" or "turbo, 1 bit" and so on; None where only whole vectors are
            kept.
    """

    size: int
    distance: models.Distance
    multi: bool = False
    compression: str | None = None

    @property
    def more_is_better(self) -> bool:
        """Whether a higher score means nearer."""
        return self.distance in {models.Distance.COSINE, models.Distance.DOT}


@dataclass(frozen=True, slots=True)
class SparseVector:
    """A sparse vector of a collection, and whether Qdrant multiplies IDF in."""

    idf: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """A collection as Qdrant describes it.

    Attributes:
        name: The collection's name.
        dense: Its dense vectors by name; "" is the unnamed one.
        sparse: Its sparse vectors by name.
        indexes: Its payload indexes: the key and the type.
        record: What Hydrant stored when it made the collection; empty where somebody else did.
        points: About how many points it has.
    """

    name: str
    dense: Mapping[str, DenseVector]
    sparse: Mapping[str, SparseVector]
    indexes: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    points: int = 0

    @classmethod
    def read(cls, name: str, info: models.CollectionInfo) -> Profile:
        """Read a collection's description."""
        params = info.config.params
        vectors = params.vectors
        named = {"": vectors} if isinstance(vectors, models.VectorParams) else (vectors or {})
        metadata = getattr(info.config, "metadata", None) or {}
        whole = compression_of(info.config.quantization_config)
        return cls(
            name=name,
            dense={
                key: DenseVector(
                    value.size,
                    value.distance,
                    value.multivector_config is not None,
                    compression_of(value.quantization_config) or whole,
                )
                for key, value in named.items()
            },
            sparse={
                key: SparseVector(value.modifier == models.Modifier.IDF)
                for key, value in (params.sparse_vectors or {}).items()
            },
            indexes={key: value.data_type.value for key, value in (info.payload_schema or {}).items()},
            record=metadata.get(RECORD_KEY) or {},
            points=info.points_count or 0,
        )

    def vectors(self) -> str:
        """The vectors in words, for messages."""
        return f"dense vectors {sorted(self.dense)} and sparse vectors {sorted(self.sparse)}"

    def find(self, kind: str, name: str | None) -> str:
        """The name of the vector that is meant.

        Args:
            kind: "dense", "sparse", or "multi" for several vectors a point.
            name: The name, or None where the collection has only one of the kind.

        Raises:
            UnknownVector: There is none of that name, or not exactly one to choose from.
        """
        have = (
            set(self.sparse)
            if kind == "sparse"
            else {key for key, value in self.dense.items() if value.multi == (kind == "multi")}
        )
        if name is None and len(have) == 1:
            return have.pop()
        if name is not None and name in have:
            return name
        wanted = f"exactly one {kind} vector was expected" if name is None else f"got {name!r}"
        hint = f"; say which with vectors={{{kind!r}: ...}}" if name is None and have else ""
        msg = f"collection {self.name!r} has {self.vectors()}; {wanted}{hint}"
        raise UnknownVector(msg)
