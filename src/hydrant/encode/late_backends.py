"""What the late-interaction encoder needs of a model, for sentence-transformers and for any other object."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydrant.encode.backends import BATCH_SIZE, ModelBackend, object_name, own_prompt
from hydrant.encode.loading import load_named
from hydrant.encode.model_kinds import describe, kind_of, model_record, wrong_kind
from hydrant.encode.models import Source
from hydrant.encode.tokens import Window, check_positions, window_of
from hydrant.encode.vectors import BatchLimits
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from hydrant.encode.base import Role

# As for dense vectors: what goes through the layers together has to fit a CPU's caches.
_CPU_BYTES = 6144
PUNCTUATION = "punctuation"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model reads texts; None leaves it to the model.

    Attributes:
        max_tokens: How many tokens of a document.
        max_query_tokens: How many of a query.
        skip: The tokens of documents that give no vector: "punctuation", or which; () for none.
        augmentation: Up to how many tokens a query is filled up with the mask token; 0 for not at all.
    """

    max_tokens: int | None = None
    max_query_tokens: int | None = None
    skip: str | tuple[str, ...] | None = None
    augmentation: int | None = None


class LateBackend(ModelBackend):
    """A loaded model of token vectors: `encode` returns for each text what numpy makes rows of, one for each token."""


class SentenceLateBackend(LateBackend):
    """A late-interaction model of sentence-transformers, or the token vectors of one that makes dense vectors."""

    def __init__(self, model: MultiVectorEncoder, name: str) -> None:
        self._model = model
        self.name = name
        self._windows: dict[str, Window | None] = {
            "query": _window(model, "query_length"),
            "document": _window(model, "document_length"),
        }
        if model.device.type == "cpu":
            self.limits = BatchLimits(BATCH_SIZE, _CPU_BYTES)

    @classmethod
    def of(cls, model: Any) -> SentenceLateBackend:
        """That of a ready model, which stays as it is.

        Raises:
            ConfigurationError: A dense model that has no vectors of tokens.
        """
        name = str(model_record(model, {})["model"])
        return cls(_over_tokens(model, name) if kind_of(model) == "SentenceTransformer" else model, name)

    @classmethod
    def load(cls, name: str, options: Mapping[str, Any], reading: Reading) -> SentenceLateBackend:
        """Load a model by name.

        Raises:
            ModelNotFound: It is nowhere, or what is there cannot be loaded.
            ConfigurationError: It is a model of another kind, or cannot read in that way.
        """

        def load(source: Source, arguments: dict[str, Any]) -> MultiVectorEncoder:
            kind = describe(source, arguments).kind
            if kind in {None, "SentenceTransformer"}:
                return _dense(source, arguments, name)
            if kind != "MultiVectorEncoder":
                raise wrong_kind(name, str(kind), "LateEncoder")
            return _late(source, arguments)

        model = load_named(name, options, load)
        _set(model, name, reading)
        return cls(model, name)

    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """Rows as the model makes them, through its own way for queries or documents."""
        method = self._model.encode_query if role == "query" else self._model.encode_document
        return method(
            texts,
            prompt=prompt,
            batch_size=max(1, len(texts)),
            show_progress_bar=False,
            convert_to_numpy=True,
        )

    def window(self, role: Role) -> Window | None:
        """That of the tokenizer, with the model's limit for the role."""
        return self._windows[role]

    def prompt(self, role: Role) -> str:
        """The model's own prompt for that role; its default prompt is for texts that are in neither role."""
        return own_prompt(self._model.prompts, role)


class ObjectLateBackend(LateBackend):
    """Any object with `encode_query` and `encode_document`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name = object_name(model)

    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """What the object's method returns for the texts, each behind the prompt."""
        method = self._model.encode_query if role == "query" else self._model.encode_document
        return method([prompt + text for text in texts] if prompt else texts)


def _late(source: Source, options: dict[str, Any]) -> MultiVectorEncoder:
    from sentence_transformers import MultiVectorEncoder

    return MultiVectorEncoder(source.location, **options)


def _dense(source: Source, options: dict[str, Any], name: str) -> MultiVectorEncoder:
    from sentence_transformers import SentenceTransformer

    return _over_tokens(SentenceTransformer(source.location, **options), name)


def _over_tokens(model: Any, name: str) -> MultiVectorEncoder:
    """The token vectors of a dense model, scaled to length 1.

    Its pooling is left out, and no projection is put in its place: an untrained one only loses what the model knows.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from sentence_transformers.sentence_transformer.modules import Normalize

    network = model[0]
    if not isinstance(network, Transformer):
        msg = (
            f"model {name!r} has no vectors of tokens for LateEncoder: it begins with {type(network).__name__}, not "
            "with a transformer; use DenseEncoder"
        )
        raise ConfigurationError(msg)
    modules = [network, MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    return MultiVectorEncoder(modules=modules, prompts=dict(model.prompts), device=str(model.device))


def _set(model: MultiVectorEncoder, name: str, reading: Reading) -> None:
    """Make a model that was loaded here read as it was asked to."""
    network: Any = model[0]
    lengths = {
        "max_tokens": reading.max_tokens,
        "max_query_tokens": reading.max_query_tokens,
        "query_augmentation": reading.augmentation,
    }
    check_positions(network, name, **lengths)
    if reading.max_tokens is not None:
        network.document_length = reading.max_tokens
    if reading.max_query_tokens is not None:
        network.query_length = reading.max_query_tokens
    if reading.augmentation is not None:
        _augment(network, name, reading)
    _skip(model, name, string.punctuation if reading.skip == PUNCTUATION else reading.skip)


def _augment(network: Any, name: str, reading: Reading) -> None:
    if not reading.augmentation:
        network.query_expansion = None
        return
    if getattr(network.tokenizer, "mask_token", None) is None:
        msg = f"query_augmentation={reading.augmentation} needs a mask token, and {name!r} has none; leave it out"
        raise ConfigurationError(msg)
    # "min": longer queries are not cut to that length.
    network.query_expansion = {"strategy": "min", "attend": False, "length": reading.augmentation}


def _skip(model: MultiVectorEncoder, name: str, words: Sequence[str] | None) -> None:
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    from hydrant.encode.late_mask import sparing

    masks = {place: module for place, module in enumerate(model) if isinstance(module, MultiVectorMask)}
    if words is not None and not masks:
        msg = f"skip cannot be set on {name!r}: it has no mask of the tokens that count"
        raise ConfigurationError(msg)
    # A word that is no token of its own would stand for the unknown token.
    known = None if words is None else [word for word in words if word in model.tokenizer.get_vocab()]
    for place, mask in masks.items():
        own = sparing(mask, known)
        own.resolve_with_tokenizer(model.tokenizer)
        model[place] = own


def _window(model: MultiVectorEncoder, attribute: str) -> Window | None:
    network: Any = model[0]
    limits = [getattr(network, attribute, None), getattr(network, "max_seq_length", None)]
    if attribute == "query_length":
        expansion = getattr(network, "query_expansion", None) or {}
        limits[0] = expansion["length"] if expansion.get("strategy") == "fixed" else limits[0]
    known = [limit for limit in limits if limit is not None]
    return window_of(network, known[0] if known else None)
