"""Vectors whose dot product is about the score of a cross-encoder (CUR decomposition)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np

from hydrant.encode.base import Encoder, mismatch
from hydrant.encode.lazy import Lazy
from hydrant.encode.onnx_export import Precision
from hydrant.encode.options import BackendName, ModelOptions
from hydrant.encode.pair_settings import Scoring
from hydrant.encode.pairs import PairScorer
from hydrant.encode.texts import checked_texts
from hydrant.errors import ConfigurationError, EncodingError

if TYPE_CHECKING:
    import numpy.typing as npt

    from hydrant.encode.pair_backends import Pair

# A direction of the anchors' scores that is weaker than this share of the strongest is noise: its inverse would blow it up.
_WEAKEST = 1e-3
# How many documents at a time: each goes through the model once for every anchor query.
_BATCH = 16
_FEWEST = 2


class CurEncoder(Encoder):
    """Dense vectors that approximate a cross-encoder: their dot product is about what it would say of query and document.

    ANNCUR (Yadav, Monath, Angell, Zaheer and McCallum, "Efficient Nearest Neighbor Search for Cross-Encoder Models using
    Matrix Factorization", EMNLP 2022). A document's vector holds its scores with the anchor queries; a query's is made of its
    scores with the anchor documents, times the pseudo-inverse of the anchors' scores with each other. So indexing a document
    costs as many scores as there are anchor queries, a query as many as there are anchor documents, and the rest is a dot
    product: Qdrant can search by it (`Collection.create(..., sources={"cur": CurEncoder(...)})`) or rank thousands of
    candidates (`CurReranker`).

    The anchors and their scores with each other are part of the record, which is stored with the collection.

    Args:
        model: What scores, as for `CrossEncoderReranker`.
        queries: Questions like those that will be asked, 100 to 500 of them; also the number of dimensions. More follow the
            model more closely.
        items: Documents of the collection, drawn at random; about as many as queries.
        label: Which of several labels is the score.
        backend: What runs a model given by name: "torch" or "onnx".
        precision: What its numbers are rounded to: "fp32", or with ONNX "int8".
        max_length: How many tokens of query and document together are read.
        batch_size: How many pairs go through the model at a time.
        **options: How the model is loaded, as `ModelOptions`.

    Raises:
        ConfigurationError: There are fewer than 2 anchors of a kind, or another setting cannot work.
        UnknownArgument: An option that sentence-transformers does not have.
    """

    kind = "dense"
    distance = "Dot"

    def __init__(
        self,
        model: Any,
        *,
        queries: Sequence[str],
        items: Sequence[str],
        label: str | int | None = None,
        backend: BackendName = "torch",
        precision: Precision = "fp32",
        max_length: int | None = None,
        batch_size: int | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        self._queries = _anchors("queries", queries)
        self._items = _anchors("items", items)
        scoring = Scoring(
            backend,
            precision,
            "logit",
            label,
            max_length,
            windows=1,
            batch_size=batch_size,
            options=dict(options),
        )
        self._model = model
        self._scoring = scoring
        self._scorer = PairScorer(model, scoring, type(self).__name__)
        self._block: Lazy[npt.NDArray[np.float32]] = Lazy(self._anchor_scores)

    @property
    def scorer(self) -> PairScorer:
        """What scores."""
        return self._scorer

    @property
    def batch_size(self) -> int:
        """How many documents are best encoded at a time."""
        return _BATCH

    @property
    def dimensions(self) -> int:
        """The number of anchor queries."""
        return len(self._queries)

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """For each text its scores with the anchor documents, times the pseudo-inverse of the anchors' own."""
        asked = checked_texts(texts)
        if not asked:
            return []
        # [queries, items] has the pseudo-inverse [items, queries].
        inverse = np.linalg.pinv(self._block.get().astype(np.float64), rcond=_WEAKEST)
        vectors: list[list[float]] = (self._scores(asked, self._items) @ inverse).tolist()
        return vectors

    def encode_document(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """For each text its scores with the anchor queries, [texts, anchor queries]."""
        documents = checked_texts(texts)
        if not documents:
            return np.empty((0, self.dimensions), dtype=np.float32)
        return self._scores(self._queries, documents).T.astype(np.float32)

    def record(self) -> dict[str, Any]:
        """The model, the anchors, and the anchors' scores with each other; computes them if that has not been done."""
        block = base64.b64encode(self._block.get().astype("<f4").tobytes()).decode("ascii")
        return {**self._settings(), "block": block}

    def adopt(self, record: Mapping[str, Any]) -> Self:
        """This encoder with the anchors' scores that a collection has stored, so that they need not be computed again.

        Raises:
            EncoderMismatch: The model or the anchors are others. The message says both.
        """
        stored = {key: value for key, value in record.items() if key != "block"}
        settings = self._settings()
        if stored != settings:
            raise mismatch(_short(stored), _short(settings))
        adopted = type(self).__new__(type(self))
        adopted.__dict__.update(self.__dict__)
        block = _block(record, (len(self._queries), len(self._items)))
        adopted.__dict__["_block"] = Lazy(lambda: block)
        return adopted

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The encoder that a collection was made with; no model is loaded yet."""
        revision: dict[str, Any] = {} if record.get("revision") is None else {"revision": record["revision"]}
        precision = record.get("precision", "fp32")
        encoder = cls(
            record["model"],
            queries=record["queries"],
            items=record["items"],
            label=record["label"],
            max_length=record["max_length"],
            backend="torch" if precision == "fp32" else "onnx",
            precision=precision,
            **revision,
        )
        return encoder.adopt(record)

    def warm_up(self) -> None:
        """Load the model, and compute the anchors' scores with each other where they are not known."""
        self._scorer.warm_up()
        self._block.get()

    def close(self) -> None:
        """Let go of the model."""
        self._scorer.close()

    def _settings(self) -> dict[str, Any]:
        return {
            "encoder": "cur",
            **self._scorer.record(),
            "queries": list(self._queries),
            "items": list(self._items),
        }

    def _identity(self) -> str:
        return json.dumps(self._settings(), sort_keys=True)

    def _anchor_scores(self) -> npt.NDArray[np.float32]:
        return self._scores(self._queries, self._items).astype(np.float32)

    def _scores(self, queries: Sequence[str], documents: Sequence[str]) -> npt.NDArray[np.float64]:
        """[queries, documents]: what the model says of each with each."""
        pairs: list[Pair] = []
        for query in queries:
            read = self._scorer.pieces(query, documents)
            pairs += [(read.query, pieces[0]) for pieces in read.documents]
        return np.array(self._scorer.score(pairs)).reshape(len(queries), len(documents))

    def __repr__(self) -> str:
        return f"CurEncoder({self._scorer!r}, {len(self._queries)} queries, {len(self._items)} items)"


def _anchors(name: str, texts: Sequence[str]) -> tuple[str, ...]:
    if (
        isinstance(texts, str)
        or not isinstance(texts, Sequence)
        or not all(isinstance(each, str) for each in texts)
    ):
        msg = f"{name} must be a list of texts, got {type(texts).__name__}"
        raise ConfigurationError(msg)
    anchors = tuple(dict.fromkeys(texts))
    if len(anchors) < _FEWEST or not all(each.strip() for each in anchors):
        msg = f"{name} must be at least {_FEWEST} different texts, none of them blank; got {len(anchors)}"
        raise ConfigurationError(msg)
    return anchors


def _block(record: Mapping[str, Any], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    numbers = np.frombuffer(base64.b64decode(record["block"]), dtype="<f4")
    if numbers.size != shape[0] * shape[1] or not np.isfinite(numbers).all():
        msg = f"the record of an encoder is damaged: the anchors' scores must be {shape[0]} x {shape[1]} finite numbers"
        raise EncodingError(msg)
    return numbers.reshape(shape).astype(np.float32)


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without its hundreds of anchors, for a message: their number and the start of the first one."""
    return {
        key: f"{len(value)} texts from {str(value[0])[:40]!r} on"
        if key in {"queries", "items"} and value
        else value
        for key, value in record.items()
    }
