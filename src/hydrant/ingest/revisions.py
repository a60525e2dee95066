"""Which files the collection holds, in which state, without a list of our own beside it.

Every chunk carries its file's revision: a digest of the file's bytes and of how it was cut, the number of its chunks, and its
path. Counting points by revision (one facet request) tells which files are there in full; a run that was interrupted
leaves a count that falls short, and the next run finishes that file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from hydrant.collection.base import CollectionBase
from hydrant.collection.payload import REVISION_KEY
from hydrant.collection.tenancy import restrict
from hydrant.flow import Flow
from hydrant.types import PassageId


@dataclass(frozen=True, slots=True)
class Revision:
    """A file in one state.

    Attributes:
        source: Its path.
        digest: Of its bytes and of how it was cut.
        chunks: How many passages it was cut into.
    """

    source: str
    digest: str
    chunks: int

    def __str__(self) -> str:
        return f"{self.digest}:{self.chunks}:{self.source}"

    @classmethod
    def parse(cls, text: str) -> Revision:
        """The revision that `str` wrote."""
        digest, chunks, source = text.split(":", 2)
        return cls(source, digest, int(chunks))


def digest(content_hash: str, chunking: Mapping[str, Any]) -> str:
    """The digest of a file's bytes together with how it is cut."""
    settings = json.dumps(dict(chunking), sort_keys=True)
    return hashlib.blake2b(f"{content_hash}{settings}".encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Stored:
    """The files a collection holds.

    Attributes:
        revisions: By path, the states of which there are chunks, and how many of each.
    """

    revisions: Mapping[str, Mapping[Revision, int]]

    def complete(self, source: str, wanted: str) -> Revision | None:
        """The file's state if it is the wanted one, all there, and nothing of another state is left."""
        states = self.revisions.get(source, {})
        if len(states) != 1:
            return None
        revision, count = next(iter(states.items()))
        return revision if revision.digest == wanted and count == revision.chunks else None


def stored_files(collection: CollectionBase, tenant: PassageId | None) -> Flow[Stored]:
    """Ask the collection which files it holds of a tenant's."""
    total = yield collection.call("count", exact=True)
    if total.count == 0:
        return Stored({})
    if REVISION_KEY not in collection.indexes:
        schema = models.PayloadSchemaType.KEYWORD
        yield collection.call("create_payload_index", field_name=REVISION_KEY, field_schema=schema, wait=True)
    condition = restrict(collection.tenant_field, collection.owner(tenant), None)
    facets = yield collection.call(
        "facet", key=REVISION_KEY, facet_filter=condition, limit=total.count, exact=True
    )
    revisions: dict[str, dict[Revision, int]] = {}
    for hit in facets.hits:
        if not hit.count:
            # An index remembers values for a while that no point has any more.
            continue
        revision = Revision.parse(str(hit.value))
        revisions.setdefault(revision.source, {})[revision] = hit.count
    return Stored(revisions)


def forget(
    collection: CollectionBase, source: str, tenant: PassageId | None, keep: Revision | None
) -> Flow[int]:
    """Delete a file's chunks, but for those of one revision; replies with how many went."""
    # Passages that were added by hand under the same source carry no revision, and are not ours to delete.
    spared: list[models.Condition] = [models.IsEmptyCondition(is_empty=models.PayloadField(key=REVISION_KEY))]
    if keep is not None:
        spared.append(_is(REVISION_KEY, str(keep)))
    stale = models.Filter(must=[_is(str(collection.payload.source), source)], must_not=spared)
    condition = restrict(collection.tenant_field, collection.owner(tenant), stale) or stale
    found = yield collection.call("count", count_filter=condition, exact=True)
    if found.count:
        yield collection.call("delete", points_selector=models.FilterSelector(filter=condition), wait=True)
    return int(found.count)


def _is(key: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))
