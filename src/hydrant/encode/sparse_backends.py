"""What the sparse encoder needs of a model, for sentence-transformers and for any other object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydrant.encode.backends import BATCH_SIZE, ModelBackend, object_name, own_prompt
from hydrant.encode.loading import load_named
from hydrant.encode.model_kinds import describe, wrong_kind
from hydrant.encode.models import Source
from hydrant.encode.tokens import Window, check_positions, window_of
from hydrant.encode.vectors import BatchLimits
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

    from hydrant.encode.base import Role

# Bytes of text in a batch on a CPU, its padding counted: larger batches only fill memory with logits.
_CPU_BYTES = 6144


class SparseBackend(ModelBackend):
    """A loaded model of sparse vectors: `encode` returns weights by index, in any form that `checked_vectors` reads."""

    def vocabulary(self, role: Role, prompt: str) -> int | None:
        """How many indices the model has; None where that is not known."""
        return None

    def term(self, index: int) -> str | None:
        """What an index stands for; None where that is not known."""
        return None


class SentenceSparseBackend(SparseBackend):
    """A sparse model of sentence-transformers."""

    def __init__(self, model: SparseEncoder, name: str) -> None:
        from hydrant.encode.sparse_projection import cheapened

        self.name = name
        self._model = cheapened(model)
        self._windows: dict[str, Window | None] = {
            role: _window(model, role) for role in ("query", "document")
        }
        self._tokenizer = _word_tokenizer(model)
        if model.device.type == "cpu":
            self.limits = BatchLimits(BATCH_SIZE, _CPU_BYTES)

    @classmethod
    def load(
        cls, name: str, options: Mapping[str, Any], max_tokens: int | None, *, decoder: bool
    ) -> SentenceSparseBackend:
        """Load a model by name.

        Raises:
            ModelNotFound: It is nowhere, or what is there cannot be loaded.
            ConfigurationError: It is a model of another kind, or cannot read that many tokens.
        """

        def load(source: Source, arguments: dict[str, Any]) -> SparseEncoder:
            check_kind(source, name, arguments, decoder=decoder)
            return _decoder(source, arguments) if decoder else _plain(source, arguments)

        model = load_named(name, options, load)
        if max_tokens is not None:
            check_positions(_reading(model, "document"), name, max_tokens=max_tokens)
            model.max_seq_length = max_tokens
        return cls(model, name)

    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """An array of weights, [texts, vocabulary], by the model's own way for queries or documents."""
        method = self._model.encode_query if role == "query" else self._model.encode_document
        weights = method(
            texts,
            prompt=prompt,
            batch_size=max(1, len(texts)),
            show_progress_bar=False,
            convert_to_sparse_tensor=False,
        )
        return weights.float().cpu().numpy()

    def window(self, role: Role) -> Window | None:
        """That of the tokenizer on the role's way through the model."""
        return self._windows[role]

    def prompt(self, role: Role) -> str:
        """The model's own prompt for that role; its default prompt is for texts that are in neither role."""
        return own_prompt(self._model.prompts, role)

    def vocabulary(self, role: Role, prompt: str) -> int | None:
        """The length of the row for a first short text."""
        return int(self.encode(["Hydrant"], role, prompt).shape[1])

    def term(self, index: int) -> str | None:
        """The word, or piece of a word, of the tokenizer's vocabulary."""
        if self._tokenizer is None or not 0 <= index < len(self._tokenizer):
            return None
        token = self._tokenizer.convert_ids_to_tokens(index)
        return (
            None if token is None else str(self._tokenizer.convert_tokens_to_string([token])).strip() or token
        )


class ObjectSparseBackend(SparseBackend):
    """Any object with `encode_query` and `encode_document`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name = object_name(model)

    def encode(self, texts: list[str], role: Role, prompt: str) -> Any:
        """What the object's method returns for the texts, each behind the prompt."""
        method = self._model.encode_query if role == "query" else self._model.encode_document
        return method([prompt + text for text in texts] if prompt else texts)


def check_kind(source: Source, name: str, options: Mapping[str, Any], *, decoder: bool) -> None:
    """Refuse a model that makes no weights over a vocabulary.

    Args:
        source: Where it lies.
        name: What the message calls it.
        options: How its files are found, as `ModelOptions`.
        decoder: Whether a causal language model will do.

    Raises:
        ConfigurationError: Says what it is, and what fits it.
    """
    found = describe(source, options)
    if found.kind not in {None, "SparseEncoder"}:
        raise wrong_kind(name, str(found.kind), "SparseEncoder")
    if (
        found.kind == "SparseEncoder"
        or found.head == "ForMaskedLM"
        or (decoder and found.head == "ForCausalLM")
    ):
        return
    if found.head == "ForCausalLM":
        msg = (
            f"model {name!r} is a decoder with a language model's head, whose logits are terms only where it was trained "
            "for that; if it was (as Mistral-SPLADE), say so with decoder=True"
        )
        raise ConfigurationError(msg)
    msg = (
        f"model {name!r} is a network without weights over a vocabulary (its class ends in {found.head or 'Model'!r}), "
        "and SparseEncoder needs those of a masked language model trained for retrieval; use DenseEncoder instead"
    )
    raise ConfigurationError(msg)


def _plain(source: Source, options: dict[str, Any]) -> SparseEncoder:
    from sentence_transformers import SparseEncoder

    return SparseEncoder(source.location, **options)


def _decoder(source: Source, options: dict[str, Any]) -> SparseEncoder:
    """A causal language model whose logits over all tokens are max pooled, as SPLADE does with a masked one's."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    shared = {
        name: options[name]
        for name in ("token", "revision", "trust_remote_code", "local_files_only")
        if name in options
    }
    arguments = {
        name: {**shared, **(options.get(name) or {})}
        for name in ("model_kwargs", "processor_kwargs", "config_kwargs")
    }
    network = Transformer(
        source.location,
        cache_dir=options.get("cache_folder"),
        transformer_task="text-generation",
        modality_config={"text": {"method": "forward", "method_output_name": "logits"}},
        module_output_name="token_embeddings",
        processing_kwargs={"text": {"logits_to_keep": 0}},
        **arguments,
    )
    tokenizer = network.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return SparseEncoder(modules=[network, SpladePooling("max")], device=options.get("device"))


def _reading(model: SparseEncoder, role: Role) -> Any:
    """The module that reads the texts of a role: the first, or the first of the role's route."""
    first: Any = model[0]
    routes = getattr(first, "sub_modules", None)
    if routes is None:
        return first
    return routes[role][0] if role in routes else next(iter(routes.values()))[0]


def _window(model: SparseEncoder, role: Role) -> Window | None:
    module = _reading(model, role)
    return window_of(module, getattr(module, "max_seq_length", None))


def _word_tokenizer(model: SparseEncoder) -> Any:
    """The tokenizer whose vocabulary the indices are; None for models whose dimensions are no words."""
    from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

    if any(isinstance(module, SparseAutoEncoder) for module in model.modules()):
        return None
    return getattr(_reading(model, "document"), "tokenizer", None)
