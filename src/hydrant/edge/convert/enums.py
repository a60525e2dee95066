"""Enum members by value: the two sides spell the same names in different cases."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, cast

EngineEnum = TypeVar("EngineEnum")
Own = TypeVar("Own", bound=Enum)


def to_engine(kind: type[EngineEnum], member: Enum | str) -> EngineEnum:
    """The engine's member for one of qdrant-client's, e.g. ``insert_only`` to ``InsertOnly``."""
    value = str(member.value if isinstance(member, Enum) else member)
    return cast("EngineEnum", _members(cast("Any", kind))[_plain(value)])


def to_value(kind: type[Own], member: Any) -> Own:
    """qdrant-client's member for one of the engine's."""
    name = _plain(str(member).rpartition(".")[2])
    return next(own for own in kind if _plain(str(own.value)) == name)


@lru_cache(maxsize=64)
def _members(kind: Any) -> dict[str, Any]:
    # These classes come from Rust: they look like enums but are not `enum.Enum`, so no iteration.
    return {_plain(name): getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
