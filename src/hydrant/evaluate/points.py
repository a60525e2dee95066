"""A collection read through, page by page."""

from __future__ import annotations

from typing import Any

from hydrant.collection.base import CollectionBase
from hydrant.flow import Flow
from hydrant.types import PassageId

_PAGE = 1000


def every_point(
    collection: CollectionBase, tenant: PassageId | None, *, with_payload: bool
) -> Flow[list[Any]]:
    """All points of a collection, without their vectors.

    Args:
        collection: The collection.
        tenant: Whose, in a collection with tenants.
        with_payload: Whether they are read with what they hold, or only their ids.
    """
    condition = collection.condition(None, tenant)
    points: list[Any] = []
    offset = None
    while True:
        page, offset = yield collection.call(
            "scroll",
            scroll_filter=condition,
            limit=_PAGE,
            offset=offset,
            with_payload=with_payload,
            with_vectors=False,
        )
        points += page
        if offset is None:
            return points
