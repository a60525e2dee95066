"""Payload values by path, with Qdrant's rules: ``a.b``, ``a[].b``, ``a[0]``, ``"a.b".c``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_PART = re.compile(r'(?:"(?P<quoted>[^"]*)"|(?P<plain>[^.\[\]"]+))(?P<indexes>(?:\[\d*\])*)(?:\.|$)')
_INDEX = re.compile(r"\[(\d*)\]")


def values_at(payload: Any, path: str) -> list[Any]:
    """Every value that a path reaches; a list at its end gives its elements."""
    found = [payload]
    for step in _steps(path):
        found = [inner for value in found for inner in _follow(value, step)]
    return [item for value in found for item in (value if isinstance(value, list) else [value])]


def _follow(value: Any, step: str | int | None) -> list[Any]:
    if isinstance(step, str):
        return [value[step]] if isinstance(value, dict) and step in value else []
    if not isinstance(value, list):
        return []
    if step is None:
        return value
    return value[step : step + 1]


@lru_cache(maxsize=256)
def _steps(path: str) -> tuple[str | int | None, ...]:
    steps: list[str | int | None] = []
    for part in _PART.finditer(path):
        quoted = part["quoted"]
        steps.append(quoted if quoted is not None else part["plain"])
        steps.extend(int(index) if index else None for index in _INDEX.findall(part["indexes"]))
    return tuple(steps)
