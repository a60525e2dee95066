"""Point ids: unsigned 64-bit integers or UUIDs, on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from hydrant.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

U64_MAX = 2**64 - 1


def to_engine_id(value: Any) -> int | UUID:
    """A point id as the engine takes it.

    Raises:
        InputError: Neither an unsigned 64-bit integer nor a UUID.
    """
    if type(value) is int and 0 <= value <= U64_MAX:
        return value
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass  # refused below, with the reason that fits every wrong id
    message = f"a point id must be an unsigned 64-bit integer or a UUID; got {value!r}"
    raise InputError(message)


def is_point_id(value: Any) -> bool:
    """Whether a value could be a point's id."""
    try:
        to_engine_id(value)
    except InputError:
        return False
    return True


def to_engine_ids(values: Iterable[Any]) -> list[int | UUID | str]:
    """Point ids as the engine takes them; raises as `to_engine_id` does."""
    return [to_engine_id(value) for value in values]


def from_engine_id(value: Any) -> int | str:
    """A point id as qdrant-client gives it: an integer, or a UUID in its canonical spelling."""
    if type(value) is int:
        return value
    # What `str` does, which calls back and forth a few times on the way; candidates come by the hundred.
    digits = f"{value.int:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_order(value: int | str) -> tuple[bool, int | str]:
    """A sort key over ids of both kinds: integers first, as the engine orders them."""
    return (type(value) is str, value)
