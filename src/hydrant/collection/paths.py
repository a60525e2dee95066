"""Dotted paths into payloads, such as `metadata.lang`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lookup(payload: Mapping[str, Any], path: str, default: Any = None) -> Any:
    """The value at a dotted path, or the default where the path leads nowhere."""
    if "." not in path:
        return payload.get(path, default)
    value: Any = payload
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return value


def place(payload: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a dotted path, making the mappings on the way."""
    *parents, last = path.split(".")
    for key in parents:
        payload = payload.setdefault(key, {})
    payload[last] = value


def without(payload: Mapping[str, Any], path: str) -> dict[str, Any]:
    """A copy without what lies at a dotted path; a mapping on the way that would be left empty goes too."""
    first, _, rest = path.partition(".")
    copy = dict(payload)
    inner = copy.get(first)
    if rest and isinstance(inner, Mapping):
        inner = without(inner, rest)
        if inner:
            copy[first] = inner
            return copy
    if not rest or isinstance(inner, Mapping):
        copy.pop(first, None)
    return copy
