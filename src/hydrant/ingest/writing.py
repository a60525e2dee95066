"""Encoding and writing one window of passages, the next batch encoded while the last is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from hydrant.collection.base import CollectionBase
from hydrant.collection.calls import status_of
from hydrant.collection.payload import BOOKKEEPING
from hydrant.collection.profile import DenseVector
from hydrant.encode.vectors import BatchLimits, length_sorted_batches
from hydrant.errors import CollectionError, EncodingError, HydrantError, InputError
from hydrant.flow import Effect, Flow, Together
from hydrant.ingest.passages import Prepared
from hydrant.ingest.report import Tally

_LOOKED_UP_AT_ONCE = 512
_REFUSED = frozenset({400, 413, 422})


@dataclass(frozen=True, slots=True)
class Work:
    """One passage to encode and write, and whether its point is there already."""

    passage: Prepared
    replaces: bool


class _EncodeBatch(Effect[tuple[list[models.PointStruct], int]]):
    """Encode one batch for every source and build its points; replies with them and the number cut off."""

    name = "encode batch"

    def __init__(self, collection: CollectionBase, batch: Sequence[Work]) -> None:
        self._collection = collection
        self._batch = batch

    def call(self, timeout: float | None) -> tuple[list[models.PointStruct], int]:
        contents = [work.passage.content for work in self._batch]
        vectors: list[dict[str, Any]] = [{} for _ in contents]
        truncated = 0
        for source in self._collection.sources.values():
            encoded = source.encoder.encode_document(contents)
            truncated += source.encoder.count_truncated(contents)
            rows = checked_vectors(encoded, len(contents), self._collection.profile.dense.get(source.vector))
            for own, row in zip(vectors, rows, strict=True):
                # A point without a single term simply has no sparse vector.
                if not isinstance(row, models.SparseVector) or row.indices:
                    own[source.vector] = row
        points = [
            models.PointStruct(id=work.passage.point_id, vector=own, payload=work.passage.payload)
            for work, own in zip(self._batch, vectors, strict=True)
        ]
        return points, truncated


def checked_vectors(encoded: Any, count: int, dense: DenseVector | None) -> list[Any]:
    """One vector for each text. Encoders of ours have looked at their values; those of others may not have.

    Raises:
        EncodingError: There are more or fewer, or one is of another size or has values that are not finite.
    """
    rows: list[Any] = encoded if isinstance(encoded, list) else encoded.tolist()
    if len(rows) != count:
        msg = f"the encoder must return {count} vectors for {count} texts, got {len(rows)}"
        raise EncodingError(msg)
    if dense is not None and dense.multi:
        rows = [row if isinstance(row, list) else row.tolist() for row in rows]
        for row in rows:
            if not row:
                msg = "the encoder returned no vector at all for a text; it must give at least one"
                raise EncodingError(msg)
            for values in row:
                _check_values(values, dense)
        return rows
    for row in rows:
        _check_values(row.values if isinstance(row, models.SparseVector) else row, dense)
    return rows


def _check_values(values: Sequence[float], dense: DenseVector | None) -> None:
    if dense is not None and len(values) != dense.size:
        msg = f"the encoder returned a vector of {len(values)} numbers, the collection's have {dense.size}"
        raise EncodingError(msg)
    # One NaN or infinity makes the sum one too.
    if not math.isfinite(sum(values)):
        msg = "the encoder returned a vector with values that are not finite"
        raise EncodingError(msg)


class Writer:
    """Brings one window of passages into the collection."""

    def __init__(
        self, collection: CollectionBase, tally: Tally, on_done: Callable[[Sequence[Prepared]], None]
    ) -> None:
        self._collection = collection
        self._tally = tally
        self._on_done = on_done

    def write(self, window: Sequence[Prepared]) -> Flow[None]:
        """Encode and write what is new, rewrite the payload of what only changed there, leave the rest alone."""
        stored = yield from self._stored(window)
        work, moved = [], []
        for passage in window:
            before = stored.get(str(passage.point_id))
            if before == passage.digests:
                self._tally.count("unchanged")
                self._on_done([passage])
            elif before is not None and before.get("content") == passage.digests["content"]:
                moved.append((passage, before))
            else:
                work.append(Work(passage, before is not None))
        yield from self._rewrite(moved)
        yield from self._encode_and_write(work)

    def _stored(self, window: Sequence[Prepared]) -> Flow[dict[str, Mapping[str, Any]]]:
        stored: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(window), _LOOKED_UP_AT_ONCE):
            ids = [passage.point_id for passage in window[start : start + _LOOKED_UP_AT_ONCE]]
            points = yield self._collection.call(
                "retrieve", ids=ids, with_payload=[BOOKKEEPING], with_vectors=False
            )
            stored.update({str(point.id): (point.payload or {}).get(BOOKKEEPING) or {} for point in points})
        return stored

    def _rewrite(self, moved: Sequence[tuple[Prepared, Mapping[str, Any]]]) -> Flow[None]:
        for start in range(0, len(moved), _LOOKED_UP_AT_ONCE):
            part = moved[start : start + _LOOKED_UP_AT_ONCE]
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(payload=passage.payload, points=[passage.point_id])
                )
                for passage, _ in part
            ]
            yield self._collection.call("batch_update_points", update_operations=operations, wait=True)
            for passage, before in part:
                # A chunk that only moved within its file, or whose file changed elsewhere, is the same passage.
                same = before.get("payload") == passage.digests["payload"]
                self._tally.count("unchanged" if same else "updated")
            self._on_done([passage for passage, _ in part])

    def _encode_and_write(self, work: Sequence[Work]) -> Flow[None]:
        encoded: tuple[Sequence[Work], list[models.PointStruct]] | None = None
        for batch in self._batches(work):
            steps = [self._encode(batch), *([] if encoded is None else [self._upsert(*encoded)])]
            encoded = (yield Together(steps))[0]
        if encoded is not None:
            yield from self._upsert(*encoded)

    def _batches(self, work: Sequence[Work]) -> Iterator[list[Work]]:
        # The slowest encoder decides: the others take what it takes.
        size = min(source.encoder.batch_size for source in self._collection.sources.values())
        for batch in length_sorted_batches([item.passage.content for item in work], BatchLimits(size)):
            yield [work[position] for position in batch.positions]

    def _encode(self, batch: Sequence[Work]) -> Flow[tuple[Sequence[Work], list[models.PointStruct]]]:
        try:
            points, truncated = yield _EncodeBatch(self._collection, batch)
        except Exception as error:
            # A wrong setting or a lost model is no passage's fault. Whatever else a model says of a batch, it is one
            # passage's fault (or the memory's, for so many of them), and the others go on.
            if isinstance(error, OSError) or (
                isinstance(error, HydrantError) and not isinstance(error, EncodingError | InputError)
            ):
                raise
            if len(batch) == 1:
                self._fail(batch, error)
                return [], []
            return (yield from self._encode_in_halves(batch))
        self._tally.count("truncated", truncated)
        return batch, points

    def _encode_in_halves(
        self, batch: Sequence[Work]
    ) -> Flow[tuple[Sequence[Work], list[models.PointStruct]]]:
        middle = len(batch) // 2
        first, first_points = yield from self._encode(batch[:middle])
        second, second_points = yield from self._encode(batch[middle:])
        return [*first, *second], [*first_points, *second_points]

    def _upsert(self, batch: Sequence[Work], points: Sequence[models.PointStruct]) -> Flow[None]:
        if not points:
            return
        try:
            yield self._collection.call("upsert", points=list(points), wait=True)
        except Exception as error:
            # Only a refusal of the data itself is a passage's fault; a full disk or a lost server ends the run.
            if not (isinstance(error, CollectionError) or status_of(error) in _REFUSED):
                raise
            if len(batch) == 1:
                self._fail(batch, error)
                return
            for item, point in zip(batch, points, strict=True):
                yield from self._upsert([item], [point])
            return
        for item in batch:
            self._tally.count("updated" if item.replaces else "added")
        self._on_done([item.passage for item in batch])

    def _fail(self, batch: Sequence[Work], error: Exception) -> None:
        for item in batch:
            self._tally.fail(item.passage.label, f"{type(error).__name__}: {error}")
            self._on_done([item.passage])
