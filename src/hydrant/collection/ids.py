"""Point ids: Qdrant takes unsigned integers and UUIDs, people name their documents as they like."""

from __future__ import annotations

import uuid

from hydrant.errors import InputError
from hydrant.types import Passage, PassageId

_NAMESPACE = uuid.UUID("5f0a1c3e-7c0b-5d53-9b3a-3c1f6f2f7a10")
_LARGEST = 2**64 - 1


def point_id(own: PassageId, tenant: PassageId | None = None) -> PassageId:
    """The point id for a caller's own id.

    Unsigned integers and UUIDs stay as they are; any other string becomes a UUID (version 5). With a tenant every id
    is derived from both, so that one tenant's "42" can never overwrite another's.

    Raises:
        InputError: The id is neither a string nor an unsigned 64-bit integer.
    """
    if isinstance(own, bool) or not isinstance(own, str | int):
        msg = f"id must be a str or an unsigned int, got {own!r} that is a {type(own).__name__}"
        raise InputError(msg)
    if isinstance(own, int) and not 0 <= own <= _LARGEST:
        msg = f"id must lie between 0 and 2**64 - 1 where it is an int, got {own!r}; use a str"
        raise InputError(msg)
    if tenant is not None:
        return derived_id(type(tenant).__name__, str(tenant), type(own).__name__, str(own))
    if isinstance(own, int):
        return own
    try:
        return str(uuid.UUID(own))
    except ValueError:
        return derived_id("own", own)


def can_be_point(value: object) -> bool:
    """Whether a point can have that id; documents of other systems have ids of any kind."""
    if isinstance(value, str):
        try:
            uuid.UUID(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def derived_id(*parts: str) -> str:
    """A UUID (version 5) from several strings; no two different sequences share one by concatenation."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return str(uuid.uuid5(_NAMESPACE, joined))


def content_id(passage: Passage, tenant: PassageId | None) -> str:
    """The point id of a passage that has no id of its own: the same source and content give the same id.

    Args:
        passage: The passage.
        tenant: Whose it is.
    """
    owner = "" if tenant is None else f"{type(tenant).__name__}:{tenant}"
    return derived_id("content", owner, passage.source or "", passage.title or "", passage.text)
