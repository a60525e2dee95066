"""Dense vectors, from any model of sentence-transformers or any object that encodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from hydrant.encode.backends import (
    Backend,
    ObjectBackend,
    SentenceBackend,
    check_object,
    is_sentence_transformer,
    object_name,
)
from hydrant.encode.base import Role
from hydrant.encode.identity import source_record
from hydrant.encode.model_encoder import Loaded, Loading, ModelEncoder
from hydrant.encode.onnx_backend import OnnxBackend
from hydrant.encode.onnx_export import Precision
from hydrant.encode.options import BackendName, ModelOptions, check_flags, check_positive
from hydrant.encode.texts import checked_texts
from hydrant.encode.vectors import Batch, checked_rows, finished
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt


class DenseEncoder(ModelEncoder[Backend]):
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
    label = "dense"
    told = ("dimensions",)

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
        check_positive(truncate_dim=truncate_dim)
        check_flags(normalize=normalize)
        self._truncate_dim, self._normalize = truncate_dim, normalize
        sources: dict[Role, Any] = {"document": model}
        if query_model is not None:
            sources["query"] = query_model
        prompts: Mapping[Role, str | None] = {"query": query_prompt, "document": document_prompt}
        super().__init__(
            sources,
            Loading(prompts, max_tokens, batch_size, query_cache, dict(options), backend, precision),
        )

    def made_with(self) -> dict[str, Any]:
        """See `ModelEncoder.made_with`."""
        return {**super().made_with(), "truncate_dim": self._truncate_dim, "normalize": self._normalize}

    @property
    def dimensions(self) -> int:
        """The length of a vector; loads the model unless a collection's record has told it."""
        known = self._pinned if self._pinned is not None else self._loaded().record
        return int(known["dimensions"])

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One list of floats for each text, for the last texts from the cache."""
        return self._queries.through(checked_texts(texts), self._encoded_queries)

    def encode_document(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """A float32 array with one row for each text, [len(texts), dimensions]."""
        return self._collected(checked_texts(texts), "document")

    def _encoded_queries(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._collected(texts, "query").tolist()
        return rows

    def _collected(self, texts: list[str], role: Role) -> npt.NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)

        def store(batch: Batch, raw: Any, loaded: Loaded[Backend]) -> None:
            rows = checked_rows(raw, batch, loaded.facts["width"], loaded.models[role].name)
            vectors[batch.positions] = finished(rows, self._truncate_dim, normalize=self._normalize)

        self._in_batches(texts, role, store)
        return vectors

    # ---- the model -----------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, Any]:
        return {"truncate_dim": self._truncate_dim, "normalize": self._normalize}

    def _backend(self, source: Any) -> Backend:
        loading = self._loading
        if loading.backend == "onnx":
            return OnnxBackend.load(source, loading.options, loading.max_tokens, loading.precision)
        if isinstance(source, str):
            return SentenceBackend.load(source, loading.options, loading.max_tokens)
        if is_sentence_transformer(source):
            return SentenceBackend(source, object_name(source))
        return ObjectBackend(source)

    def _facts(self, models: Mapping[Role, Backend], prompts: Mapping[Role, str]) -> dict[str, Any]:
        widths = {role: models[role].dimensions(role) for role in models}
        width, name = widths["document"], models["document"].name
        if widths["query"] != width:
            msg = (
                f"queries and documents must have vectors of one size; {models['query'].name} makes {widths['query']} "
                f"dimensions and {name} {width}"
            )
            raise ConfigurationError(msg)
        if self._truncate_dim is not None and self._truncate_dim > width:
            msg = f"truncate_dim must be at most {width}, the size of {name}'s vectors; got {self._truncate_dim}"
            raise ConfigurationError(msg)
        return {"width": width, "dimensions": width if self._truncate_dim is None else self._truncate_dim}

    def _recorded(self, source: Any, options: Mapping[str, Any]) -> dict[str, Any]:
        return source_record(source, options)

    def _check_object(self, model: Any) -> None:
        check_object(model)
