"""Search grouped by a payload field.

The engine has no such call. Its ranking is read from the top, in pages that grow, until enough groups are full.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from hydrant.edge.convert.ids import is_point_id
from hydrant.edge.convert.queries import DEFAULT_LIMIT, Level, Selection, to_engine_selector
from hydrant.edge.convert.results import to_scored_points
from hydrant.edge.options import check_options
from hydrant.edge.paths import values_at
from hydrant.edge.reads import Reads
from hydrant.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hydrant.edge.collection import Collection

_FIRST_PAGE = 4
"""The first page has so many times the hits that the groups could hold."""
_GROWTH = 4


@dataclass
class _Groups:
    """Groups in the order in which their best hits came."""

    field_name: str
    limit: int
    size: int
    hits: dict[tuple[type, Any], list[Any]] = field(default_factory=dict)

    def add(self, point: models.ScoredPoint) -> None:
        """Put a hit into every group it belongs to, as long as there is room."""
        for value in _group_values(point.payload, self.field_name):
            # True and 1 are equal in Python, and would be one group.
            key = (type(value), value)
            if key not in self.hits and len(self.hits) == self.limit:
                continue
            members = self.hits.setdefault(key, [])
            if len(members) < self.size:
                members.append(point)

    @property
    def full(self) -> bool:
        """Whether no further hit could change anything."""
        return len(self.hits) == self.limit and all(len(hits) == self.size for hits in self.hits.values())


class GroupCalls(Reads):
    """Arguments and results are those of `QdrantClient`."""

    def query_points_groups(
        self,
        collection_name: str,
        group_by: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | list[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        group_size: int = 3,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        score_threshold: float | None = None,
        with_lookup: Any = None,
        lookup_from: models.LookupLocation | None = None,
        **kwargs: Any,
    ) -> models.GroupsResult:
        """The best hits of the best groups; see `QdrantClient.query_points_groups`.

        A prefetch fetches as many points as it takes to fill the groups, whatever its limit, as in local mode.
        """
        check_options("query_points_groups", kwargs)
        for name, value in (("limit", limit), ("group_size", group_size)):
            if value < 1:
                message = f"{name} value {value} is invalid. Must be 1 or larger."
                raise InputError(message)
        collection = self.store.collection(collection_name)
        level = Level(
            query, using, prefetch, query_filter, search_params, score_threshold, limit, lookup_from
        )
        groups = _Groups(group_by, limit, group_size)
        self._fill(collection, level, groups)
        ids = [point.id for hits in groups.hits.values() for point in hits]
        shown = self._shown(collection_name, ids, with_payload, with_vectors)
        found = [
            models.PointGroup(id=value, hits=[_dressed(point, shown) for point in hits])
            for (_, value), hits in groups.hits.items()
        ]
        if with_lookup is not None:
            self._look_up(found, with_lookup)
        return models.GroupsResult(groups=found)

    def _fill(self, collection: Collection, level: Level, groups: _Groups) -> None:
        total = collection.shard.read("describe", lambda opened: opened.info().points_count)
        page = min(max(1, total), groups.limit * groups.size * _FIRST_PAGE)
        while True:
            widened = replace(level, limit=page, prefetch=_widened(level.prefetch, page))
            request = collection.planner.request(
                widened, Selection(None, [groups.field_name], with_vectors=False)
            )
            found = to_scored_points(
                collection.shard.query(request), with_payload=True, with_vectors=False, break_ties=False
            )
            groups.hits.clear()
            for point in found:
                groups.add(point)
            if groups.full or page >= total:
                return
            page = min(total, page * _GROWTH)

    def _shown(
        self, collection_name: str, ids: Sequence[Any], with_payload: Any, with_vectors: bool | Sequence[str]
    ) -> dict[Any, models.Record]:
        """What the caller wants to see of the hits; only the group's field was read so far."""
        if not ids or (to_engine_selector(with_payload) is False and with_vectors is False):
            return {}
        records = self.retrieve(
            collection_name, list(dict.fromkeys(ids)), with_payload=with_payload, with_vectors=with_vectors
        )
        return {record.id: record for record in records}

    def _look_up(self, groups: Iterable[models.PointGroup], with_lookup: Any) -> None:
        if isinstance(with_lookup, str):
            with_lookup = models.WithLookup(collection=with_lookup)
        payload = with_lookup.with_payload if with_lookup.with_payload is not None else True
        vectors = with_lookup.with_vectors if with_lookup.with_vectors is not None else False
        for group in groups:
            if is_point_id(group.id):
                found = self.retrieve(
                    with_lookup.collection, [group.id], with_payload=payload, with_vectors=vectors
                )
                group.lookup = found[0] if found else None


def _dressed(point: models.ScoredPoint, shown: dict[Any, models.Record]) -> models.ScoredPoint:
    record = shown.get(point.id)
    payload = record.payload if record is not None else None
    return point.model_copy(
        update={"payload": payload, "vector": record.vector if record is not None else None}
    )


def _group_values(payload: dict[str, Any] | None, key: str) -> list[Any]:
    """The groups a point belongs to: none where one of its values cannot name a group, as on a server."""
    values = values_at(payload or {}, key)
    if any(type(value) not in {int, str} for value in values):
        return []
    return list(dict.fromkeys(values))


def _widened(prefetch: Any, limit: int) -> Any:
    """Prefetches, at every depth, that fetch at least so many points."""
    if prefetch is None:
        return None
    items = [prefetch] if isinstance(prefetch, models.Prefetch) else prefetch
    return [
        item.model_copy(
            update={
                "limit": max(limit, DEFAULT_LIMIT if item.limit is None else item.limit),
                "prefetch": _widened(item.prefetch, limit),
            }
        )
        for item in items
    ]
