"""A collection's vectors as the checks need them: names, sizes, kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydrant.edge.convert.config import dense_params
from hydrant.errors import UnknownVector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qdrant_client import models


@dataclass(frozen=True)
class DenseField:
    """A dense vector: its length, and whether a point holds several (a multivector)."""

    size: int
    multi: bool


@dataclass(frozen=True)
class Schema:
    """The vectors a collection has.

    Attributes:
        collection: The collection's name, for messages.
        dense: Dense vectors and multivectors by name; ``""`` is the unnamed one.
        sparse: Names of the sparse vectors.
    """

    collection: str
    dense: Mapping[str, DenseField]
    sparse: frozenset[str]

    @classmethod
    def of(cls, collection: str, config: models.CreateCollection) -> Schema:
        """The schema that a collection's settings describe."""
        dense = {
            name: DenseField(params.size, params.multivector_config is not None)
            for name, params in dense_params(config).items()
        }
        return cls(collection, dense, frozenset(config.sparse_vectors or {}))

    def require(self, name: str) -> None:
        """Refuse a vector name that the collection lacks.

        Raises:
            UnknownVector: The message lists the names that exist.
        """
        if name not in self.dense and name not in self.sparse:
            raise self.unknown(name)

    def unknown(self, name: str) -> UnknownVector:
        """The error for a vector name that the collection lacks."""
        got = repr(name) if name else "the unnamed vector"
        return UnknownVector(
            f"collection {self.collection!r} has dense vectors {sorted(self.dense)} "
            f"and sparse vectors {sorted(self.sparse)}; got {got}"
        )
