"""Dense vectors, from any model of sentence-transformers or any object that encodes."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, TypeVar, Unpack, get_args

import numpy as np

from hydrant.encode.backends import (
    BATCH_SIZE,
    Backend,
    ObjectBackend,
    SentenceBackend,
    check_object,
    is_sentence_transformer,
    object_name,
)
from hydrant.encode.base import Encoder, Role, mismatch
from hydrant.encode.identity import deciding, same_vectors, source_record
from hydrant.encode.lazy import Lazy
from hydrant.encode.onnx_backend import check_options
from hydrant.encode.onnx_export import Precision
from hydrant.encode.query_cache import QueryCache
from hydrant.encode.texts import checked_texts
from hydrant.encode.vectors import Batch, BatchLimits, checked_rows, finished, length_sorted_batches
from hydrant.errors import ConfigurationError, UnknownArgument
from hydrant.threads import POOL

if TYPE_CHECKING:
    import numpy.typing as npt

T = TypeVar("T")
BackendName: TypeAlias = Literal["torch", "onnx"]


class ModelOptions(TypedDict, total=False):
    """How a model is loaded; handed on to sentence-transformers. None of it is stored with a collection but `revision`."""

    device: str | None
    revision: str | None
    trust_remote_code: bool
    cache_folder: str | None
    token: bool | str | None
    local_files_only: bool
    model_kwargs: dict[str, Any] | None
    processor_kwargs: dict[str, Any] | None
    config_kwargs: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Settings:
    """What the caller asked for; None leaves it to the model."""

    query_prompt: str | None
    document_prompt: str | None
    truncate_dim: int | None
    max_tokens: int | None
    normalize: bool
    batch_size: int | None
    backend: BackendName
    precision: Precision
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The models in memory and what the collection's record says of them."""

    models: Mapping[Role, Backend]
    prompts: Mapping[Role, str]
    width: int
    record: Mapping[str, Any]


