"""LangChain's embeddings as Hydrant's encoders."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.embeddings import Embeddings

from hydrant import DenseEncoder
from hydrant.errors import ConfigurationError

# What classes of embeddings call the model they use, most telling first.
_MODEL_NAMES = ("model", "model_name", "model_id", "deployment")
# How many queries are on their way to a service at a time, at most.
_AT_ONCE = 16


class EmbeddingsEncoder(DenseEncoder):
    """Any LangChain embeddings where Hydrant takes an encoder: `Collection.create(..., dense=EmbeddingsEncoder(embeddings))`.

    Queries go through `embed_query`, documents and hypotheses through `embed_documents`. A collection remembers the class and
    the model's name, and opens only with embeddings of the same; the object itself has to be handed in again.

    Queries that many callers ask at the same time are embedded side by side where the class has an `aembed_query` of its own,
    because then it waits for a service; else one after the other, because then it is likely a model in this process.

    Args:
        embeddings: The embeddings.
        name: What tells its vectors from those of other embeddings; None for the class and the model that it names.
        batch_size: How many texts are embedded with one call; None for 32.
        query_cache: How many of the last queries keep their vectors; 0 for none.

    Raises:
        ConfigurationError: The object is no LangChain embeddings.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        name: str | None = None,
        batch_size: int | None = None,
        query_cache: int = 1024,
    ) -> None:
        if not isinstance(embeddings, Embeddings):
            msg = (
                "embeddings must be a LangChain Embeddings, such as OpenAIEmbeddings(); "
                f"got {embeddings!r} that is a {type(embeddings).__name__}"
            )
            raise ConfigurationError(msg)
        super().__init__(EmbeddingsModel(embeddings, name), batch_size=batch_size, query_cache=query_cache)
        self.embeddings = embeddings


class EmbeddingsModel:
    """Embeddings with the methods that Hydrant's encoder calls.

    Args:
        embeddings: The embeddings.
        name: What a collection remembers them by.
    """

    def __init__(self, embeddings: Embeddings, name: str | None = None) -> None:
        self._embeddings = embeddings
        self.name = _name(embeddings) if name is None else name
        self._waits = type(embeddings).aembed_query is not Embeddings.aembed_query

    def encode_query(self, texts: Sequence[str]) -> list[list[float]]:
        """A row for each text; there is no call for several."""
        embed = self._embeddings.embed_query
        if len(texts) == 1 or not self._waits:
            return [embed(text) for text in texts]
        with ThreadPoolExecutor(min(len(texts), _AT_ONCE)) as pool:
            return list(pool.map(embed, texts))

    def encode_document(self, texts: Sequence[str]) -> list[list[float]]:
        """A row for each text."""
        return self._embeddings.embed_documents(list(texts))


def _name(embeddings: Any) -> str:
    """The class, and the model where it says which."""
    kind = f"{type(embeddings).__module__}.{type(embeddings).__qualname__}"
    said = (getattr(embeddings, attribute, None) for attribute in _MODEL_NAMES)
    model = next((each for each in said if isinstance(each, str) and each), None)
    return kind if model is None else f"{kind} {model}"
