"""An encoder from what a collection has stored about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from hydrant.encode.base import Encoder
from hydrant.encode.bm25 import Bm25Encoder
from hydrant.encode.cur import CurEncoder
from hydrant.encode.dense import DenseEncoder
from hydrant.encode.fastembed import FastEmbedEncoder, FastEmbedSparseEncoder
from hydrant.encode.late import LateEncoder
from hydrant.encode.muvera import MuveraEncoder
from hydrant.encode.sparse import SparseEncoder
from hydrant.encode.views import ViewEncoder
from hydrant.errors import ConfigurationError


def encoder_from_record(record: Mapping[str, Any]) -> Encoder:
    """Rebuild one of our encoders; no model is loaded yet.

    A record never turns on remote code, whoever wrote it: a model that needs `trust_remote_code` must be handed in.

    Args:
        record: What the encoder's `record()` said when the collection was made.

    Raises:
        ConfigurationError: The record is not of one of our encoders, or of a model that was handed in as an object.
    """
    kind = record.get("encoder")
    build = _BUILDERS.get(kind) if isinstance(kind, str) else None
    if build is None:
        msg = (
            f"encoder must be one of {', '.join(_BUILDERS)} to be rebuilt from a record; got {_line(record)}. Hand the "
            "encoder itself to the collection"
        )
        raise ConfigurationError(msg)
    try:
        return build(record)
    except (KeyError, TypeError, AttributeError) as error:
        msg = f"the record of an encoder is damaged ({error!r}): {_line(record)}. Hand the encoder itself to the collection"
        raise ConfigurationError(msg) from error


def _dense(record: Mapping[str, Any]) -> DenseEncoder:
    _check_named(record)
    revision = record.get("revision")
    query = record.get("query")
    encoder = DenseEncoder(
        record["model"],
        query_model=None if query is None else query["model"],
        query_prompt=record["prompts"]["query"],
        document_prompt=record["prompts"]["document"],
        truncate_dim=record["truncate_dim"],
        max_tokens=record["max_tokens"],
        normalize=record["normalize"],
        **_rounded(record),
        **({} if revision is None else {"revision": revision}),
    )
    return encoder.adopt(record)


def _rounded(record: Mapping[str, Any]) -> Any:
    """How to make the vectors of a model whose 8-bit weights moved them too far to be searched with its own."""
    precision = record.get("precision")
    return {} if precision is None else {"backend": "onnx", "precision": precision}


def _fastembed(record: Mapping[str, Any]) -> Encoder:
    return FastEmbedEncoder(record["model"])


def _fastembed_sparse(record: Mapping[str, Any]) -> Encoder:
    return FastEmbedSparseEncoder(record["model"])


def _bm25(record: Mapping[str, Any]) -> Bm25Encoder:
    settings = {key: value for key, value in record.items() if key != "encoder"}
    return Bm25Encoder(**settings)


def _muvera(record: Mapping[str, Any]) -> MuveraEncoder:
    settings = {key: value for key, value in record.items() if key not in {"encoder", "late"}}
    return MuveraEncoder(encoder_from_record(record["late"]), **settings)


def _views(record: Mapping[str, Any]) -> ViewEncoder:
    settings = {key: value for key, value in record.items() if key not in {"encoder", "base"}}
    base = encoder_from_record(record["base"])
    return ViewEncoder(base, **settings)


def _sparse(record: Mapping[str, Any]) -> SparseEncoder:
    query = record.get("query")
    _check_named(record, *([] if query is None else [query]))
    revision = record.get("revision")
    encoder = SparseEncoder(
        record["model"],
        query_model=None if query is None else query["model"],
        query_prompt=record["prompts"]["query"],
        document_prompt=record["prompts"]["document"],
        max_terms=record["max_terms"],
        max_query_terms=record["max_query_terms"],
        max_tokens=record["max_tokens"],
        decoder=record.get("decoder", False),
        **_rounded(record),
        **({} if revision is None else {"revision": revision}),
    )
    return encoder.adopt(record)


def _late(record: Mapping[str, Any]) -> LateEncoder:
    _check_named(record)
    revision = record.get("revision")
    encoder = LateEncoder(
        record["model"],
        query_prompt=record["prompts"]["query"],
        document_prompt=record["prompts"]["document"],
        max_tokens=record["max_tokens"],
        max_query_tokens=record["max_query_tokens"],
        pool_factor=record["pool_factor"],
        clusters=record["clusters"],
        skip=record["skip"],
        query_augmentation=record["query_augmentation"],
        storage=record["storage"],
        **({} if revision is None else {"revision": revision}),
    )
    return encoder.adopt(record)


def _cur(record: Mapping[str, Any]) -> CurEncoder:
    _check_named(record)
    return CurEncoder.from_record(record)


def _check_named(*records: Mapping[str, Any]) -> None:
    for record in records:
        if record.get("object"):
            msg = (
                f"the collection was made with the object {record['model']}, which a record cannot bring back; hand the "
                "same encoder to the collection"
            )
            raise ConfigurationError(msg)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record), ensure_ascii=False, default=repr)


_BUILDERS: Mapping[str, Callable[[Mapping[str, Any]], Encoder]] = {
    "dense": _dense,
    "bm25": _bm25,
    "fastembed": _fastembed,
    "fastembed-sparse": _fastembed_sparse,
    "sparse": _sparse,
    "late": _late,
    "muvera": _muvera,
    "views": _views,
    "cur": _cur,
}
