"""Ranking by token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from hydrant.collection.base import CollectionBase
from hydrant.collection.sources import Source
from hydrant.encode.base import Encode, Encoder
from hydrant.encode.pooling import normalized
from hydrant.encode.wrapped import checked_encoder, checked_tokens
from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.rerank.base import Ranking, Reranker
from hydrant.rerank.maxsim import MaxSim
from hydrant.rerank.stored import check_more_is_better, stored_scores
from hydrant.types import Hit, Query


class LateInteractionReranker(Reranker):
    """Ranks by MaxSim: for every token of the query the most similar token of the document, summed.

    Khattab and Zaharia, "ColBERT", SIGIR 2020. Given a collection that stores token vectors, Qdrant compares them in one
    request that brings back nothing but scores; hits without stored ones, and all hits where an encoder is given, are
    encoded. In the retriever's own request the same is `docs.retriever(rescore="late")`; this stage is for what comes
    later: behind a fusion computed here, several retrievers, or another reranker.

    The score of a query of n tokens is at most n where the vectors have length 1, so thresholds depend on the query.

    Args:
        tokens: The collection whose token vectors are compared, or a `LateEncoder` (any encoder of kind "multi"). A collection
            knows hits by their point ids; for hits of other collections, which may have the same ids, give the encoder.
        source: Which source of the collection, where it has several with token vectors.
        top_n: How many hits go on, where the query does not say; None for all.
        candidates: How many hits are looked at, from the best one down; None for as many as come.
        threshold: The worst score that goes on.
        name: What the stage is called in `hit.stages` and `result.degraded`.
        on_error: "raise" makes a failure the caller's.
        timeout: Seconds it may take at most.

    Raises:
        ConfigurationError: The collection has no token vectors, or several and none was named; or they are compared by a
            distance.
    """

    name = "late"

    def __init__(
        self,
        tokens: CollectionBase | Encoder,
        *,
        source: str | None = None,
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
        self._collection = tokens if isinstance(tokens, CollectionBase) else None
        self._encoder: Encoder | None = None
        if self._collection is None:
            if not isinstance(tokens, Encoder):
                msg = f"tokens must be a Collection with token vectors, or an encoder of kind 'multi'; got {tokens!r}"
                raise ConfigurationError(msg)
            self._encoder = checked_encoder(tokens, ("multi",), "tokens")
            if source is not None:
                msg = f"source={source!r} is of a collection; got an encoder"
                raise ConfigurationError(msg)
            _check_compared(self._encoder)
            self._source = None
        else:
            # Its name, not itself: a collection replaces the encoder of a source that has learned something.
            self._source = token_source(self._collection, source).name

    @property
    def tokens(self) -> CollectionBase | Encoder:
        """What it was made with: the collection whose token vectors are compared, or the encoder."""
        return self._encoder_of(None) if self._collection is None else self._collection

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Compare the query's token vectors with those of each candidate."""
        source = self._stored_source()
        encoder = self._encoder_of(source)
        vectors = (yield Encode(encoder, [query.text], "query"))[0]
        stored: dict[Any, float] = {}
        if self._collection is not None and source is not None:
            stored = yield from stored_scores(self._collection, source, vectors, hits, query.tenant)
        texts = list(dict.fromkeys(hit.passage.content for hit in hits if hit.point_id not in stored))
        encoded = yield from self._compared(source, vectors, texts)
        return Ranking(
            [stored[hit.point_id] if hit.point_id in stored else encoded[hit.passage.content] for hit in hits]
        )

    def warm_up(self) -> None:
        """Load the encoder's model."""
        self._encoder_of(self._stored_source()).warm_up()

    def _compared(self, source: Source | None, vectors: Any, texts: list[str]) -> Flow[dict[str, float]]:
        if not texts:
            return {}
        encoder = self._encoder_of(source)
        name = type(encoder).__name__
        documents = checked_tokens((yield Encode(encoder, texts, "document")), len(texts), name)
        asked = checked_tokens([vectors], 1, name)[0]
        if self._distance(source) == "Cosine":
            asked, documents = normalized(asked), [normalized(each) for each in documents]
        scores = yield MaxSim(np.ascontiguousarray(asked), documents)
        return dict(zip(texts, scores, strict=True))

    def _stored_source(self) -> Source | None:
        if self._collection is None or self._source is None:
            return None
        return self._collection.sources[self._source]

    def _encoder_of(self, source: Source | None) -> Encoder:
        if source is not None:
            return source.encoder
        assert self._encoder is not None  # noqa: S101  one of the two is given
        return self._encoder

    def _distance(self, source: Source | None) -> str:
        if self._collection is not None and source is not None:
            return str(self._collection.profile.dense[source.vector].distance.value)
        given = self._encoder_of(source).distance
        return "Cosine" if given is None else given


def token_source(collection: CollectionBase, name: str | None) -> Source:
    """The source of a collection that has token vectors.

    Raises:
        ConfigurationError: There is none, or several and none was named; or they are compared by a distance.
    """
    found = [key for key, source in collection.sources.items() if source.encoder.kind == "multi"]
    chosen = found[0] if name is None and len(found) == 1 else name
    if chosen not in found:
        told = "none was named" if name is None else f"{name!r} is none of them"
        msg = (
            f"collection {collection.name!r} has the sources with token vectors {sorted(found)}, and {told}; say source=..., "
            "open the collection with late=LateEncoder(...), or give the LateEncoder instead, which encodes the hits"
        )
        raise ConfigurationError(msg)
    source = collection.sources[chosen]
    check_more_is_better(collection, source)
    return source


def _check_compared(encoder: Encoder) -> None:
    if encoder.distance not in {None, "Cosine", "Dot"}:
        msg = f"token vectors must be compared by 'Cosine' or 'Dot', of which more is better; got {encoder.distance!r}"
        raise ConfigurationError(msg)
