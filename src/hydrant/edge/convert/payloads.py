"""Payloads on their way into the engine: plain JSON, checked and copied."""

from __future__ import annotations

from math import isfinite
from typing import Any

from pydantic_core import to_jsonable_python

from hydrant.errors import InputError

MAX_DEPTH = 100
"""How deep a payload may nest: from 128 on the engine stores it and cannot read it back, nor anything with it."""
_PLAIN = frozenset((str, int, bool, type(None)))


def to_engine_payload(payload: Any) -> dict[str, Any]:
    """A payload as the engine takes it.

    Dates, UUIDs, enums and models become what JSON has for them, as qdrant-client does for a server.

    Raises:
        InputError: The payload is no mapping, nests too deep, or holds NaN or an infinity, which JSON lacks.
    """
    if payload is None:
        return {}
    if not isinstance(payload, dict):
        message = f"a payload must be a dict, got {payload!r}"
        raise InputError(message)
    if not _is_plain(payload):
        try:
            payload = to_jsonable_python(payload)
        except (ValueError, RecursionError) as error:
            message = f"a payload must hold what JSON can: {error}"
            raise InputError(message) from error
        _check(payload, 0)
    return payload  # type: ignore[no-any-return]  # a dict whichever way it was reached


def _is_plain(value: Any, depth: int = 0) -> bool:
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is float:
        return isfinite(value)
    if kind is list:
        return depth < MAX_DEPTH and all(_is_plain(item, depth + 1) for item in value)
    if kind is dict:
        return depth < MAX_DEPTH and all(
            type(key) is str and _is_plain(item, depth + 1) for key, item in value.items()
        )
    return False


def _check(value: Any, depth: int) -> None:
    if isinstance(value, float) and not isfinite(value):
        message = f"a payload cannot hold {value!r}: JSON has no such number; leave the key out or use None"
        raise InputError(message)
    if not isinstance(value, (list, dict)):
        return
    if depth >= MAX_DEPTH:
        message = f"a payload may nest {MAX_DEPTH} levels deep; this one goes deeper"
        raise InputError(message)
    for item in value.values() if isinstance(value, dict) else value:
        _check(item, depth + 1)
