"""How near sentences are to a query, by whatever vectors an encoder makes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from hydrant.encode.base import Encoder
from hydrant.errors import ConfigurationError, EncodingError

if TYPE_CHECKING:
    import numpy.typing as npt


@runtime_checkable
class HasSources(Protocol):
    """What knows encoders by the names of its sources, as a `Collection` does."""

    @property
    def sources(self) -> Mapping[str, Any]:
        """By name, objects with an `encoder`."""


EncoderLike: TypeAlias = Encoder | HasSources

# Which of a collection's encoders compares sentences: vectors of meaning first.
_KINDS = ("dense", "multi", "sparse")


def encoder_of(given: object) -> Encoder:
    """The encoder that compares sentences.

    Args:
        given: An encoder, or a collection: then its source "dense", else the first of kind dense, multi or sparse.

    Raises:
        ConfigurationError: It is neither, or a collection without an encoder.
    """
    if isinstance(given, Encoder):
        return given
    sources = given.sources if isinstance(given, HasSources) else None
    if not isinstance(sources, Mapping):
        msg = f"encoder must be an Encoder or a Collection, got {given!r} that is a {type(given).__name__}"
        raise ConfigurationError(msg)
    encoders = {name: source.encoder for name, source in sources.items()}
    ranked = sorted(encoders, key=lambda name: (name != "dense", _KINDS.index(encoders[name].kind)))
    if not ranked:
        msg = f"encoder must have a source to compare sentences by; {given!r} has none"
        raise ConfigurationError(msg)
    found: Encoder = encoders[ranked[0]]
    return found


def similarities(encoder: Encoder, query: Any, documents: Any) -> list[float]:
    """How near each document is to the query.

    Dense vectors are compared by their cosine; token vectors by the mean over the query's tokens of the best cosine among
    the document's (MaxSim); sparse vectors by their product, with inverse document frequencies among these documents where
    the encoder leaves them to Qdrant.

    Args:
        encoder: What made the vectors.
        query: The query's vector as the encoder gave it, not in a list.
        documents: The documents' vectors.

    Raises:
        EncodingError: A vector holds NaN or infinity.
    """
    if encoder.kind == "sparse":
        scores = _sparse(query, documents, idf=encoder.idf)
    elif encoder.kind == "multi":
        asked = _unit(query)
        scores = [float((asked @ _unit(own).T).max(axis=1).mean()) if len(own) else 0.0 for own in documents]
    else:
        scores = (_unit(documents) @ _unit([query])[0]).tolist()
    bad = next((score for score in scores if not math.isfinite(score)), None)
    if bad is not None:
        msg = f"{type(encoder).__name__} must make finite vectors to compare sentences by; a similarity is {bad!r}"
        raise EncodingError(msg)
    return scores


def _unit(rows: Any) -> npt.NDArray[np.float32]:
    vectors = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return np.asarray(vectors / lengths, dtype=np.float32)


def _sparse(query: Any, documents: Sequence[Any], *, idf: bool) -> list[float]:
    weights = dict(zip(query.indices, query.values, strict=True))
    if idf:
        having = Counter(index for own in documents for index in own.indices if index in weights)
        weights = {
            index: weight * math.log(1 + (len(documents) - having[index] + 0.5) / (having[index] + 0.5))
            for index, weight in weights.items()
        }
    return [
        sum(weights.get(index, 0.0) * value for index, value in zip(own.indices, own.values, strict=True))
        for own in documents
    ]
