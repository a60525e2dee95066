"""How well a document answers a query, by a model that reads both together."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.lazy import Lazy
from hydrant.encode.model_kinds import kind_of, model_record, shown_name
from hydrant.encode.pair_backends import (
    ObjectPairs,
    OnnxPairs,
    Pair,
    PairBackend,
    TorchPairs,
    full_name,
)
from hydrant.encode.pair_outputs import column_of, probabilities, rows_of
from hydrant.encode.pair_settings import Scoring, check_scoring
from hydrant.encode.pair_window import PairWindow, Pieces
from hydrant.encode.texts import checked_texts, shown
from hydrant.encode.vectors import Batch, BatchLimits, length_sorted_batches
from hydrant.errors import ConfigurationError, HydrantError, RankingError
from hydrant.threads import POOL

if TYPE_CHECKING:
    import numpy.typing as npt

_OBJECTS = itertools.count(1)


@dataclass(slots=True)
class _Loaded:
    """A model in memory, how much it reads, and how many pairs fit into its memory as far as is known."""

    backend: PairBackend
    window: PairWindow | None
    identity: str
    room: float = math.inf


class PairScorer:
    """Scores queries with documents. Nothing is loaded before the first use; safe in many threads.

    Args:
        model: A name on the hub, a folder, a `CrossEncoder`, or any object with `score(pairs)`, which takes a list of
            (query, document) and returns a number for each, or a row with one for each label.
        scoring: How it is loaded, fed and read.
        owner: What an error about an unknown option calls it.

    Raises:
        ConfigurationError: A setting that cannot work.
        UnknownArgument: An option that sentence-transformers does not have.
    """

    def __init__(self, model: Any, scoring: Scoring, owner: str = "CrossEncoderReranker") -> None:
        self._model = str(model) if isinstance(model, Path) else model
        self._scoring = scoring
        check_scoring(self._model, scoring, owner)
        self._object = next(_OBJECTS)
        self._lazy: Lazy[_Loaded] = Lazy(self._load)

    @property
    def bound(self) -> float | None:
        """The highest score there is: 1 for probabilities, what an object calls its `max_score`; None where there is none."""
        if self._scoring.scale == "probability":
            return 1.0
        told = getattr(self._model, "max_score", None)
        return float(told) if isinstance(told, int | float) and not isinstance(told, bool) else None

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._lazy.peek() is not None

    @property
    def identity(self) -> str:
        """Everything that decides a score; loads the model."""
        return self._lazy.get().identity

    def record(self) -> dict[str, Any]:
        """What decides a score, as JSON, without loading the model; an object that was handed in says so itself."""
        scoring = self._scoring
        model = full_name(self._model) if isinstance(self._model, str) else self._model
        return {
            **model_record(model, scoring.options),
            **({} if scoring.precision == "fp32" else {"precision": scoring.precision}),
            "scale": scoring.scale,
            "label": scoring.label,
            "max_length": scoring.max_length,
            "windows": scoring.windows,
        }

    def pieces(self, query: str, documents: Sequence[str]) -> Pieces:
        """The query and the documents as the model reads them: long ones in several pieces, the query whole."""
        texts = checked_texts(documents)
        asked = checked_texts([query])[0]
        window = self._lazy.get().window
        return (
            Pieces(asked, tuple((text,) for text in texts)) if window is None else window.pieces(asked, texts)
        )

    def score(self, pairs: Sequence[Pair]) -> list[float]:
        """A score for each pair, on the scale that was asked for.

        Raises:
            RankingError: There is not one finite number for each pair, or for each label of it.
            ConfigurationError: The model has several labels, and none of them was named.
            ModelNotFound: The model is nowhere.
        """
        if not pairs:
            return []
        loaded = self._lazy.get()
        backend, given = loaded.backend, self._scoring.batch_size
        limits = backend.limits if given is None else BatchLimits(given)
        texts = [f"{query} {document}" for query, document in pairs]
        batches = length_sorted_batches(texts, limits.shared(len(texts), backend.workers))
        scores = np.empty(len(pairs), dtype=np.float64)

        def compute(batch: Batch) -> None:
            part = [pairs[at] for at in batch.positions]
            scores[batch.positions] = self._within_memory(loaded, part)

        POOL.map(compute, batches, at_once=backend.workers)
        self._check_finite(scores, pairs, backend)
        return [float(score) for score in scores]

    def warm_up(self) -> None:
        """Load the model now; one given by name or folder scores a first pair, which takes longer than any later one."""
        loaded = self._lazy.get()
        if not isinstance(loaded.backend, ObjectPairs):
            self.score([("warm", "up")])

    def close(self) -> None:
        """Let go of the model; the next use loads it again. A model that was handed in stays with its owner."""
        self._lazy.clear()

    def __repr__(self) -> str:
        return f"PairScorer({shown_name(self._model)!r})"

    # ---- the model -----------------------------------------------------------------------------------------------

    def _load(self) -> _Loaded:
        scoring = self._scoring
        if isinstance(self._model, str) and scoring.backend == "onnx":
            backend: PairBackend = OnnxPairs.load(self._model, scoring.options, scoring.precision)
        elif isinstance(self._model, str):
            backend = TorchPairs.load(self._model, scoring.options)
        elif kind_of(self._model) is not None:
            backend = TorchPairs(self._model)
        else:
            backend = ObjectPairs(self._model)
        if backend.labels:
            column_of(backend.labels, scoring.label, backend.name)
        return _Loaded(backend, _window(backend, scoring), self._identity())

    def _identity(self) -> str:
        record = self.record()
        if not isinstance(self._model, str):
            # What an object computes is its own affair: two of one class may differ.
            told = getattr(self._model, "identity", None)
            record["told"] = told if isinstance(told, str) else self._object
        return json.dumps({**record, "backend": self._scoring.backend}, sort_keys=True)

    def _within_memory(self, loaded: _Loaded, pairs: Sequence[Pair]) -> npt.NDArray[np.float64]:
        """The scores of a batch; of its halves where memory is too small for it, and of no larger ones from then on."""
        backend = loaded.backend
        if len(pairs) <= loaded.room:
            try:
                return self._on_scale(backend.outputs(pairs), len(pairs), backend)
            except HydrantError:
                raise
            except backend.out_of_memory:
                if len(pairs) == 1:
                    raise
            loaded.room = min(loaded.room, (len(pairs) + 1) // 2)
        half = (len(pairs) + 1) // 2
        parts = [self._within_memory(loaded, part) for part in (pairs[:half], pairs[half:])]
        return np.concatenate(parts)

    # ---- what it says ----------------------------------------------------------------------------------------------

    def _on_scale(self, raw: Any, number: int, backend: PairBackend) -> npt.NDArray[np.float64]:
        rows = rows_of(raw, number, backend.name)
        labels = backend.labels or tuple(map(str, range(rows.shape[1])))
        column = column_of(labels, self._scoring.label, backend.name)
        if self._scoring.scale == "logit" or isinstance(backend, ObjectPairs):
            return rows[:, column]
        return probabilities(rows, column)

    def _check_finite(
        self, scores: npt.NDArray[np.float64], pairs: Sequence[Pair], backend: PairBackend
    ) -> None:
        good = np.isfinite(scores)
        wanted = "finite numbers"
        if self._scoring.scale == "probability":
            good &= (scores >= 0) & (scores <= 1)
            wanted = "probabilities from 0 to 1"
        elif self.bound is not None:
            good &= scores <= self.bound
            wanted = f"finite numbers of at most its max_score, {self.bound!r}"
        if not good.all():
            at = int(np.argmin(good))
            msg = (
                f"model {backend.name} must give {wanted}; got {float(scores[at])!r} for the document that begins "
                f"{shown(pairs[at][1])}"
            )
            raise RankingError(msg)


def _window(backend: PairBackend, scoring: Scoring) -> PairWindow | None:
    if (
        scoring.max_length is not None
        and backend.max_tokens is not None
        and scoring.max_length > backend.max_tokens
    ):
        msg = (
            f"max_length of {backend.name!r} can be at most {backend.max_tokens}, what the model reads; got "
            f"{scoring.max_length}"
        )
        raise ConfigurationError(msg)
    length = backend.max_tokens if scoring.max_length is None else scoring.max_length
    if backend.tokenizer is None or length is None:
        return None
    return PairWindow(backend.tokenizer, length, scoring.windows, backend.prompt)
