"""Learned sparse vectors: weights over a vocabulary, from SPLADE and its relatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from hydrant.encode.base import Role
from hydrant.encode.model_encoder import Loading, ModelEncoder
from hydrant.encode.model_kinds import kind_of, model_record
from hydrant.encode.onnx_backend import OnnxSparseBackend
from hydrant.encode.onnx_export import Precision
from hydrant.encode.options import BackendName, ModelOptions, check_positive
from hydrant.encode.sparse_backends import ObjectSparseBackend, SentenceSparseBackend, SparseBackend
from hydrant.encode.sparse_terms import checked_vectors
from hydrant.encode.texts import checked_texts
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    from qdrant_client import models


class SparseEncoder(ModelEncoder[SparseBackend]):
    """One sparse vector a text, from a model that weighs the words of its vocabulary.

    What sentence-transformers' `SparseEncoder` loads: SPLADE v2 and ++ (Formal et al., "From Distillation to Hard
    Negative Sampling", SIGIR 2022), inference-free models, whose queries are looked up instead of encoded (Geng et al.,
    "Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers", 2024), sparse autoencoders over
    dense vectors, and, with `decoder`, language models such as Mistral-SPLADE (Doshi et al., 2024). The weights are the
    model's own: Qdrant multiplies no document frequency into them.

    A text of which the model keeps no term has the empty vector: for a query this source finds nothing, and a document
    gets no sparse vector.

    Args:
        model: A name on the hub, a folder, a `SparseEncoder` of sentence-transformers, or any object with
            `encode_query(texts)` and `encode_document(texts)` that return for each text a dict of weights by index, a
            `SparseVector`, or a row of weights over a vocabulary (dense activations as VDR's, Zhou et al., ICLR 2024,
            need `max_terms` and `max_query_terms`).
        query_model: Another model of the same vocabulary for queries, for pairs of models trained together.
        query_prompt: What goes in front of a query. None uses the model's own prompt, "" none.
        document_prompt: What goes in front of a document, likewise.
        max_terms: Keep only this many terms of a document, those of the largest weights.
        max_query_terms: The same for queries.
        max_tokens: Read at most this many tokens of a text instead of the model's own limit.
        decoder: The model is a causal language model trained so that the largest logits of its head are terms.
        batch_size: How many texts go through the model at a time. None takes up to 32, and on a CPU fewer long ones.
        backend: "torch", or "onnx" to run the model in onnxruntime (the extra `onnx`), as `DenseEncoder` does. Models whose
            queries go another way than documents, decoders, and those over dense vectors cannot be exported.
        precision: "fp32", or with backend="onnx" also "int8", as of `DenseEncoder`.
        query_cache: How many of the last queries keep their vectors; 0 for none.
        **options: How the model is loaded: `device`, `revision`, `trust_remote_code` (False unless asked for), and the
            others of `ModelOptions`.

    Raises:
        ConfigurationError: A setting that cannot work, or a model of another kind; one given by name shows when it is
            loaded.
        UnknownArgument: An option that sentence-transformers does not have.
    """

    kind = "sparse"
    label = "sparse"
    told = ("vocabulary",)
    accepts = frozenset({"SparseEncoder"})

    def __init__(
        self,
        model: Any,
        *,
        query_model: Any = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        max_terms: int | None = None,
        max_query_terms: int | None = None,
        max_tokens: int | None = None,
        decoder: bool = False,
        batch_size: int | None = None,
        backend: BackendName = "torch",
        precision: Precision = "fp32",
        query_cache: int = 1024,
        **options: Unpack[ModelOptions],
    ) -> None:
        check_positive(max_terms=max_terms, max_query_terms=max_query_terms)
        self._limits: Mapping[Role, int | None] = {"document": max_terms, "query": max_query_terms}
        self._decoder = bool(decoder)
        sources: dict[Role, Any] = {"document": model}
        if query_model is not None:
            sources["query"] = query_model
        prompts: Mapping[Role, str | None] = {"query": query_prompt, "document": document_prompt}
        if decoder and backend == "onnx":
            msg = "decoder=True cannot be used with backend='onnx', which exports masked language models; use backend='torch'"
            raise ConfigurationError(msg)
        super().__init__(
            sources,
            Loading(prompts, max_tokens, batch_size, query_cache, dict(options), backend, precision),
        )
        self._refuse_on_ready(decoder=True if decoder else None)

    def made_with(self) -> dict[str, Any]:
        """See `ModelEncoder.made_with`."""
        return {**super().made_with(), **self._settings(), "decoder": self._decoder}

    def encode_query(self, texts: Sequence[str]) -> list[models.SparseVector]:
        """One sparse vector for each text: indices of the vocabulary in ascending order, weights above 0."""
        return self._queries.through(checked_texts(texts), lambda new: self._collected(new, "query"))

    def encode_document(self, texts: Sequence[str]) -> list[models.SparseVector]:
        """One sparse vector for each text: indices of the vocabulary in ascending order, weights above 0."""
        return self._collected(checked_texts(texts), "document")

    def terms(self, texts: Sequence[str], indices: Sequence[int]) -> dict[int, str]:
        """The words, or pieces of words, that the indices are in the model's vocabulary; loads the model.

        Args:
            texts: Not needed: the vocabulary is the model's.
            indices: The indices in question. Those that no word is known for are left out.
        """
        model = self._loaded().models["document"]
        named = {int(index): model.term(int(index)) for index in indices}
        return {index: term for index, term in named.items() if term is not None}

    def _collected(self, texts: list[str], role: Role) -> list[models.SparseVector]:
        limit = self._limits[role]
        return self._listed(texts, role, lambda batch, raw, name: checked_vectors(raw, batch, limit, name))

    # ---- the model -----------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "max_terms": self._limits["document"],
            "max_query_terms": self._limits["query"],
        }
        return {**settings, "decoder": True} if self._decoder else settings

    def _backend(self, source: Any) -> SparseBackend:
        loading = self._loading
        if loading.backend == "onnx":
            return OnnxSparseBackend.load(source, loading.options, loading.max_tokens, loading.precision)
        if isinstance(source, str):
            return SentenceSparseBackend.load(
                source, loading.options, loading.max_tokens, decoder=self._decoder
            )
        if kind_of(source) == "SparseEncoder":
            return SentenceSparseBackend(source, str(model_record(source, {})["model"]))
        return ObjectSparseBackend(source)

    def _facts(self, models: Mapping[Role, SparseBackend], prompts: Mapping[Role, str]) -> dict[str, Any]:
        sizes = {role: models[role].vocabulary(role, prompts[role]) for role in models}
        if None not in sizes.values() and sizes["query"] != sizes["document"]:
            msg = (
                f"queries and documents must have weights over one vocabulary; {models['query'].name} has one of "
                f"{sizes['query']} terms and {models['document'].name} one of {sizes['document']}"
            )
            raise ConfigurationError(msg)
        return {"vocabulary": sizes["document"]}
