"""LlamaIndex's embedding models as Hydrant's encoders."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from llama_index.core.base.embeddings.base import BaseEmbedding

from hydrant import DenseEncoder, Encoder
from hydrant.errors import ConfigurationError


class EmbeddingModel:
    """An embedding model as an object that encodes: queries and documents each by its own method.

    Attributes:
        name: The model's name, which a collection that is made with it remembers.
    """

    def __init__(self, embed_model: BaseEmbedding, at_once: int = 1) -> None:
        self._embed_model = embed_model
        self._at_once = at_once
        self.name = f"{embed_model.class_name()} {embed_model.model_name}"

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One row for each text, by `get_query_embedding`."""
        embed = self._embed_model.get_query_embedding
        if len(texts) == 1 or self._at_once == 1:
            return [embed(text) for text in texts]
        with ThreadPoolExecutor(min(len(texts), self._at_once)) as pool:
            # LlamaIndex keeps the span that is open in the context.
            calls = [pool.submit(copy_context().run, embed, text) for text in texts]
            return [call.result() for call in calls]

    def encode_document(self, texts: Sequence[str]) -> list[list[float]]:
        """One row for each text, by `get_text_embedding_batch`."""
        return self._embed_model.get_text_embedding_batch(list(texts))


def embedding_encoder(embed_model: BaseEmbedding, *, at_once: int = 1) -> DenseEncoder:
    """An embedding model of LlamaIndex as the encoder of a collection's dense vectors.

    A collection remembers the model's class and name; to open it, give the model again.

    Args:
        embed_model: Any embedding model of LlamaIndex, such as `HuggingFaceEmbedding(...)`.
        at_once: How many queries of callers at the same time are embedded side by side: more than 1 is for models that
            wait for a service, such as `OpenAIEmbedding`.

    Raises:
        ConfigurationError: It is something else, or `at_once` is no whole number of at least 1.
    """
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        msg = f"at_once must be a whole number of at least 1, got {at_once!r}"
        raise ConfigurationError(msg)
    if not isinstance(embed_model, BaseEmbedding):
        msg = (
            "embed_model must be an embedding model of LlamaIndex such as HuggingFaceEmbedding(...), got "
            f"{embed_model!r} that is a {type(embed_model).__name__}"
        )
        raise ConfigurationError(msg)
    return DenseEncoder(EmbeddingModel(embed_model, at_once), batch_size=embed_model.embed_batch_size)


def dense_encoder(embed_model: BaseEmbedding | None, dense: Encoder | None) -> Encoder | None:
    """The encoder of the dense vectors, given as one or as an embedding model of LlamaIndex.

    Raises:
        ConfigurationError: Both were given.
    """
    if embed_model is None:
        return dense
    if dense is None:
        return embedding_encoder(embed_model)
    msg = "embed_model and dense both say what makes the dense vectors; give one of them"
    raise ConfigurationError(msg)
