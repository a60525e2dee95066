"""Payloads on their way into the engine: plain JSON, checked and copied."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pydantic_core import to_jsonable_python

from hydrant.errors import InputError

_PLAIN = frozenset((str, int, bool, type(None)))


def to_engine_payload(payload: Any) -> dict[str, Any]:
    """A payload as the engine takes it.

    Dates, UUIDs, enums and models become what JSON has for them, as qdrant-client does for a server.

    Raises:
        InputError: The payload is no mapping, or holds NaN or an infinity, which JSON lacks.
    """
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        message = f"a payload must be a dict, got {payload!r}"
        raise InputError(message)
    if not _is_plain(payload):
        try:
            payload = to_jsonable_python(payload)
        except ValueError as error:
            message = f"a payload must hold what JSON can: {error}"
            raise InputError(message) from error
        _require_finite(payload)
    return payload  # type: ignore[no-any-return]  # a dict whichever way it was reached


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:
        return all(_is_plain(item) for item in value)
    if kind is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    return False


def _require_finite(value: Any) -> None:
    if isinstance(value, float) and not isfinite(value):
        message = f"a payload cannot hold {value!r}: JSON has no such number; leave the key out or use None"
        raise InputError(message)
    if isinstance(value, list):
        for item in value:
            _require_finite(item)
    elif isinstance(value, dict):
        for item in value.values():
            _require_finite(item)
