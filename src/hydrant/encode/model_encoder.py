"""What the encoders over a model have in common, whichever kind of vectors it makes."""

from __future__ import annotations

import copy
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from hydrant.encode.backends import BATCH_SIZE, ModelBackend
from hydrant.encode.base import Encoder, Role, mismatch
from hydrant.encode.identity import deciding, same_vectors
from hydrant.encode.lazy import Lazy
from hydrant.encode.model_kinds import kind_of, model_record, shown_name, wrong_kind
from hydrant.encode.onnx_backend import check_options
from hydrant.encode.onnx_export import Precision
from hydrant.encode.options import BackendName, check_backend, check_known, check_positive, check_prompts
from hydrant.encode.query_cache import QueryCache
from hydrant.encode.texts import checked_texts
from hydrant.encode.vectors import Batch, BatchLimits, length_sorted_batches
from hydrant.errors import ConfigurationError
from hydrant.threads import POOL

T = TypeVar("T")


B = TypeVar("B", bound=ModelBackend)


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is loaded and fed; None leaves it to the model.

    Attributes:
        prompts: What goes in front of a text of each role.
        max_tokens: How many tokens of a document are read.
        batch_size: How many texts go through the model at a time.
        query_cache: How many of the last queries keep their vectors.
        options: How it is loaded, as `ModelOptions`.
        backend: What runs it.
        precision: What its numbers are rounded to.
    """

    prompts: Mapping[Role, str | None]
    max_tokens: int | None
    batch_size: int | None
    query_cache: int
    options: Mapping[str, Any]
    backend: BackendName = "torch"
    precision: Precision = "fp32"


@dataclass(frozen=True, slots=True)
class Loaded(Generic[B]):
    """The models in memory.

    Attributes:
        models: The model of each role.
        prompts: What goes in front of a text of each role.
        facts: What only the loaded models can tell.
        record: What the collection's record says of them.
    """

    models: Mapping[Role, B]
    prompts: Mapping[Role, str]
    facts: Mapping[str, Any]
    record: Mapping[str, Any]


class ModelEncoder(Encoder, Generic[B]):
    """An encoder around a model that is loaded when it is first needed, and held to what a collection has stored.

    Attributes:
        label: What the record calls the encoder.
        told: What of the record only the loaded model can tell, beside the prompts and the window.
        accepts: The classes of sentence-transformers whose objects can be handed in.
    """

    label: str
    told: tuple[str, ...] = ()
    accepts: frozenset[str] = frozenset()

    def __init__(self, sources: Mapping[Role, Any], loading: Loading) -> None:
        check_positive(max_tokens=loading.max_tokens, batch_size=loading.batch_size)
        check_prompts(loading.prompts)
        check_known(type(self).__name__, loading.options)
        check_backend(loading.backend, loading.precision)
        self._queries = QueryCache(loading.query_cache)
        self._sources = {role: self._checked_source(source) for role, source in sources.items()}
        if loading.backend == "onnx":
            for source in self._sources.values():
                check_options(source, loading.options)
        self._refuse_on_ready(max_tokens=loading.max_tokens)
        self._loading = loading
        self._pinned: Mapping[str, Any] | None = None
        self._verified = False
        self._lazy = Lazy(self._load)

    def made_with(self) -> dict[str, Any]:
        """What the encoder was made with, by the names of its arguments; loads nothing."""
        loading = self._loading
        return {
            "model": self._sources["document"],
            "query_model": self._sources.get("query"),
            "query_prompt": loading.prompts["query"],
            "document_prompt": loading.prompts["document"],
            "max_tokens": loading.max_tokens,
            "batch_size": loading.batch_size,
            "backend": loading.backend,
            "precision": loading.precision,
            "query_cache": loading.query_cache,
            "options": loading.options,
        }

    @property
    def batch_size(self) -> int:
        """How many texts go through the model at a time, at most."""
        return _given(self._loading.batch_size, BATCH_SIZE)

    @property
    def max_tokens(self) -> int | None:
        """How many tokens of a document the model reads, None where no limit is known; loads the model."""
        window = self._loaded().models["document"].window("document")
        return None if window is None else window.max_tokens

    def count_truncated(self, texts: Sequence[str]) -> int:
        """How many of the documents are longer than the model reads, by its own tokens."""
        checked = checked_texts(texts)
        loaded = self._loaded()
        window = loaded.models["document"].window("document")
        return 0 if window is None else window.count_longer(checked, loaded.prompts["document"])

    def record(self) -> dict[str, Any]:
        """Everything that decides the vectors; loads the model unless a collection has told it."""
        return dict(self._pinned if self._pinned is not None else self._loaded().record)

    def adopt(self, record: Mapping[str, Any]) -> Self:
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

    # ---- for the encoders ----------------------------------------------------------------------------------------

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What the record says beside the model, its prompts and its window, as JSON."""

    @abstractmethod
    def _backend(self, source: Any) -> B:
        """The model, loaded."""

    @abstractmethod
    def _facts(self, models: Mapping[Role, B], prompts: Mapping[Role, str]) -> dict[str, Any]:
        """What only the loaded models can tell: the values of `told`, and what else `_in_batches` needs to know.

        Raises:
            ConfigurationError: The settings do not fit the models, or these do not fit each other.
        """

    def _recorded(self, source: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the record says of a model, without loading it."""
        return model_record(source, options)

    def _in_batches(
        self, texts: list[str], role: Role, encode: Callable[[Batch, Any, Loaded[B]], None]
    ) -> None:
        """Hand all texts on in batches of like length, several side by side where the model computes them so.

        Args:
            texts: Checked texts.
            role: What they are.
            encode: Takes a batch, what the model made of it, and the models; it keeps what comes of that.
        """
        loaded = self._loaded()
        model = loaded.models[role]
        window = model.window(role)
        readable = texts if window is None else [window.cut(text) for text in texts]
        given = self._loading.batch_size
        limits = model.limits if given is None else BatchLimits(given)

        def encoded(batch: Batch) -> None:
            encode(batch, model.encode(batch.texts, role, loaded.prompts[role]), loaded)

        batches = length_sorted_batches(readable, limits.shared(len(texts), model.workers))
        POOL.map(encoded, batches, at_once=model.workers)

    def _listed(
        self, texts: list[str], role: Role, made: Callable[[Batch, Any, str], Sequence[T]]
    ) -> list[T]:
        """One item for each text, in their order.

        Args:
            texts: Checked texts.
            role: What they are.
            made: The items of a batch, from the texts, what the model returned, and the model's name.
        """
        items: dict[int, T] = {}

        def keep(batch: Batch, raw: Any, loaded: Loaded[B]) -> None:
            items.update(zip(batch.positions, made(batch, raw, loaded.models[role].name), strict=True))

        self._in_batches(texts, role, keep)
        return [items[position] for position in range(len(texts))]

    def _loaded(self) -> Loaded[B]:
        loaded: Loaded[B] = self._lazy.get()
        if self._pinned is not None and not self._verified:
            if not same_vectors(loaded.record, self._pinned):
                raise mismatch(self._pinned, loaded.record)
            self._verified = True
        return loaded

    def _refuse_on_ready(self, **settings: Any) -> None:
        """Refuse settings that are the model's own where the model was handed in: it would have to be changed."""
        if all(isinstance(source, str) for source in self._sources.values()):
            return
        given = {name: value for name, value in settings.items() if value is not None}
        if given:
            name, value = next(iter(given.items()))
            msg = f"{name}={value!r} cannot be set on a ready model without changing it: set it on the model itself"
            raise ConfigurationError(msg)

    # ---- the record ----------------------------------------------------------------------------------------------

    def _load(self) -> Loaded[B]:
        document = self._backend(self._sources["document"])
        query = self._backend(self._sources["query"]) if "query" in self._sources else document
        models: dict[Role, B] = {"query": query, "document": document}
        own = self._loading.prompts
        prompts = {role: _given(own[role], models[role].prompt(role)) for role in models}
        facts = self._facts(models, prompts)
        window = document.window("document")
        known = {
            **({} if document.precision is None else {"precision": document.precision}),
            **{name: facts[name] for name in self.told},
            "prompts": prompts,
            "max_tokens": None if window is None else window.max_tokens,
        }
        return Loaded(models, prompts, facts, {**self._named(), **known})

    def _named(self) -> dict[str, Any]:
        """What can be said of the vectors without loading a model."""
        options = self._loading.options
        named: dict[str, Any] = {"encoder": self.label, **self._recorded(self._sources["document"], options)}
        if "query" in self._sources:
            named["query"] = self._recorded(self._sources["query"], options)
        return {**named, **self._settings()}

    def _foreseen(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The own record, with what only the loaded model can tell as a collection's record has it."""
        told = {key: record[key] for key in ("max_tokens", *self.told) if key in record}
        foreseen = {**told, **self._named()}
        if record.get("precision") == self._loading.precision == "int8":
            foreseen["precision"] = "int8"
        stored = record.get("prompts", {})
        own = self._loading.prompts
        foreseen["prompts"] = {role: _given(prompt, stored.get(role)) for role, prompt in own.items()}
        if self._loading.max_tokens is not None:
            foreseen["max_tokens"] = self._loading.max_tokens
        return foreseen

    def _identity(self) -> str:
        names = {
            role: source if isinstance(source, str) else id(source) for role, source in self._sources.items()
        }
        loading = self._loading
        fed = [dict(loading.prompts), loading.max_tokens, loading.precision, deciding(loading.options)]
        return json.dumps([self.label, names, fed, self._settings()], sort_keys=True)

    def __repr__(self) -> str:
        shown = {role: shown_name(source) for role, source in self._sources.items()}
        query = f", query_model={shown['query']!r}" if "query" in shown else ""
        return f"{type(self).__name__}({shown['document']!r}{query})"

    # ---- checks --------------------------------------------------------------------------------------------------

    def _checked_source(self, model: Any) -> Any:
        if isinstance(model, Path):
            return str(model)
        if isinstance(model, str):
            if not model.strip():
                msg = (
                    f"model must be a name, a folder or an object that encodes; got the blank name {model!r}"
                )
                raise ConfigurationError(msg)
            return model
        self._check_object(model)
        return model

    def _check_object(self, model: Any) -> None:
        """Refuse what is not a model for this encoder."""
        kind = kind_of(model)
        if kind is not None and kind not in self.accepts:
            raise wrong_kind(type(model).__name__, kind, type(self).__name__)
        if not all(callable(getattr(model, f"encode_{role}", None)) for role in ("query", "document")):
            msg = (
                f"model must be a name, a folder, one of {', '.join(sorted(self.accepts))} of sentence-transformers, or "
                f"an object with encode_query and encode_document; got {type(model).__name__}"
            )
            raise ConfigurationError(msg)


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
