"""What the encoders of learned sparse vectors and of token vectors have in common."""

from __future__ import annotations

import copy
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

from hydrant.encode.backends import BATCH_SIZE
from hydrant.encode.base import Encoder, Role, mismatch
from hydrant.encode.dense import ModelOptions
from hydrant.encode.identity import deciding, same_vectors
from hydrant.encode.lazy import Lazy
from hydrant.encode.sparse_late_models import kind_of, model_record, wrong_kind
from hydrant.encode.texts import checked_texts
from hydrant.encode.tokens import Window
from hydrant.encode.vectors import Batch, BatchLimits, length_sorted_batches
from hydrant.errors import ConfigurationError, UnknownArgument

T = TypeVar("T")


class ModelBackend(Protocol):
    """A loaded model, as `ModelEncoder` needs it."""

    name: str
    limits: BatchLimits

    def window(self, role: Role) -> Window | None:
        """How much of a text is read; None where there is no limit or none is known."""

    def prompt(self, role: Role) -> str:
        """The model's own prompt for that role."""


B = TypeVar("B", bound=ModelBackend)


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is loaded and fed; None leaves it to the model.

    Attributes:
        prompts: What goes in front of a text of each role.
        max_tokens: How many tokens of a document are read.
        batch_size: How many texts go through the model at a time.
        options: How it is loaded, as `ModelOptions`.
    """

    prompts: Mapping[Role, str | None]
    max_tokens: int | None
    batch_size: int | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded(Generic[B]):
    """The models in memory and what the collection's record says of them."""

    models: Mapping[Role, B]
    prompts: Mapping[Role, str]
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
        self._check_options(loading.options)
        self._sources = {role: self._checked_source(source) for role, source in sources.items()}
        if loading.max_tokens is not None:
            self._refuse_on_ready(max_tokens=loading.max_tokens)
        self._loading = loading
        self._pinned: Mapping[str, Any] | None = None
        self._verified = False
        self._lazy = Lazy(self._load)

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
        adopted.__dict__.update(_pinned=dict(record), _verified=loaded is not None)
        return adopted

    def warm_up(self) -> None:
        """Load the model now; a first text goes through it, which is slower than any later one."""
        self._loaded()

    def close(self) -> None:
        """Let go of the model; the next use loads it again. A model that was handed in stays with its owner."""
        self._lazy.clear()

    # ---- for the encoders ----------------------------------------------------------------------------------------

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """What the record says beside the model, its prompts and its window, as JSON."""

    @abstractmethod
    def _backend(self, source: Any) -> B:
        """The model, loaded."""

    @abstractmethod
    def _facts(self, models: Mapping[Role, B], prompts: Mapping[Role, str]) -> dict[str, Any]:
        """What only the loaded models can tell: the values of `told`.

        Raises:
            ConfigurationError: The settings do not fit the models, or these do not fit each other.
        """

    def _batches(self, texts: list[str], role: Role) -> Iterator[tuple[Batch, B, str]]:
        """All texts in batches of like length, each with the model and the prompt that it goes through with."""
        loaded = self._loaded()
        model, prompt = loaded.models[role], loaded.prompts[role]
        window = model.window(role)
        readable = texts if window is None else [window.cut(text) for text in texts]
        given = self._loading.batch_size
        limits = model.limits if given is None else BatchLimits(given)
        for batch in length_sorted_batches(readable, limits):
            yield batch, model, prompt

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
        window = document.window("document")
        known = {
            "prompts": prompts,
            "max_tokens": None if window is None else window.max_tokens,
            **self._facts(models, prompts),
        }
        return Loaded(models, prompts, {**self._named(), **known})

    def _named(self) -> dict[str, Any]:
        """What can be said of the vectors without loading a model."""
        options = self._loading.options
        named: dict[str, Any] = {"encoder": self.label, **model_record(self._sources["document"], options)}
        if "query" in self._sources:
            named["query"] = model_record(self._sources["query"], options)
        return {**named, **self._settings()}

    def _foreseen(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The own record, with what only the loaded model can tell as a collection's record has it."""
        told = {key: record[key] for key in ("max_tokens", *self.told) if key in record}
        foreseen = {**told, **self._named()}
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
        fed = [dict(loading.prompts), loading.max_tokens, deciding(loading.options)]
        return json.dumps([self.label, names, fed, self._settings()], sort_keys=True)

    def __repr__(self) -> str:
        shown = {
            role: source if isinstance(source, str) else model_record(source, {})["model"]
            for role, source in self._sources.items()
        }
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
        kind = kind_of(model)
        if kind is not None and kind not in self.accepts:
            raise wrong_kind(type(model).__name__, kind, type(self).__name__)
        if not all(callable(getattr(model, f"encode_{role}", None)) for role in ("query", "document")):
            msg = (
                f"model must be a name, a folder, one of {', '.join(sorted(self.accepts))} of sentence-transformers, or "
                f"an object with encode_query and encode_document; got {type(model).__name__}"
            )
            raise ConfigurationError(msg)
        return model

    def _check_options(self, options: Mapping[str, Any]) -> None:
        known = ModelOptions.__annotations__
        for name in options:
            if name not in known:
                msg = f"{type(self).__name__} has no argument {name!r}; how a model is loaded is set by {', '.join(known)}"
                raise UnknownArgument(msg)


def check_positive(**numbers: int | None) -> None:
    """Refuse what is neither None nor a whole number of at least 1.

    Raises:
        ConfigurationError: Names the argument and its value.
    """
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            msg = f"{name} must be a whole number of at least 1; got {number!r}"
            raise ConfigurationError(msg)


def _given(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
