"""Ranking by the similarity of two vectors, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from hydrant.encode.base import Encode, Encoder
from hydrant.encode.pooling import normalized
from hydrant.encode.wrapped import checked_encoder, checked_rows_of
from hydrant.errors import ConfigurationError
from hydrant.flow import Flow, Together
from hydrant.rerank.base import Ranking, Reranker
from hydrant.types import Hit, Query


class BiEncoderReranker(Reranker):
    """Ranks by the similarity of the query's vector and each document's, both encoded now. Nothing is read from Qdrant.

    For hits whose collection has no vectors of this encoder: those of a keyword search, of another system, or to try a model
    before indexing with it. The similarity is the cosine, or the dot product for an encoder that says so.

    Args:
        encoder: A dense encoder.
        top_n: How many hits go on, where the query does not say; None for all.
        candidates: How many hits are looked at, from the best one down; None for as many as come.
        threshold: The worst similarity that goes on.
        name: What the stage is called in `hit.stages` and `result.degraded`.
        on_error: "raise" makes a failure the caller's.
        timeout: Seconds it may take at most.

    Raises:
        ConfigurationError: The encoder is of another kind, or its vectors are compared by a distance.
    """

    name = "bi-encoder"

    def __init__(
        self,
        encoder: Encoder,
        *,
        top_n: int | None = None,
        candidates: int | None = None,
        threshold: float | None = None,
        name: str | None = None,
        on_error: Literal["continue", "raise"] = "continue",
        timeout: float | None = None,
    ) -> None:
        super().__init__(
            top_n=top_n,
            candidates=candidates,
            threshold=threshold,
            name=name,
            on_error=on_error,
            timeout=timeout,
        )
        self._encoder = checked_encoder(encoder, ("dense",), "encoder")
        if encoder.distance not in {None, "Cosine", "Dot"}:
            msg = f"vectors must be compared by 'Cosine' or 'Dot', of which more is better; got {encoder.distance!r}"
            raise ConfigurationError(msg)

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Encode the query and the candidates, and compare them."""
        texts = list(dict.fromkeys(hit.passage.content for hit in hits))
        asked, encoded = yield Together(
            [Encode(self._encoder, [query.text], "query"), Encode(self._encoder, texts, "document")]
        )
        name = type(self._encoder).__name__
        vector, rows = checked_rows_of(asked, 1, name), checked_rows_of(encoded, len(texts), name)
        if self._encoder.distance != "Dot":
            vector, rows = normalized(vector), normalized(rows)
        scores = dict(
            zip(texts, (rows.astype(np.float64) @ vector[0].astype(np.float64)).tolist(), strict=True)
        )
        return Ranking([scores[hit.passage.content] for hit in hits])

    def warm_up(self) -> None:
        """Load the encoder's model."""
        self._encoder.warm_up()
