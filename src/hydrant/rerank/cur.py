"""Ranking thousands of candidates by what a cross-encoder would about say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hydrant.collection.base import CollectionBase
from hydrant.collection.sources import Source
from hydrant.encode.base import Encode
from hydrant.encode.cur import CurEncoder
from hydrant.encode.pair_effects import ReadPairs, ScorePairs
from hydrant.errors import ConfigurationError
from hydrant.flow import Flow
from hydrant.rerank.base import Ranking, Reranker
from hydrant.rerank.stored import stored_scores
from hydrant.types import Hit, Query


class CurReranker(Reranker):
    """Ranks by an approximation of a cross-encoder's score, for far more candidates than it could read.

    ANNCUR (Yadav et al., EMNLP 2022), see `CurEncoder`: the query goes through the model once for each anchor document, and
    Qdrant does the rest in one request, whether there are a hundred candidates or ten thousand. Let the model itself read
    the best of them: `CurReranker(docs, top_n=100) >> CrossEncoderReranker(model, top_n=10)`.

    A hit without a stored vector is scored by the model itself, which is cheaper than making one.

    Args:
        collection: A collection that has a source with a `CurEncoder`; it knows hits by their point ids.
        source: Which one, where it has several.
        top_n: How many hits go on, where the query does not say; None for all.
        candidates: How many hits are looked at, from the best one down; None for as many as come.
        threshold: The worst score that goes on, on the model's own scale.
        name: What the stage is called in `hit.stages` and `result.degraded`.
        on_error: "raise" makes a failure the caller's.
        timeout: Seconds it may take at most.

    Raises:
        ConfigurationError: The collection has no such source, or several and none was named.
    """

    name = "cur"

    def __init__(
        self,
        collection: CollectionBase,
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
        self._collection = collection
        self._source = _cur_source(collection, source).name

    def rank(self, query: Query, hits: Sequence[Hit]) -> Flow[Ranking]:
        """Make the query's vector, and compare it with the candidates' stored ones."""
        source = self._collection.sources[self._source]
        encoder = _encoder(source)
        vector = (yield Encode(encoder, [query.text], "query"))[0]
        stored = yield from stored_scores(self._collection, source, vector, hits, query.tenant)
        texts = list(dict.fromkeys(hit.passage.content for hit in hits if hit.point_id not in stored))
        exact: dict[str, float] = {}
        if texts:
            read = yield ReadPairs(encoder.scorer, query.text, texts)
            scores = yield ScorePairs(encoder.scorer, [(read.query, pieces[0]) for pieces in read.documents])
            exact = dict(zip(texts, scores, strict=True))
        return Ranking(
            [stored[hit.point_id] if hit.point_id in stored else exact[hit.passage.content] for hit in hits]
        )

    def warm_up(self) -> None:
        """Load the model."""
        self._collection.sources[self._source].encoder.warm_up()


def _cur_source(collection: CollectionBase, name: str | None) -> Source:
    if not isinstance(collection, CollectionBase):
        msg = f"collection must be a Collection that has a source with a CurEncoder, got {collection!r}"
        raise ConfigurationError(msg)
    found = [key for key, source in collection.sources.items() if isinstance(source.encoder, CurEncoder)]
    chosen = found[0] if name is None and len(found) == 1 else name
    if chosen not in found:
        told = "none was named" if name is None else f"{name!r} is none of them"
        msg = (
            f"collection {collection.name!r} has the sources with a CurEncoder {sorted(found)}, and {told}; say source=..., "
            "or create the collection with sources={'cur': CurEncoder(...)}"
        )
        raise ConfigurationError(msg)
    return collection.sources[chosen]


def _encoder(source: Source) -> CurEncoder:
    assert isinstance(source.encoder, CurEncoder)  # noqa: S101  chosen so
    return source.encoder
