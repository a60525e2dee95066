"""What encoders need of a model, and the dense one's, for sentence-transformers and for any other object."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydrant.encode.loading import load_named
from hydrant.encode.tokens import Window, check_positions
from hydrant.encode.vectors import BatchLimits
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from hydrant.encode.base import Role
    from hydrant.encode.models import Source

# How many texts go through a model at a time where nobody says.
BATCH_SIZE = 32
# On a CPU larger batches lose time: what goes through the layers together no longer fits the caches. The figures are in
# benchmarks/README.md ("Batches").
CPU_LIMITS = BatchLimits(BATCH_SIZE, 6144)
# Where models keep the text that goes in front of each role's texts, in the order of preference.
_PROMPT_NAMES: Mapping[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}


class ModelBackend(ABC):
    """A loaded model.

    Attributes:
        name: What messages call it.
        limits: How large a batch suits it.
        workers: How many batches it computes side by side.
        precision: What its numbers were rounded to where that makes other vectors of them; None where they are the
            model's own.
    """

    name: str
    limits: BatchLimits = BatchLimits(BATCH_SIZE)
    workers: int = 1
    precision: str | None = None

    @abstractmethod
    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """What the model makes of the texts, each behind the prompt: one item a text, as the encoder's kind has it."""

    def window(self, role: Role) -> Window | None:
        """How much of a text is read; None where there is no limit or none is known."""
        return None

    def prompt(self, role: Role) -> str:
        """The model's own prompt for that role."""
        return ""


class Backend(ModelBackend):
    """A loaded model of dense vectors: `encode` returns something that numpy makes rows of, one for each text."""

    def dimensions(self, role: Role) -> int:
        """The length of a vector, from a first short text."""
        import numpy as np

        return int(np.asarray(self.encode(["Hydrant"], role, self.prompt(role))).shape[-1])


class SentenceBackend(Backend):
    """A model of sentence-transformers."""

    def __init__(self, model: SentenceTransformer, name: str) -> None:
        self._model = model
        self.name = name
        self._window = _window(model)
        if model.device.type == "cpu":
            self.limits = CPU_LIMITS

    @classmethod
    def load(cls, name: str, options: Mapping[str, Any], max_tokens: int | None) -> SentenceBackend:
        """Load a model by name.

        Raises:
            ModelNotFound: It is nowhere, or what is there cannot be loaded.
            ConfigurationError: It cannot read that many tokens.
        """
        model = load_named(name, options, _loaded)
        if max_tokens is not None:
            check_positions(model, name, max_tokens=max_tokens)
            model.max_seq_length = max_tokens
        return cls(model, name)

    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """Rows as the model makes them, through its own way for queries or documents."""
        method = self._model.encode_query if role == "query" else self._model.encode_document
        return method(texts, prompt=prompt, batch_size=max(1, len(texts)), show_progress_bar=False)

    def window(self, role: Role) -> Window | None:
        """That of the model's tokenizer."""
        return self._window

    def prompt(self, role: Role) -> str:
        """The model's own prompt for that role; its default prompt is for texts that are in neither role."""
        return own_prompt(self._model.prompts, role)


class ObjectBackend(Backend):
    """Any object with `encode_query` and `encode_document`, or with `encode` for both."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name = object_name(model)

    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """What the object's method returns for the texts, each behind the prompt."""
        method = getattr(self._model, f"encode_{role}", None)
        if method is None:
            method = self._model.encode
        return method([prompt + text for text in texts] if prompt else texts)

    def dimensions(self, role: Role) -> int:
        """The object's own `dimensions` where it has that, else from a first short text."""
        known = getattr(self._model, "dimensions", None)
        return known if isinstance(known, int) else super().dimensions(role)


def own_prompt(prompts: Mapping[str, str | None], role: Role) -> str:
    """What a model's prompts have for that role; "" where they have nothing."""
    own = (prompts.get(name) for name in _PROMPT_NAMES[role])
    return next((prompt for prompt in own if prompt), "")


def is_sentence_transformer(model: object) -> bool:
    """Whether the object is a SentenceTransformer, without importing the library to find out."""
    library = sys.modules.get("sentence_transformers")
    return library is not None and isinstance(model, library.SentenceTransformer)


def object_name(model: object) -> str:
    """What the record calls an object: the model a SentenceTransformer was loaded from, its own `name`, or its class."""
    if is_sentence_transformer(model):
        config = getattr(model, "config", None)
        path = getattr(config, "_name_or_path", None)
        if isinstance(path, str) and path:
            return path
    own = getattr(model, "name", None)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    return f"{kind}({own})" if isinstance(own, str) else kind


def check_object(model: object) -> None:
    """Refuse what cannot encode.

    Raises:
        ConfigurationError: The object has none of the methods.
    """
    pair = callable(getattr(model, "encode_query", None)) and callable(
        getattr(model, "encode_document", None)
    )
    if not pair and not callable(getattr(model, "encode", None)):
        msg = (
            "model must be a name, a folder, a SentenceTransformer, or an object with encode_query and "
            f"encode_document (or encode); got {type(model).__name__}"
        )
        raise ConfigurationError(msg)


def _loaded(source: Source, options: dict[str, Any]) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(source.location, **options)


def _window(model: SentenceTransformer) -> Window | None:
    tokenizer = getattr(getattr(model, "tokenizer", None), "backend_tokenizer", None)
    max_tokens = model.max_seq_length
    if tokenizer is None or max_tokens is None:
        return None
    return Window(tokenizer, max_tokens)
