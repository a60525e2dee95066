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
