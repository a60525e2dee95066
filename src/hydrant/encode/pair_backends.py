"""Models that give a query and a document together a score, or one a label, whatever runs them."""

from __future__ import annotations

import json
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.backends import BATCH_SIZE, CPU_LIMITS, object_name
from hydrant.encode.loading import load_named
from hydrant.encode.model_files import model_folder
from hydrant.encode.model_kinds import describe, kind_of, shown_name, wrong_kind
from hydrant.encode.models import Source
from hydrant.encode.vectors import BatchLimits
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt
    from sentence_transformers import CrossEncoder

    from hydrant.encode.onnx_export import Precision
    from hydrant.encode.onnx_runtime import OnnxModel

# Whose model a name without an owner is.
_OWNER = "cross-encoder"
# Kinds of models that have no head for pairs: the library would give them one of random numbers.
_OTHERS = frozenset({"SentenceTransformer", "SparseEncoder", "MultiVectorEncoder"})
# Its answer "yes" or "no" is the score.
_GENERATIVE = "ForCausalLM"
# Tokenizers without a limit of their own say a number beyond any text.
_ENDLESS = 10**6

Pair = tuple[str, str]


class PairBackend(ABC):
    """A loaded model.

    Attributes:
        name: What messages call it.
        labels: What its outputs are called, where the model says so; empty where only its answers show how many there are.
        limits: How large a batch suits it.
        workers: How many batches it computes side by side.
        out_of_memory: What it raises where a batch is too large. Libraries raise the same for other reasons; then smaller
            batches fail as well, and the error is the caller's.
        tokenizer: The model's `tokenizers.Tokenizer`; None where it has none.
        max_tokens: How many tokens of a pair it reads; None where there is no limit.
        prompt: What it puts in front of every pair.
    """

    name: str
    labels: tuple[str, ...] = ()
    limits: BatchLimits = BatchLimits(BATCH_SIZE)
    workers: int = 1
    out_of_memory: tuple[type[BaseException], ...] = (MemoryError,)
    tokenizer: Any = None
    max_tokens: int | None = None
    prompt: str = ""

    @abstractmethod
    def outputs(self, pairs: Sequence[Pair]) -> Any:
        """What the model makes of the pairs, in one pass: one number for each, or a row of one for each label."""


class TorchPairs(PairBackend):
    """A cross-encoder of sentence-transformers. One pass at a time: each uses all the cores, or the whole GPU."""

    out_of_memory = (RuntimeError, MemoryError)

    def __init__(self, model: CrossEncoder) -> None:
        self._model = model
        self._lock = threading.Lock()
        self.name = shown_name(model)
        self.labels = _labels(model.config, model.num_labels)
        self.tokenizer = getattr(getattr(model, "tokenizer", None), "backend_tokenizer", None)
        length = model.max_seq_length
        self.max_tokens = length if isinstance(length, int) and length < _ENDLESS else None
        self.prompt = (model.prompts or {}).get(model.default_prompt_name or "", "") or ""
        if model.device.type == "cpu":
            self.limits = CPU_LIMITS

    @classmethod
    def load(cls, name: str, options: Mapping[str, Any]) -> TorchPairs:
        """Load a model by name.

        Raises:
            ModelNotFound: It is nowhere, or what is there cannot be loaded.
            ConfigurationError: It is no cross-encoder.
        """
        return cls(load_named(full_name(name), options, _loaded))

    def outputs(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """The logits, [pairs, labels]."""
        from torch.nn import Identity

        with self._lock:
            rows = self._model.predict(
                [(query, document) for query, document in pairs],
                batch_size=len(pairs),
                activation_fn=Identity(),
                show_progress_bar=False,
            )
        return np.asarray(rows, dtype=np.float32).reshape(len(pairs), -1)


class OnnxPairs(PairBackend):
    """An exported cross-encoder. Each pass uses few threads, and several batches go side by side."""

    limits = CPU_LIMITS

    def __init__(self, model: OnnxModel, name: str, labels: tuple[str, ...]) -> None:
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        from hydrant.encode.onnx_runtime import cores

        self._model = model
        self.name = name
        self.labels = labels
        self.tokenizer = model.tokenizer
        self.max_tokens = (model.tokenizer.truncation or {}).get("max_length")
        self.workers = max(1, cores() // max(1, model.threads))
        self.out_of_memory = (MemoryError, state.Fail, state.RuntimeException)

    @classmethod
    def load(cls, name: str, options: Mapping[str, Any], precision: Precision) -> OnnxPairs:
        """Open a model by name, exported at the first time; see `open_model` for what may go wrong."""
        from hydrant.encode.onnx_runtime import Wanted, open_model

        name = full_name(name)
        folder = model_folder(name, options)
        _check_head(Source(folder, local_only=True), {}, name)
        model = open_model(Wanted(name, "scores", precision, options))
        return cls(model, name, _stored_labels(Path(folder), len(model.facts["check"][0])))

    def outputs(self, pairs: Sequence[Pair]) -> npt.NDArray[np.float32]:
        """The logits, [pairs, labels]."""
        return self._model(pairs)


class ObjectPairs(PairBackend):
    """Any object with `score(pairs)`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name = object_name(model)
        torch = sys.modules.get("torch")
        if torch is not None:
            self.out_of_memory = (MemoryError, torch.OutOfMemoryError)

    def outputs(self, pairs: Sequence[Pair]) -> Any:
        """What the object says."""
        return self._model.score(list(pairs))


def check_pair_model(model: object) -> None:
    """Refuse what cannot score pairs.

    Raises:
        ConfigurationError: It is a model of another kind, or has no method for it.
    """
    kind = kind_of(model)
    if kind == "CrossEncoder":
        return
    if kind is not None:
        raise wrong_kind(type(model).__name__, kind, "a cross-encoder reranker")
    if not callable(getattr(model, "score", None)):
        msg = (
            "model must be a name, a folder, a CrossEncoder of sentence-transformers, or an object with score(pairs); got "
            f"{type(model).__name__}"
        )
        raise ConfigurationError(msg)


def full_name(name: str) -> str:
    """The name of a model with its owner on the hub; a folder stays as it is."""
    return name if "/" in name or Path(name).expanduser().is_dir() else f"{_OWNER}/{name}"


def _loaded(source: Source, options: dict[str, Any]) -> CrossEncoder:
    from sentence_transformers import CrossEncoder

    _check_head(source, options, source.location)
    model: CrossEncoder = CrossEncoder(source.location, **options)
    return model


def _check_head(source: Source, options: Mapping[str, Any], name: str) -> None:
    """Refuse a model without a head for pairs: the library would give it one of random numbers, and say nothing."""
    described = describe(source, options)
    if described.kind is None and described.head != _GENERATIVE:
        msg = (
            f"model {name!r} has no head that scores pairs{f' but one {described.head}' if described.head else ''}; a "
            "cross-encoder's files say ForSequenceClassification in config.json"
        )
        raise ConfigurationError(msg)
    if described.kind in _OTHERS:
        raise wrong_kind(name, str(described.kind), "a cross-encoder reranker")


def _labels(config: Any, number: int) -> tuple[str, ...]:
    named = getattr(config, "id2label", None) or {}
    return tuple(str(named.get(index, index)) for index in range(number))


def _stored_labels(folder: Path, number: int) -> tuple[str, ...]:
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    named = config.get("id2label") or {}
    return tuple(str(named.get(str(index), index)) for index in range(number))
