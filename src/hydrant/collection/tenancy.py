"""The tenant condition that no caller can drop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qdrant_client import models

from hydrant.collection.filters import both
from hydrant.collection.paths import lookup
from hydrant.errors import InputError, TenantLeak, TenantRequired
from hydrant.types import PassageId


def require(
    where: str, field: str | None, tenant: PassageId | None, *, made_here: bool = False
) -> PassageId | None:
    """The tenant as it is to be used.

    Args:
        where: The collection's name.
        field: The payload key of the tenant; None where the collection has none.
        tenant: Who is asking.
        made_here: Whether the collection is ours, where the tenant field is a keyword and so takes strings only.

    Raises:
        TenantRequired: The collection has a tenant field and nobody said whose documents are meant.
        InputError: A tenant was given to a collection that has no tenant field, or is no str or int.
    """
    if field is None:
        if tenant is not None:
            msg = (
                f"collection {where!r} has no tenant field, so tenant={tenant!r} would not be kept apart from others; "
                "create it with tenant='...', or use a filter"
            )
            raise InputError(msg)
        return None
    if tenant is None:
        msg = f"collection {where!r} keeps tenants apart by {field!r}; say whose documents are meant with tenant=..."
        raise TenantRequired(msg)
    if isinstance(tenant, bool) or not isinstance(tenant, str if made_here else str | int):
        expected = "a str" if made_here else "a str or an int"
        msg = f"tenant must be {expected}, got {tenant!r} that is a {type(tenant).__name__}"
        raise InputError(msg)
    return tenant


def restrict(
    field: str | None, tenant: PassageId | None, wanted: models.Filter | None
) -> models.Filter | None:
    """A filter with the tenant's condition AND-ed last, around whatever the caller asked for."""
    if field is None or tenant is None:
        return wanted
    own = models.FieldCondition(key=field, match=models.MatchValue(value=tenant))
    return both(wanted, models.Filter(must=[own]))


def verify(
    where: str, field: str | None, tenant: PassageId | None, payloads: Iterable[Mapping[str, Any] | None]
) -> None:
    """Look at what came back: every payload must be the tenant's.

    Raises:
        TenantLeak: One is not. Nothing of it is shown.
    """
    if field is None or tenant is None:
        return
    for payload in payloads:
        owner = lookup(payload or {}, field)
        mine = owner == tenant or (isinstance(owner, list) and tenant in owner)
        if not mine:
            msg = f"collection {where!r} returned a point whose {field!r} is not {tenant!r}; the result is withheld"
            raise TenantLeak(msg)
