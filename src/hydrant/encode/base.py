"""What an encoder is, and the effect with which a flow asks for vectors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from hydrant.encode.microbatch import dispatcher_of
from hydrant.errors import ConfigurationError, EncoderMismatch
from hydrant.flow import Effect

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt
    from qdrant_client import models

Role: TypeAlias = Literal["query", "document"]
Kind: TypeAlias = Literal["dense", "sparse", "multi"]
Storage: TypeAlias = Literal["float32", "float16", "binary"]
Encoded: TypeAlias = (
    "list[list[float]] | list[models.SparseVector] | npt.NDArray[np.float32] | list[list[list[float]]] "
    "| list[npt.NDArray[np.float32]]"
)

# How many texts at a time an encoder hands on that has no batches of its own.
_SLICE = 256


class Encoder(ABC):
    """Turns queries and documents into the vectors of one source of a collection.

    Subclasses give `encode_query`, `encode_document` and `record`. Two encoders with equal records are equal: they make
    interchangeable vectors. Making one costs nothing: a model is loaded at its first use, or by `warm_up`.

    Attributes:
        kind: "dense" for one list of floats a text, "sparse" for indices with weights, "multi" for several lists of
            floats a text, compared by MaxSim: for every vector of the query the best of the document's, summed.
        idf: Whether Qdrant has to multiply the inverse document frequency into a sparse vector's scores.
        distance: How Qdrant must compare the vectors, as it names distances ("Dot"); None where the collection may choose.
        graph: Whether the vectors are searched through an index. Without one they can only rank what others found.
        storage: How Qdrant is to keep the vectors: "binary" keeps float32 on disk and one bit a dimension in memory.
    """

    kind: Kind = "dense"
    idf: bool = False
    distance: str | None = None
    graph: bool = True
    storage: Storage = "float32"

    @property
    def batch_size(self) -> int:
        """How many texts are best encoded at a time."""
        return _SLICE

    @property
    def dimensions(self) -> int:
        """The length of a vector, by default that of a first short text.

        Raises:
            ConfigurationError: The vectors are sparse.
        """
        if self.kind == "sparse":
            msg = f"dimensions is of dense vectors only; {type(self).__name__} makes {self.kind} ones"
            raise ConfigurationError(msg)
        first: Any = self.encode_document(["Hydrant"])[0]
        return len(first if self.kind == "dense" else first[0])

    @abstractmethod
    def encode_query(self, texts: Sequence[str]) -> Encoded:
        """One vector for each text, as a thing to search with: lists of floats, sparse vectors, or lists of lists of floats.

        Raises:
            InputError: One of the texts is not a string.
            EncodingError: The model returned something that is not a usable vector.
        """

    @abstractmethod
    def encode_document(self, texts: Sequence[str]) -> Encoded:
        """One vector for each text, as a thing to be found: rows of a float32 array, sparse vectors, or an array of rows each.

        Raises:
            InputError: One of the texts is not a string.
            EncodingError: The model returned something that is not a usable vector.
        """

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """Everything that decides the vectors, as JSON: stored in the collection that is made with them."""

    def adopt(self, record: Mapping[str, Any]) -> Encoder:
        """This encoder, completed with what a collection has stored about the one that made it.

        Args:
            record: What `record()` of the encoder said that the collection was made with.

        Raises:
            EncoderMismatch: They would not make the same vectors. The message says both.
        """
        own = self.record()
        if own != dict(record):
            raise mismatch(record, own)
        return self

    def count_truncated(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than the model reads; 0 for an encoder without a window."""
        return 0

    def terms(self, texts: Sequence[str], indices: Sequence[int]) -> dict[int, str]:
        """What the indices of a sparse vector stand for, as far as it is known.

        Args:
            texts: Texts in which the terms may occur, for encoders whose indices are hashes.
            indices: The indices in question.
        """
        return {}

    def warm_up(self) -> None:
        """Load the model now instead of at the first use."""

    def close(self) -> None:
        """Let go of the model. The next use loads it again; a model that was handed in is left alone."""

    def __enter__(self) -> Self:
        self.warm_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Encoder):
            return NotImplemented
        return self is other or self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({json.dumps(self.record(), ensure_ascii=False)})"

    def _identity(self) -> str:
        """What equality and the hash go by; an encoder that must load a model for its record has something cheaper."""
        return json.dumps(self.record(), sort_keys=True)


class Encode(Effect[Any]):
    """Ask an encoder for vectors; the reply is what its method for that role returns.

    Args:
        encoder: The encoder.
        texts: The texts.
        role: "query" for things to search with, "document" for things to be found (a hypothesis of HyDE is one).
    """

    def __init__(self, encoder: Encoder, texts: Sequence[str], role: Role = "query") -> None:
        if role not in {"query", "document"}:
            msg = f"role must be 'query' or 'document'; got {role!r}"
            raise ConfigurationError(msg)
        self.encoder = encoder
        self.texts = texts
        self.role = role
        self.name = f"encode {encoder.kind}"

    def call(self, timeout: float | None) -> Any:
        """The vectors. A model that runs cannot be stopped, so the time left is the driver's to watch."""
        if self.role == "query":
            return self.encoder.encode_query(self.texts)
        return self.encoder.encode_document(self.texts)

    async def acall(self, timeout: float | None) -> Any:
        """The vectors, without blocking the event loop; queries that are asked for at the same time are encoded together."""
        if self.role != "query":
            return await super().acall(timeout)
        return await dispatcher_of(self.encoder).results(self.texts)

    def __repr__(self) -> str:
        return f"Encode({self.encoder!r}, {len(self.texts)} texts, role={self.role!r})"


def mismatch(stored: Mapping[str, Any], given: Mapping[str, Any]) -> EncoderMismatch:
    """The error for a collection that was made with another encoder; names what differs and says both."""
    keys = [*stored, *(key for key in given if key not in stored)]
    differing = [key for key in keys if stored.get(key) != given.get(key)]
    return EncoderMismatch(
        f"the collection was made with {_line(stored)}; the encoder given is {_line(given)}; they differ in "
        f"{', '.join(differing)}. Open the collection with the encoder that made it (or without one, which rebuilds "
        "it from the record), or index the documents again into a new collection"
    )


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record), ensure_ascii=False, default=repr)
