"""Several vectors of one document, each for another part or side of it, compared by the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from hydrant.encode.base import Encoder
from hydrant.encode.clusters import kmeans
from hydrant.encode.dense import DenseEncoder
from hydrant.encode.sentences import grouped, sentences
from hydrant.encode.texts import checked_texts
from hydrant.encode.wrapped import WrappingEncoder, checked_encoder, checked_rows_of, checked_tokens
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

    from hydrant.encode.layers import Layers

Views: TypeAlias = Literal["sentences", "centroids", "layers"]

# How many vectors a document has at most where nobody says.
_COUNTS = {"sentences": 16, "centroids": 4}
_LAYERS: Layers = ((-1, -4),)
# So many sentences, or groups of neighbours in a longer text, are read for centroids.
_READ = 64
_SEED = 42


class ViewEncoder(WrappingEncoder):
    """Several vectors a document, one a query: a document is as near as the nearest of its vectors.

    They are rows of one point, compared by MaxSim, so a document is found once. What one vector for a long text blurs, a
    question about a detail of it finds.

    Args:
        base: The encoder of kind "dense" that makes the vectors. For centroids it may be of kind "multi": then a
            document's are those of its token vectors, and a query's vector is the mean of its own.
        views: What the vectors of a document stand for:

            "sentences": the whole text, and each of its sentences. Of a text with more than `count` allows, neighbours
            are read together.

            "centroids": the means of clusters of its sentences' vectors (k-means). Tang et al., "Improving Document
            Representations by Generating Pseudo Query Embeddings for Dense Retrieval", ACL 2021.

            "layers": the usual vector, and for each set of layers their mean, pooled as the model pools its last. Needs a
            `DenseEncoder` over sentence-transformers.
        count: How many vectors a document has at most; None takes 16 of sentences and 4 centroids.
        layers: Sets of layers, for "layers" only: 0 is the embeddings, -1 the last layer. None takes one set, of the last
            and the fourth last.

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    kind = "multi"
    inner_name = "base"

    def __init__(
        self,
        base: Encoder,
        views: Views = "sentences",
        *,
        count: int | None = None,
        layers: Sequence[Sequence[int]] | None = None,
    ) -> None:
        if views not in get_args(Views):
            msg = f"views must be one of {', '.join(map(repr, get_args(Views)))}; got {views!r}"
            raise ConfigurationError(msg)
        super().__init__(
            checked_encoder(base, ["dense", "multi"] if views == "centroids" else ["dense"], "base")
        )
        if views == "layers" and not isinstance(base, DenseEncoder):
            msg = f"base must be a DenseEncoder for views='layers'; got {type(base).__name__}"
            raise ConfigurationError(msg)
        self.distance = base.distance
        self._views: Views = views
        self._count = _checked_count(views, count)
        self._layers = _checked_layers(views, layers)

    @property
    def base(self) -> Encoder:
        """The encoder that makes the vectors."""
        return self._inner

    @property
    def dimensions(self) -> int:
        """The length of each vector."""
        return self._inner.dimensions

    def encode_query(self, texts: Sequence[str]) -> list[list[list[float]]]:
        """One vector for each text, as a list with that one list of floats."""
        encoded: Any = self._inner.encode_query(texts)
        if self._inner.kind == "dense":
            return [[list(row)] for row in encoded]
        tokens = checked_tokens(encoded, len(texts), type(self._inner).__name__)
        return [[own.mean(axis=0).tolist()] for own in tokens]

    def encode_document(self, texts: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """For each text a float32 array, [1 to count, dimensions]."""
        checked = checked_texts(texts)
        if self._views == "layers":
            return self._of_layers(checked)
        if self._inner.kind == "multi":
            encoded = self._inner.encode_document(checked)
            vectors = checked_tokens(encoded, len(checked), type(self._inner).__name__)
        else:
            vectors = self._of_parts([self._parts(text) for text in checked])
        if self._views == "sentences":
            return vectors
        return [kmeans(own, self._count, _SEED)[0] if len(own) else own for own in vectors]

    def count_truncated(self, texts: Sequence[str]) -> int:
        """How many of the texts have a part that is longer than the model reads.

        A text that is too long as a whole is none of them where its sentences are read too: nothing of it is lost.
        """
        if self._views == "layers" or self._inner.kind == "multi":
            return self._inner.count_truncated(texts)
        parts = [self._smallest_parts(text) for text in checked_texts(texts)]
        if not self._inner.count_truncated([part for own in parts for part in own]):
            return 0
        return sum(self._inner.count_truncated(own) > 0 for own in parts)

    def settings(self) -> dict[str, Any]:
        """What the vectors stand for, and how many there are at most."""
        record: dict[str, Any] = {"encoder": "views", "views": self._views}
        if self._views == "layers":
            return {**record, "layers": [list(own) for own in self._layers]}
        return {**record, "count": self._count}

    def around(self, inner: Encoder) -> ViewEncoder:
        """An encoder of the same views over another base."""
        if self._views == "layers":
            return ViewEncoder(inner, "layers", layers=self._layers)
        return ViewEncoder(inner, self._views, count=self._count)

    def _smallest_parts(self, text: str) -> list[str]:
        """The sentences of a text, or groups of them, as few as may be read; the text itself where it has none."""
        most = _READ if self._views == "centroids" else self._count - 1
        parts = grouped(sentences(text), most) if most else []
        return parts if len(parts) > 1 else [text]

    def _parts(self, text: str) -> list[str]:
        parts = self._smallest_parts(text)
        return [text, *parts] if self._views == "sentences" and len(parts) > 1 else parts

    def _of_parts(self, parts: Sequence[Sequence[str]]) -> list[npt.NDArray[np.float32]]:
        if not parts:
            return []
        # All parts of all texts in one go, so that batches are full and of like length.
        flat = [part for own in parts for part in own]
        rows = checked_rows_of(self._inner.encode_document(flat), len(flat), type(self._inner).__name__)
        return np.split(rows, np.cumsum([len(own) for own in parts])[:-1])

    def _of_layers(self, texts: list[str]) -> list[npt.NDArray[np.float32]]:
        from hydrant.encode.layers import layer_vectors

        base: Any = self._inner  # a DenseEncoder, as the constructor has seen to
        return list(layer_vectors(base, texts, self._layers))


def _checked_count(views: Views, count: int | None) -> int:
    if count is None:
        return _COUNTS.get(views, 1)
    if views == "layers":
        msg = f"count does not go with views='layers', which has one vector for each set of layers; got {count!r}"
        raise ConfigurationError(msg)
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        msg = f"count must be a whole number of at least 1; got {count!r}"
        raise ConfigurationError(msg)
    return count


def _checked_layers(views: Views, layers: Sequence[Sequence[int]] | None) -> Layers:
    if layers is None:
        return _LAYERS
    if views != "layers":
        msg = f"layers goes with views='layers' only; got {layers!r} for {views!r}"
        raise ConfigurationError(msg)
    try:
        sets = tuple(tuple(own) for own in layers)
    except TypeError:
        sets = ()
    whole = all(isinstance(layer, int) and not isinstance(layer, bool) for own in sets for layer in own)
    if not sets or not all(sets) or not whole:
        msg = f"layers must be sets of whole numbers such as [(-1, -4)]; got {layers!r}"
        raise ConfigurationError(msg)
    return sets
