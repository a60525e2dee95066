"""LlamaIndex's embedding models as Hydrant's encoders."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.embeddings.base import BaseEmbedding

from hydrant import DenseEncoder, Encoder
from hydrant.errors import ConfigurationError


class EmbeddingModel:
    """An embedding model as an object that encodes: queries and documents each by its own method.

    Attributes:
        name: The model's name, which a collection that is made with it remembers.
    """

    def __init__(self, embed_model: BaseEmbedding) -> None:
        self._embed_model = embed_model
        self.name = f"{embed_model.class_name()} {embed_model.model_name}"

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """One row for each text, by `get_query_embedding`."""
        return [self._embed_model.get_query_embedding(text) for text in texts]

    def encode_document(self, texts: Sequence[str]) -> list[list[float]]:
        """One row for each text, by `get_text_embedding_batch`."""
        return self._embed_model.get_text_embedding_batch(list(texts))


def embedding_encoder(embed_model: BaseEmbedding) -> DenseEncoder:
    """An embedding model of LlamaIndex as the encoder of a collection's dense vectors.

    A collection remembers the model's class and name; to open it, give the model again.

    Args:
        embed_model: Any embedding model of LlamaIndex, such as `HuggingFaceEmbedding(...)`.

    Raises:
        ConfigurationError: It is something else.
    """
    if not isinstance(embed_model, BaseEmbedding):
        msg = (
            "embed_model must be an embedding model of LlamaIndex such as HuggingFaceEmbedding(...), got "
            f"{embed_model!r} that is a {type(embed_model).__name__}"
        )
        raise ConfigurationError(msg)
    return DenseEncoder(EmbeddingModel(embed_model), batch_size=embed_model.embed_batch_size)


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
