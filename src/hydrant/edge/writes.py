"""The calls that write points and payload indexes."""

from __future__ import annotations

from itertools import islice, repeat
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from qdrant_client import models

from hydrant.edge.base import BackendBase
from hydrant.edge.change import Change
from hydrant.edge.convert import points as convert
from hydrant.edge.convert.indexes import create_index, delete_index
from hydrant.edge.convert.operations import to_change
from hydrant.edge.options import check_options
from hydrant.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hydrant.edge.collection import Collection

UPLOAD_BATCH = 256
_UPLOAD = frozenset(("batch_size", "parallel", "method", "max_retries"))


class Writes(BackendBase):
    """The writing half of the backend. Arguments and results are those of `QdrantClient`.

    Every call returns when its write is in the write-ahead log and visible to readers, whatever `wait` says.
    """

    def upsert(
        self,
        collection_name: str,
        points: Any,
        update_filter: models.Filter | None = None,
        update_mode: models.UpdateMode | None = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Insert or replace points; see `QdrantClient.upsert`."""
        check_options("upsert", kwargs)
        collection = self.store.collection(collection_name)
        return self._apply(collection, convert.upsert(collection.schema, points, update_filter, update_mode))

    def update_vectors(
        self,
        collection_name: str,
        points: Sequence[models.PointVectors],
        update_filter: models.Filter | None = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Replace some vectors of existing points; see `QdrantClient.update_vectors`."""
        check_options("update_vectors", kwargs)
        collection = self.store.collection(collection_name)
        return self._apply(collection, convert.update_vectors(collection.schema, points, update_filter))

    def delete_vectors(
        self,
        collection_name: str,
        vectors: Sequence[str],
        points: Any,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Remove named vectors from points; see `QdrantClient.delete_vectors`."""
        check_options("delete_vectors", kwargs)
        collection = self.store.collection(collection_name)
        return self._apply(collection, convert.delete_vectors(collection.schema, vectors, points))

    def delete(self, collection_name: str, points_selector: Any, **kwargs: Any) -> models.UpdateResult:
        """Delete points; see `QdrantClient.delete`."""
        check_options("delete", kwargs)
        return self._apply(self.store.collection(collection_name), convert.delete(points_selector))

    def set_payload(
        self,
        collection_name: str,
        payload: dict[str, Any],
        points: Any,
        key: str | None = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Merge a payload into those of points; see `QdrantClient.set_payload`."""
        check_options("set_payload", kwargs)
        return self._apply(self.store.collection(collection_name), convert.set_payload(payload, points, key))

    def overwrite_payload(
        self,
        collection_name: str,
        payload: dict[str, Any],
        points: Any,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Replace the payloads of points; see `QdrantClient.overwrite_payload`."""
        check_options("overwrite_payload", kwargs)
        return self._apply(self.store.collection(collection_name), convert.overwrite_payload(payload, points))

    def delete_payload(
        self,
        collection_name: str,
        keys: Sequence[str],
        points: Any,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Remove keys from the payloads of points; see `QdrantClient.delete_payload`."""
        check_options("delete_payload", kwargs)
        return self._apply(self.store.collection(collection_name), convert.delete_payload(keys, points))

    def clear_payload(self, collection_name: str, points_selector: Any, **kwargs: Any) -> models.UpdateResult:
        """Empty the payloads of points; see `QdrantClient.clear_payload`."""
        check_options("clear_payload", kwargs)
        return self._apply(self.store.collection(collection_name), convert.clear_payload(points_selector))

    def batch_update_points(
        self, collection_name: str, update_operations: Sequence[Any], **kwargs: Any
    ) -> list[models.UpdateResult]:
        """Apply operations in their order; see `QdrantClient.batch_update_points`.

        All of them are checked before the first is applied.
        """
        check_options("batch_update_points", kwargs)
        collection = self.store.collection(collection_name)
        converted = [to_change(collection.schema, operation) for operation in update_operations]
        result = self._apply(collection, *converted)
        return [result] * len(update_operations)

    def upload_points(
        self,
        collection_name: str,
        points: Iterable[Any],
        update_filter: models.Filter | None = None,
        update_mode: models.UpdateMode | None = None,
        **kwargs: Any,
    ) -> None:
        """Write points in batches; see `QdrantClient.upload_points`."""
        check_options("upload_points", kwargs, _UPLOAD)
        collection = self.store.collection(collection_name)
        for batch in _batches(points, kwargs.get("batch_size")):
            self._apply(collection, convert.upsert(collection.schema, batch, update_filter, update_mode))

    def upload_collection(
        self,
        collection_name: str,
        vectors: Any,
        payload: Iterable[dict[Any, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        update_filter: models.Filter | None = None,
        update_mode: models.UpdateMode | None = None,
        **kwargs: Any,
    ) -> None:
        """Write columns of vectors, payloads and ids; see `QdrantClient.upload_collection`."""
        rows = zip(
            ids if ids is not None else _fresh_ids(),
            _rows_of(vectors),
            payload if payload is not None else repeat(None),
            strict=False,  # ids and missing payloads are endless
        )
        points = (
            models.PointStruct.model_construct(id=id_, vector=row, payload=own) for id_, row, own in rows
        )
        self.upload_points(collection_name, points, update_filter, update_mode, **kwargs)

    def create_payload_index(
        self,
        collection_name: str,
        field_name: str,
        field_schema: Any = None,
        field_type: Any = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Index a payload field; see `QdrantClient.create_payload_index`."""
        check_options("create_payload_index", kwargs)
        schema = field_schema if field_schema is not None else field_type
        if schema is None:
            message = f"an index on {field_name!r} needs field_schema: its kind, e.g. 'keyword'; got None"
            raise InputError(message)
        operation = create_index(field_name, schema)
        return self._apply(self.store.collection(collection_name), Change(operation))

    def delete_payload_index(
        self, collection_name: str, field_name: str, **kwargs: Any
    ) -> models.UpdateResult:
        """Remove a payload index; see `QdrantClient.delete_payload_index`."""
        check_options("delete_payload_index", kwargs)
        operation = delete_index(field_name)
        return self._apply(self.store.collection(collection_name), Change(operation))

    def _apply(self, collection: Collection, *changes: Change) -> models.UpdateResult:
        self.store.write(collection, changes)
        return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


def _batches(points: Iterable[Any], size: int | None) -> Iterator[list[Any]]:
    iterator = iter(points)
    while batch := list(islice(iterator, size if size is not None else UPLOAD_BATCH)):
        yield batch


def _fresh_ids() -> Iterator[str]:
    while True:
        yield str(uuid4())


def _rows_of(vectors: Any) -> Iterator[Any]:
    if isinstance(vectors, dict):
        lengths = {name: len(column) for name, column in vectors.items()}
        if len(set(lengths.values())) > 1:
            message = f"Each named vector should have the same number of vectors; got {lengths}"
            raise InputError(message)
        columns = zip(*vectors.values(), strict=True)
        return ({name: _plain(value) for name, value in zip(vectors, row, strict=True)} for row in columns)
    return (_plain(row) for row in vectors)


def _plain(row: Any) -> Any:
    return row.tolist() if isinstance(row, np.ndarray) else row