class DenseEncoder(Encoder):
    """One vector a text, from a bi-encoder.

    Queries and documents go each their own way through the model (`encode_query` and `encode_document` of
    sentence-transformers): with the prompts the model was trained with, and its own route where it has two.

    Args:
        model: A name on the hub, a folder, a `SentenceTransformer`, or any object with `encode_query(texts)` and
            `encode_document(texts)` that return one row a text. An object with only `encode(texts)` serves for both.
        query_model: Another model for queries, for pairs of models trained together.
        query_prompt: What goes in front of a query. None uses the model's own prompt, "" none.
        document_prompt: What goes in front of a document, likewise.
        truncate_dim: Keep only this many dimensions, for models trained to allow it (Matryoshka).
        max_tokens: Read at most this many tokens of a text instead of the model's own limit.
        normalize: Scale every vector to length 1. Cosine collections do that themselves.
        batch_size: How many texts go through the model at a time. None takes up to 32, and on a CPU fewer long ones.
        backend: "torch", or "onnx" to run the model in onnxruntime (the extra `onnx`), several times faster on a CPU. It is
            exported at the first use, once for every model, into $HYDRANT_CACHE or the user's cache folder; a process
            that finds it there needs no torch. In float32 it makes the same vectors.
        precision: "fp32", or with backend="onnx" also "int8", faster again. Its vectors are close to the model's own:
            where the mean cosine over some fixed texts is 0.99 or more, both may be used with one collection, and else
            the precision becomes part of the collection's record. What it costs in quality stands in
            benchmarks/README.md ("Encoders").
        query_cache: How many of the last queries keep their vectors; 0 for none.
        **options: How the model is loaded: `device`, `revision`, `trust_remote_code` (False unless asked for), and the
            others of `ModelOptions`.

    Raises:
        ConfigurationError: A setting that cannot work.
        UnknownArgument: An option that sentence-transformers does not have.
    """

    kind = "dense"

    def __init__(
        self,
        model: Any,
        *,
        query_model: Any = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        truncate_dim: int | None = None,
        max_tokens: int | None = None,
        normalize: bool = False,
        batch_size: int | None = None,
        backend: BackendName = "torch",
        precision: Precision = "fp32",
        query_cache: int = 1024,
        **options: Unpack[ModelOptions],
    ) -> None:
        _check_positive(truncate_dim=truncate_dim, max_tokens=max_tokens, batch_size=batch_size)
        _check_options(options)
        _check_backend(backend, precision)
        self._queries = QueryCache(query_cache)
        self._sources: dict[Role, Any] = {"document": _checked_model(model)}
        if query_model is not None:
            self._sources["query"] = _checked_model(query_model)
        if backend == "onnx":
            for source in self._sources.values():
                check_options(source, options)
        if max_tokens is not None and not all(isinstance(source, str) for source in self._sources.values()):
            msg = f"max_tokens={max_tokens} cannot be set on a ready model without changing it: set it on the model itself"
            raise ConfigurationError(msg)
        self._settings = _Settings(
            query_prompt,
            document_prompt,
            truncate_dim,
            max_tokens,
            bool(normalize),
            batch_size,
            backend,
            precision,
            dict(options),
        )
        self._pinned: Mapping[str, Any] | None = None
        self._verified = False
        self._lazy = Lazy(self._load)

    @property
    def dimensions(self) -> int:
        """The length of a vector; loads the model unless a collection's record has told it."""
        known = self._pinned if self._pinned is not None else self._loaded().record
        return int(known["dimensions"])

    @property
    def max_tokens(self) -> int | None:
        """How many tokens of a document the model reads, None where no limit is known; loads the model."""
        window = self._loaded().models["document"].window
        return None if window is None else window.max_tokens

    @property
    def batch_size(self) -> int:
        """How many texts go through the model at a time, at most."""
        return _given(self._settings.batch_size, BATCH_SIZE)

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text, for the last texts from the cache."""
        return self._queries.through(checked_texts(texts), self._encoded_queries)

    def encode_document(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """A float32 array with one row for each text, [len(texts), dimensions]."""
        return self._collected(checked_texts(texts), "document")

    def count_truncated(self, texts: Sequence[str]) -> int:
        """How many of the documents are longer than the model reads, by its own tokens."""
        checked = checked_texts(texts)
        loaded = self._loaded()
        window = loaded.models["document"].window
        return 0 if window is None else window.count_longer(checked, loaded.prompts["document"])

    def record(self) -> dict[str, Any]:
        """The model's name, dimensions, prompts and window; loads the model unless a collection has told them."""
        return dict(self._pinned if self._pinned is not None else self._loaded().record)

    def adopt(self, record: Mapping[str, Any]) -> DenseEncoder:
        """This encoder, held to what a collection has stored.

        The settings are compared now, and what only the model knows when it is loaded: then a difference is raised
        before anything is encoded.

        Raises:
            EncoderMismatch: They would not make the same vectors. The message says both.
        """
        loaded = self._lazy.peek()
        given = dict(loaded.record) if loaded is not None else self._foreseen(record)
        if not same_vectors(given, record):
            raise mismatch(record, given)
        adopted = copy.copy(self)
        # The cache is its own: a vector of another model must not answer before the difference has shown.
        queries = copy.copy(self._queries)
        adopted.__dict__.update(_pinned=dict(record), _verified=loaded is not None, _queries=queries)
        return adopted

    def warm_up(self) -> None:
        """Load the model now; a first text goes through it, which is slower than any later one."""
        self._loaded()

    def close(self) -> None:
        """Let go of the model; the next use loads it again. A model that was handed in stays with its owner."""
        self._lazy.clear()
        self._queries.clear()

    def _identity(self) -> str:
        names = {
            role: source if isinstance(source, str) else id(source) for role, source in self._sources.items()
        }
        settings = replace(
            self._settings, batch_size=1, backend="torch", options=deciding(self._settings.options)
        )
        return json.dumps([names, asdict(settings)], sort_keys=True)

    def __repr__(self) -> str:
        names = {
            role: source if isinstance(source, str) else object_name(source)
            for role, source in self._sources.items()
        }
        query = f", query_model={names['query']!r}" if "query" in names else ""
        return f"DenseEncoder({names['document']!r}{query})"

    # ---- encoding ------------------------------------------------------------------------------------------------

    def _encoded_queries(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._collected(texts, "query").tolist()
        return rows

    def _collected(self, texts: list[str], role: Role) -> npt.NDArray[np.float32]:
        loaded = self._loaded()
        model = loaded.models[role]
        batches = self._batches(texts, model)

        def encoded(batch: Batch) -> npt.NDArray[np.float32]:
            raw = model.encode(batch.texts, role, loaded.prompts[role])
            rows = checked_rows(raw, batch, loaded.width, model.name)
            return finished(rows, self._settings.truncate_dim, normalize=self._settings.normalize)

        if len(texts) == 1:
            return encoded(batches[0])
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)

        def store(batch: Batch) -> None:
            vectors[batch.positions] = encoded(batch)

        POOL.map(store, batches, at_once=model.workers)
        return vectors

    def _batches(self, texts: list[str], model: Backend) -> list[Batch]:
        readable = texts if model.window is None else [model.window.cut(text) for text in texts]
        most = self._settings.batch_size
        limits = model.limits if most is None else BatchLimits(most)
        return length_sorted_batches(readable, limits.shared(len(texts), model.workers))

    # ---- the model -----------------------------------------------------------------------------------------------

    def _loaded(self) -> _Loaded:
        loaded = self._lazy.get()
        if self._pinned is not None and not self._verified:
            if not same_vectors(loaded.record, self._pinned):
                raise mismatch(self._pinned, loaded.record)
            self._verified = True
        return loaded

    def _load(self) -> _Loaded:
        document = self._backend(self._sources["document"])
        query = self._backend(self._sources["query"]) if "query" in self._sources else document
        models: dict[Role, Backend] = {"query": query, "document": document}
        own, settings = self._prompts(), self._settings
        prompts: dict[Role, str] = {role: _given(own[role], models[role].prompt(role)) for role in models}
        widths = {role: models[role].dimensions(role) for role in models}
        width = widths["document"]
        if widths["query"] != width:
            msg = (
                f"queries and documents must have vectors of one size; {query.name} makes {widths['query']} dimensions "
                f"and {document.name} {width}"
            )
            raise ConfigurationError(msg)
        if settings.truncate_dim is not None and settings.truncate_dim > width:
            msg = f"truncate_dim must be at most {width}, the size of {document.name}'s vectors; got {settings.truncate_dim}"
            raise ConfigurationError(msg)
        rounded = {} if document.precision is None else {"precision": document.precision}
        known = {
            **rounded,
            "dimensions": _given(settings.truncate_dim, width),
            "prompts": prompts,
            "max_tokens": None if document.window is None else document.window.max_tokens,
        }
        return _Loaded(models, prompts, width, {**self._named(), **known})

    def _backend(self, source: Any) -> Backend:
        if self._settings.backend == "onnx":
            from hydrant.encode.onnx_backend import OnnxBackend

            settings = self._settings
            return OnnxBackend.load(source, settings.options, settings.max_tokens, settings.precision)
        if isinstance(source, str):
            return SentenceBackend.load(source, self._settings.options, self._settings.max_tokens)
        if is_sentence_transformer(source):
            return SentenceBackend(source, object_name(source))
        return ObjectBackend(source)

    # ---- the record ----------------------------------------------------------------------------------------------

    def _prompts(self) -> Mapping[Role, str | None]:
        return {"query": self._settings.query_prompt, "document": self._settings.document_prompt}

    def _named(self) -> dict[str, Any]:
        """What can be said of the vectors without loading a model."""
        settings = self._settings
        named: dict[str, Any] = {
            "encoder": "dense",
            **source_record(self._sources["document"], settings.options),
        }
        if "query" in self._sources:
            named["query"] = source_record(self._sources["query"], settings.options)
        return {**named, "truncate_dim": settings.truncate_dim, "normalize": settings.normalize}

    def _foreseen(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The own record, with what only the loaded model can tell as a collection's record has it."""
        told = {key: record[key] for key in ("dimensions", "prompts", "max_tokens") if key in record}
        foreseen = {**self._named(), **told}
        if record.get("precision") == self._settings.precision == "int8":
            foreseen["precision"] = "int8"
        stored = record.get("prompts", {})
        foreseen["prompts"] = {role: _given(own, stored.get(role)) for role, own in self._prompts().items()}
        if self._settings.max_tokens is not None:
            foreseen["max_tokens"] = self._settings.max_tokens
        return foreseen


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value


def _checked_model(model: Any) -> Any:
    if isinstance(model, Path):
        return str(model)
    if isinstance(model, str):
        if not model.strip():
            msg = f"model must be a name, a folder or an object that encodes; got the blank name {model!r}"
            raise ConfigurationError(msg)
        return model
    check_object(model)
    return model


def _check_positive(**numbers: int | None) -> None:
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            msg = f"{name} must be a whole number of at least 1; got {number!r}"
            raise ConfigurationError(msg)


def _check_backend(backend: str, precision: str) -> None:
    if backend not in get_args(BackendName):
        msg = f"backend must be 'torch' or 'onnx'; got {backend!r}"
        raise ConfigurationError(msg)
    if precision not in get_args(Precision):
        msg = f"precision must be 'fp32' or 'int8'; got {precision!r}"
        raise ConfigurationError(msg)
    if precision == "int8" and backend != "onnx":
        msg = f"precision='int8' needs backend='onnx'; got backend={backend!r}"
        raise ConfigurationError(msg)


def _check_options(options: Mapping[str, Any]) -> None:
    known = ModelOptions.__annotations__
    for name in options:
        if name not in known:
            msg = f"DenseEncoder has no argument {name!r}; how a model is loaded is set by {', '.join(known)}"
            raise UnknownArgument(msg)
