"""Payload indexes: their kinds and parameters, in both directions."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import qdrant_edge as engine
from qdrant_client import models

from hydrant.edge.convert.enums import to_engine, to_value
from hydrant.edge.faults import checked
from hydrant.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: Mapping[str, tuple[type[Any], type[Any]]] = {
    "keyword": (models.KeywordIndexParams, engine.KeywordIndexParams),
    "integer": (models.IntegerIndexParams, engine.IntegerIndexParams),
    "float": (models.FloatIndexParams, engine.FloatIndexParams),
    "geo": (models.GeoIndexParams, engine.GeoIndexParams),
    "text": (models.TextIndexParams, engine.TextIndexParams),
    "bool": (models.BoolIndexParams, engine.BoolIndexParams),
    "datetime": (models.DatetimeIndexParams, engine.DatetimeIndexParams),
    "uuid": (models.UuidIndexParams, engine.UuidIndexParams),
}


@checked
def to_engine_index(schema: Any) -> Any:
    """An index's kind, or its parameters, as the engine takes them.

    Raises:
        InputError: Not one of the kinds that exist.
    """
    if isinstance(schema, models.PayloadSchemaType):
        return to_engine(engine.PayloadSchemaType, schema)
    if isinstance(schema, str) and schema in _KINDS:
        return to_engine(engine.PayloadSchemaType, schema)
    for own, theirs in _KINDS.values():
        if isinstance(schema, own):
            given = {name: getattr(schema, name) for name in own.model_fields if name != "type"}
            return theirs(**{name: _param(value) for name, value in given.items() if value is not None})
    message = f"a payload index must be one of {sorted(_KINDS)} or its parameters; got {schema!r}"
    raise InputError(message)


@checked
def create_index(field: str, schema: Any) -> engine.UpdateOperation:
    """The operation that indexes a payload field; raises `InputError` for a path or a kind that does not exist."""
    return engine.UpdateOperation.create_field_index(field, to_engine_index(schema))


@checked
def delete_index(field: str) -> engine.UpdateOperation:
    """The operation that removes a field's index; raises `InputError` for what is no path."""
    return engine.UpdateOperation.delete_field_index(field)


def from_engine_index(info: engine.PayloadIndexInfo) -> models.PayloadIndexInfo:
    """What the engine says of an index, as qdrant-client says it."""
    data_type = to_value(models.PayloadSchemaType, info.data_type)
    params = None
    if info.params is not None:
        params = _from_params(str(data_type.value), info.params)
    return models.PayloadIndexInfo(data_type=data_type, params=params, points=info.points)


def _param(value: Any) -> Any:  # noqa: PLR0911 -- one return for each kind
    if isinstance(value, models.Memory):
        return to_engine(engine.Memory, value)
    if isinstance(value, models.TokenizerType):
        return to_engine(engine.TokenizerType, value)
    if isinstance(value, models.Language):
        return to_engine(engine.Language, value)
    if isinstance(value, models.StopwordsSet):
        languages = {to_engine(engine.Language, item) for item in value.languages or ()}
        return engine.StopwordsSet(languages=languages, custom=set(value.custom or ()))
    if isinstance(value, models.SnowballParams):
        return engine.SnowballParams(to_engine(engine.SnowballLanguage, value.language))
    if isinstance(value, models.DisabledStemmerParams):
        return engine.DisabledStemmer()
    if isinstance(value, models.TextScoringParams):
        return engine.TextScoringParams()
    return value


def _from_params(kind: str, params: Any) -> Any:
    own, _ = _KINDS[kind]
    values = {name: _from_param(getattr(params, name, None)) for name in own.model_fields if name != "type"}
    return own(type=kind, **{name: value for name, value in values.items() if value is not None})


def _from_param(value: Any) -> Any:
    kinds: tuple[tuple[type[Any], type[Enum]], ...] = (
        (engine.Memory, models.Memory),
        (engine.TokenizerType, models.TokenizerType),
        (engine.Language, models.Language),
    )
    for theirs, own in kinds:
        if isinstance(value, theirs):
            return to_value(own, value)
    if isinstance(value, engine.StopwordsSet):
        languages = [to_value(models.Language, item) for item in value.languages or ()]
        return models.StopwordsSet(languages=languages, custom=sorted(value.custom or ()))
    if isinstance(value, engine.SnowballParams):
        language = to_value(models.SnowballLanguage, value.language)
        return models.SnowballParams(type=models.Snowball.SNOWBALL, language=language)
    if isinstance(value, engine.DisabledStemmer):
        return models.DisabledStemmerParams(type=models.NoStemmer.NONE)
    if isinstance(value, engine.TextScoringParams):
        return True
    return value
