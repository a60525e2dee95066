"""Letting BM25 learn how long this collection's passages are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qdrant_client import models

from hydrant.collection.base import CollectionBase
from hydrant.encode.bm25 import Bm25Encoder
from hydrant.errors import ConfigurationError
from hydrant.flow import Effect, Flow

# An average over this many passages is good to about two percent, and is kept; one over fewer is learned again when the
# collection has doubled.
SETTLED = 2000
_PAGE = 512


class _Learn(Effect[Bm25Encoder]):
    """Measure the average length of texts, in tokens."""

    name = "learn average length"

    def __init__(self, encoder: Bm25Encoder, texts: Sequence[str]) -> None:
        self._encoder = encoder
        self._texts = texts

    def call(self, timeout: float | None) -> Bm25Encoder:
        return self._encoder.learn(self._texts)


def learn(collection: CollectionBase, texts: Sequence[str]) -> Flow[None]:
    """Learn the average length from the first passages, for every BM25 source that has none yet."""
    yield from _recall(collection)
    for name, source in collection.sources.items():
        encoder = source.encoder
        if isinstance(encoder, Bm25Encoder) and encoder.average_length is None:
            if not collection.profile.record:
                msg = (
                    f"collection {collection.name!r} was not made by Hydrant and has no place for the average length "
                    "that BM25 would learn now; give it: Bm25Encoder(average_length=...)"
                )
                raise ConfigurationError(msg)
            if any((yield _Counts(encoder, texts))):
                learned = yield _Learn(encoder, texts)
            else:
                # Nothing but stop words: any length will do for passages without a token.
                learned = encoder.with_average_length(1.0)
            yield from collection.remember(name, learned, learned_from=len(texts))


def _recall(collection: CollectionBase) -> Flow[None]:
    """Take over what somebody else who has the collection open learned since: one collection has one average."""
    open_ones = {
        name: source
        for name, source in collection.sources.items()
        if isinstance(source.encoder, Bm25Encoder) and source.learned_from < SETTLED
    }
    record = (yield from collection.stored()) if open_ones else None
    for name, source in open_ones.items():
        stored = record.sources.get(name) if record is not None else None
        if stored is not None and stored.get("learned_from", 0) > source.learned_from:
            collection.recall(name, stored)


class _Counts(Effect[list[int]]):
    """Count the tokens of texts."""

    name = "count tokens"

    def __init__(self, encoder: Bm25Encoder, texts: Sequence[str]) -> None:
        self._encoder = encoder
        self._texts = texts

    def call(self, timeout: float | None) -> list[int]:
        return self._encoder.token_counts(self._texts)


def learn_again(collection: CollectionBase) -> Flow[bool]:
    """Where a collection was too small to know its average length and has doubled since, learn it again.

    The sparse vectors of all its passages are made anew; with at most `2 * SETTLED` passages that takes a moment.

    Returns:
        Whether anything was done.
    """
    young = [
        name
        for name, source in collection.sources.items()
        if isinstance(source.encoder, Bm25Encoder) and 0 < source.learned_from < SETTLED
    ]
    if not young:
        return False
    total = (yield collection.call("count", exact=True)).count
    due = [name for name in young if total >= 2 * collection.sources[name].learned_from]
    for name in due:
        yield from refit(collection, name)
    return bool(due)


def refit(collection: CollectionBase, name: str) -> Flow[None]:
    """Learn a BM25 source's average length from every stored passage, and make its vectors anew."""
    source = collection.sources[name]
    assert isinstance(source.encoder, Bm25Encoder)  # noqa: S101  for the type checker: callers look first
    counts: list[int] = []
    offset = None
    while True:
        points, offset = yield collection.call("scroll", limit=_PAGE, offset=offset, with_payload=True)
        contents = [content for _, content in _contents(collection, points)]
        counts.extend((yield _Counts(source.encoder, contents)))
        if offset is None:
            break
    known = [count for count in counts if count]
    if not known:
        return
    learned = source.encoder.with_average_length(sum(known) / len(known))
    yield from _rewrite(collection, source.vector, learned)
    yield from collection.remember(name, learned, learned_from=len(counts))


def _contents(collection: CollectionBase, points: Iterable[models.Record]) -> list[tuple[Any, str]]:
    """The ids and contents of stored passages; what others put there without a text is not ours to weigh."""
    layout = collection.payload
    return [
        (point.id, layout.passage(point.payload, point.id).content)
        for point in points
        if layout.fits(point.payload or {})
    ]


def _rewrite(collection: CollectionBase, vector: str, encoder: Bm25Encoder) -> Flow[None]:
    offset = None
    while True:
        points, offset = yield collection.call("scroll", limit=_PAGE, offset=offset, with_payload=True)
        stored = _contents(collection, points)
        encoded = yield _Weigh(encoder, [content for _, content in stored])
        changed = [
            models.PointVectors(id=point_id, vector={vector: sparse})
            for (point_id, _), sparse in zip(stored, encoded, strict=True)
            if sparse.indices
        ]
        if changed:
            yield collection.call("update_vectors", points=changed, wait=True)
        if offset is None:
            return


class _Weigh(Effect[list[models.SparseVector]]):
    """Encode stored texts with a new average length."""

    name = "encode sparse"

    def __init__(self, encoder: Bm25Encoder, texts: Sequence[str]) -> None:
        self._encoder = encoder
        self._texts = texts

    def call(self, timeout: float | None) -> list[models.SparseVector]:
        return self._encoder.encode_document(self._texts)
