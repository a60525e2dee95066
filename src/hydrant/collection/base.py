"""An opened collection: what every room needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self
from uuid import UUID

from qdrant_client import models

from hydrant.collection.calls import Clients, QdrantCall, ScoresCall
from hydrant.collection.filters import FilterCompiler
from hydrant.collection.ids import point_id
from hydrant.collection.opening import Opened, index_schema, read_profile
from hydrant.collection.payload import PayloadMap
from hydrant.collection.profile import RECORD_KEY, Profile
from hydrant.collection.sources import Record, Source, record_of
from hydrant.collection.tenancy import require, restrict, verify
from hydrant.encode.base import Encoder
from hydrant.encode.records import encoder_from_record
from hydrant.errors import InputError
from hydrant.flow import Flow, arun, run
from hydrant.types import FilterLike, Passage, PassageId


class PayloadOfPoint(Protocol):
    """What a passage is read from: a `ScoredPoint`, a `Record`, or what a room of ours made of one."""

    @property
    def id(self) -> Any:
        """The point's id."""

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """Its payload."""


class CollectionBase:
    """A collection with its clients, encoders, payload layout and tenants.

    `hydrant.Collection` is this with a way to index and a way to search; rooms below it take this.
    """

    def __init__(self, clients: Clients, opened: Opened) -> None:
        self.clients = clients
        self._opened = opened

    def __repr__(self) -> str:
        tenant = f", tenant={self.tenant_field!r}" if self.tenant_field else ""
        return f"<{type(self).__name__} {self.name!r}, sources={sorted(self.sources)}{tenant}>"

    @property
    def name(self) -> str:
        """The collection's name in Qdrant."""
        return self._opened.profile.name

    @property
    def profile(self) -> Profile:
        """The collection as Qdrant described it when it was opened."""
        return self._opened.profile

    @property
    def sources(self) -> Mapping[str, Source]:
        """The ways in, by name."""
        return self._opened.sources

    @property
    def payload(self) -> PayloadMap:
        """Where text and metadata lie in a point's payload."""
        return self._opened.payload

    @property
    def tenant_field(self) -> str | None:
        """The payload key that keeps tenants apart; None where there are none."""
        return self._opened.tenant

    @property
    def indexes(self) -> Mapping[str, str]:
        """The payload indexes, key and type: those Qdrant lists, and those that were asked for at creation."""
        return {**self.profile.indexes, **self._opened.fields}

    # ---- what the rooms ask --------------------------------------------------------------------------------------

    def owner(self, tenant: PassageId | None) -> PassageId | None:
        """The tenant as it is to be used; see `hydrant.collection.tenancy.require`."""
        return require(self.name, self.tenant_field, tenant, made_here=bool(self.profile.record))

    def condition(self, wanted: FilterLike | None, tenant: PassageId | None) -> models.Filter | None:
        """The whole Qdrant filter of a request: the caller's, and the tenant's AND-ed last.

        Raises:
            FilterError: The filter cannot become a condition.
            TenantRequired: The collection has a tenant field and no tenant was given.
        """
        owner = self.owner(tenant)
        compiler = FilterCompiler(self.name, self.payload.key, self.indexes, self._opened.allow_unindexed)
        return restrict(self.tenant_field, owner, compiler.compile(wanted))

    def passages(self, points: Iterable[PayloadOfPoint], tenant: PassageId | None) -> list[Passage]:
        """The passages of points that came back, each checked to be the tenant's.

        Raises:
            TenantLeak: One is another tenant's.
            PayloadUnmapped: One has no text where the layout says.
        """
        points = list(points)
        verify(self.name, self.tenant_field, tenant, (point.payload for point in points))
        return [self.payload.passage(point.payload, point.id) for point in points]

    def call(self, method: str, *, repeatable: bool = True, **arguments: Any) -> QdrantCall[Any]:
        """A request about this collection, to be yielded by a flow."""
        return QdrantCall(self.clients, method, repeatable=repeatable, collection_name=self.name, **arguments)

    def scores(self, requests: Sequence[models.QueryRequest]) -> ScoresCall:
        """Queries on this collection of which ids and scores are enough, to be yielded by a flow."""
        return ScoresCall(self.clients, self.name, list(requests))

    def remember(self, source: str, encoder: Encoder, *, learned_from: int) -> Flow[None]:
        """Store what an encoder learned from so many passages with the collection, and use it from now on."""
        learned = replace(self.sources[source], encoder=encoder, learned_from=learned_from)
        sources = {**self.sources, source: learned}
        self._opened = replace(self._opened, sources=sources)
        yield from self._store({source: learned}, {})

    def recall(self, source: str, stored: Mapping[str, Any]) -> None:
        """Use from now on what is stored for a source, instead of what it was opened with."""
        own = replace(
            self.sources[source],
            encoder=encoder_from_record(stored["encoder"]),
            learned_from=stored["learned_from"],
        )
        self._opened = replace(self._opened, sources={**self.sources, source: own})

    def stored(self) -> Flow[Record | None]:
        """What is stored with the collection now; None where Hydrant did not make it."""
        return Record.read((yield from read_profile(self.clients, self.name)))

    def _store(self, sources: Mapping[str, Source], fields: Mapping[str, str]) -> Flow[None]:
        """Store what changed, and keep what others who have the collection open stored since."""
        kept = yield from self.stored()
        if kept is not None:
            record = replace(
                kept, sources={**kept.sources, **record_of(sources)}, fields={**kept.fields, **fields}
            )
            yield self.call("update_collection", metadata={RECORD_KEY: record.metadata()})

    # ---- what a user asks ----------------------------------------------------------------------------------------

    def count(self, filter: FilterLike | None = None, *, tenant: PassageId | None = None) -> int:  # noqa: A002
        """How many points there are, exactly; of a tenant's, in a collection that has tenants."""
        return run(self._count(filter, tenant))

    async def acount(self, filter: FilterLike | None = None, *, tenant: PassageId | None = None) -> int:  # noqa: A002
        """As `count`, without blocking the event loop."""
        return await arun(self._count(filter, tenant))

    def get(self, ids: Sequence[PassageId], *, tenant: PassageId | None = None) -> list[Passage]:
        """The passages with these ids, in their order; ids that do not exist are left out.

        Args:
            ids: The ids that the passages were indexed under, or their points' ids.
            tenant: Whose they are.
        """
        return run(self._get(ids, tenant))

    async def aget(self, ids: Sequence[PassageId], *, tenant: PassageId | None = None) -> list[Passage]:
        """As `get`, without blocking the event loop."""
        return await arun(self._get(ids, tenant))

    def find(self, ids: Sequence[PassageId], *, tenant: PassageId | None = None) -> dict[PassageId, Passage]:
        """The passages with these ids, by the ids that were asked for; those that do not exist are left out.

        A passage whose id the layout does not keep has its point's.

        Args:
            ids: The ids that the passages were indexed under, or their points' ids.
            tenant: Whose they are.
        """
        return run(self._find(ids, tenant))

    async def afind(
        self, ids: Sequence[PassageId], *, tenant: PassageId | None = None
    ) -> dict[PassageId, Passage]:
        """As `find`, without blocking the event loop."""
        return await arun(self._find(ids, tenant))

    def delete(
        self,
        ids: Sequence[PassageId] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        tenant: PassageId | None = None,
    ) -> None:
        """Delete passages by id or by filter; a tenant can only delete their own.

        Raises:
            InputError: Both or neither were given.
        """
        run(self._delete(ids, filter, tenant))

    async def adelete(
        self,
        ids: Sequence[PassageId] | None = None,
        *,
        filter: FilterLike | None = None,  # noqa: A002
        tenant: PassageId | None = None,
    ) -> None:
        """As `delete`, without blocking the event loop."""
        await arun(self._delete(ids, filter, tenant))

    def index_field(self, field: str, kind: str | models.PayloadSchemaType) -> None:
        """Create a payload index, so that a field can be filtered by.

        Args:
            field: The field as filters name it.
            kind: "keyword", "integer", "float", "bool", "datetime", "text", "uuid" or "geo".
        """
        run(self._index_field(field, kind))

    async def aindex_field(self, field: str, kind: str | models.PayloadSchemaType) -> None:
        """As `index_field`, without blocking the event loop."""
        await arun(self._index_field(field, kind))

    def drop(self) -> None:
        """Delete the collection with everything in it."""
        run(self._drop())

    async def adrop(self) -> None:
        """As `drop`, without blocking the event loop."""
        await arun(self._drop())

    def warm_up(self) -> None:
        """Load the encoders' models now instead of at the first use."""
        for source in self.sources.values():
            source.encoder.warm_up()

    def close(self) -> None:
        """Release the encoders. The clients belong to whoever made them and stay open."""
        for source in self.sources.values():
            source.encoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- their flows ---------------------------------------------------------------------------------------------

    def _count(self, wanted: FilterLike | None, tenant: PassageId | None) -> Flow[int]:
        result = yield self.call("count", count_filter=self.condition(wanted, tenant), exact=True)
        return int(result.count)

    def _get(self, ids: Sequence[PassageId], tenant: PassageId | None) -> Flow[list[Passage]]:
        points = yield from self._points(ids, tenant)
        return self.passages([point for point in points if point is not None], self.owner(tenant))

    def _find(self, ids: Sequence[PassageId], tenant: PassageId | None) -> Flow[dict[PassageId, Passage]]:
        found = zip(ids, (yield from self._points(ids, tenant)), strict=True)
        present = {own: point for own, point in found if point is not None}
        passages = self.passages(present.values(), self.owner(tenant))
        return {
            own: replace(passage, id=_named(point.id)) if passage.id is None else passage
            for (own, point), passage in zip(present.items(), passages, strict=True)
        }

    def _points(self, ids: Sequence[PassageId], tenant: PassageId | None) -> Flow[list[models.Record | None]]:
        """For each id its point, or None."""
        owner = self.owner(tenant)
        _check_ids(ids)
        names = [(point_id(each, owner), point_id(each)) for each in ids]
        condition = restrict(self.tenant_field, owner, _has_id(names))
        points, _ = yield self.call(
            "scroll", scroll_filter=condition, limit=max(1, 2 * len(ids)), with_payload=True
        )
        found = {str(point.id): point for point in points}
        return [next((found[str(name)] for name in pair if str(name) in found), None) for pair in names]

    def _delete(
        self, ids: Sequence[PassageId] | None, wanted: FilterLike | None, tenant: PassageId | None
    ) -> Flow[None]:
        if (ids is None) == (wanted is None):
            msg = f"delete takes either ids or a filter; got ids={ids!r} and filter={wanted!r}"
            raise InputError(msg)
        owner = self.owner(tenant)
        if ids is None:
            if not wanted:
                # What a filter of optional parts comes out as when none was given.
                msg = f"delete with the empty filter {wanted!r} would delete everything; if that is meant, say models.Filter()"
                raise InputError(msg)
            condition = self.condition(wanted, tenant)
        else:
            _check_ids(ids)
            own = _has_id([(point_id(each, owner), point_id(each)) for each in ids])
            condition = restrict(self.tenant_field, owner, own)
        selector = models.FilterSelector(filter=condition or models.Filter())
        yield self.call("delete", points_selector=selector, wait=True)

    def _index_field(self, field: str, kind: str | models.PayloadSchemaType) -> Flow[None]:
        key = self.payload.key(field)
        schema = index_schema(field, kind)
        yield self.call("create_payload_index", field_name=key, field_schema=schema, wait=True)
        added = {key: models.PayloadSchemaType(kind).value}
        self._opened = replace(self._opened, fields={**self._opened.fields, **added})
        yield from self._store({}, added)

    def _drop(self) -> Flow[None]:
        yield self.call("delete_collection")


def _named(own: PassageId | UUID) -> PassageId:
    return own if isinstance(own, int) else str(own)


def _check_ids(ids: object) -> None:
    if isinstance(ids, str | bytes):
        msg = f"ids must be a list of ids, got the single one {ids!r}; put it in a list"
        raise InputError(msg)


def _has_id(names: Iterable[tuple[PassageId, ...]]) -> models.Filter:
    """Points by any of their names: a tenant's own id, or the point id that a hit showed."""
    return models.Filter(
        must=[models.HasIdCondition(has_id=list({str(n): n for pair in names for n in pair}.values()))]
    )
