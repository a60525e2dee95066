"""From what people hand in to passages that can be stored, each with its point id and payload."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from hydrant.collection.base import CollectionBase
from hydrant.collection.ids import content_id, point_id
from hydrant.collection.paths import place
from hydrant.collection.payload import BOOKKEEPING
from hydrant.errors import HydrantError, InputError
from hydrant.ingest.report import Tally
from hydrant.ingest.text import clean
from hydrant.types import Passage, PassageId

Item: TypeAlias = "str | Passage | Mapping[str, Any]"

_OWN_KEYS = frozenset({"text", "id", "_id", "title", "source", "metadata"})
_SHOWN = 60
# Qdrant would round what lies beyond.
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A passage ready to be encoded and written.

    Attributes:
        point_id: The id of its point.
        content: What the encoders see.
        payload: What is stored, bookkeeping included.
        label: What to call it in a report.
    """

    point_id: PassageId
    content: str
    payload: dict[str, Any]
    label: str

    @property
    def digests(self) -> Mapping[str, Any]:
        """What tells whether a stored point is still the same."""
        return self.payload[BOOKKEEPING]  # type: ignore[no-any-return]


class Preparer:
    """Prepares one run's passages for one collection and tenant; a passage that will not do goes on record.

    Within a run an id means one passage: the same again is counted as a duplicate, another under the same id is a
    failure, because silently keeping the last of two would lose one.
    """

    def __init__(self, collection: CollectionBase, tenant: PassageId | None, tally: Tally) -> None:
        self._collection = collection
        self._tenant = collection.owner(tenant)
        self._tally = tally
        self._seen: dict[PassageId, int] = {}

    def prepared(self, items: Iterable[Item]) -> Iterator[Prepared]:
        """The items that can be indexed."""
        for position, item in enumerate(items):
            label = item_label(position)
            try:
                passage = as_passage(item)
                label = _label(passage, position)
                prepared = self.prepare(passage, label)
            except (HydrantError, TypeError, ValueError, RecursionError) as error:
                # One bad item must not cost the others.
                self._tally.fail(label, str(error))
                continue
            if prepared is not None:
                yield prepared

    def prepare(self, passage: Passage, label: str, revision: str | None = None) -> Prepared | None:
        """One passage, or None where the run has had it already.

        Args:
            passage: The passage.
            label: What to call it in a report.
            revision: The state of the file it was cut from.

        Raises:
            InputError: It has no text, an id that will not do, or metadata that is not JSON.
        """
        passage = self._cleaned(passage, label)
        if not passage.text.strip():
            msg = f"text must not be blank, got {passage.text[:_SHOWN]!r}"
            raise InputError(msg)
        own = content_id(passage, self._tenant) if passage.id is None else point_id(passage.id, self._tenant)
        payload = self._collection.payload.payload(passage)
        if self._collection.tenant_field is not None:
            place(payload, self._collection.tenant_field, self._tenant)
        digests = {"content": _digest(passage.content), "payload": _digest(_json(payload))}
        named = passage.id is not None
        if self._is_repeated(own, f"{digests['content']}{digests['payload']}", label, named=named):
            return None
        payload[BOOKKEEPING] = digests if revision is None else {**digests, "revision": revision}
        return Prepared(own, passage.content, payload, label)

    def _cleaned(self, passage: Passage, label: str) -> Passage:
        if not isinstance(passage.text, str):
            msg = f"text must be a str, got {passage.text!r} that is a {type(passage.text).__name__}"
            raise InputError(msg)
        text, notes = clean(passage.text)
        for note in notes:
            self._tally.note(label, note)
        title = None if passage.title is None else clean(str(passage.title))[0]
        source = None if passage.source is None else clean(str(passage.source))[0]
        if not isinstance(passage.metadata, Mapping):
            msg = f"metadata must be a mapping, got {passage.metadata!r} that is a {type(passage.metadata).__name__}"
            raise InputError(msg)
        own = clean(passage.id)[0] if isinstance(passage.id, str) else passage.id
        return replace(
            passage,
            text=text,
            title=title,
            source=source,
            id=own,
            metadata=_cleaned(passage.metadata),
            origin=_cleaned(passage.origin),
        )

    def _is_repeated(self, own: PassageId, digests: str, label: str, *, named: bool) -> bool:
        mark = hash(digests)
        if own not in self._seen:
            self._seen[own] = mark
            return False
        if self._seen[own] == mark:
            self._tally.count("duplicates")
        else:
            same = "id" if named else "text and source, and other metadata: give them ids to keep both"
            self._tally.fail(
                label, f"another passage of this run has the same {same}; the first one was kept"
            )
        return True


def as_passage(item: Any) -> Passage:
    """A passage from a string, a `Passage`, or a record such as `{"text": ..., "title": ..., "year": 2020}`.

    Raises:
        InputError: It is none of these, or a record without text.
    """
    if isinstance(item, Passage):
        return item
    if isinstance(item, str):
        return Passage(item)
    if not isinstance(item, Mapping):
        msg = f"expected a str, a Passage or a mapping with a 'text', got {item!r} that is a {type(item).__name__}"
        raise InputError(msg)
    if "text" not in item:
        msg = f"a record needs a 'text'; got the keys {sorted(map(str, item))}"
        raise InputError(msg)
    rest = {key: value for key, value in item.items() if key not in _OWN_KEYS}
    own = item["id"] if item.get("id") is not None else item.get("_id")
    title = item.get("title")
    given = item.get("metadata")
    if given is not None and not isinstance(given, Mapping):
        msg = f"metadata must be a mapping, got {given!r} that is a {type(given).__name__}"
        raise InputError(msg)
    metadata = {**(given or {}), **rest}
    # A blank title, as BEIR's corpora have where there is none, says nothing.
    return Passage(item["text"], own, None if title == "" else title, item.get("source"), metadata)


def _label(passage: Passage, position: int) -> str:
    name = passage.source if passage.id is None else passage.id
    return item_label(position) if name is None else str(name)


def item_label(position: int) -> str:
    """What a report calls an item that has neither an id nor a source, by its place in the input, from 0."""
    return f"item {position}"


def _cleaned(value: Any) -> Any:
    """JSON values with every string clean; what is not JSON is left for `_json` to refuse."""
    if isinstance(value, str):
        return clean(value)[0]
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            msg = f"the keys of metadata must be strings, got {odd[0]!r} that is a {type(odd[0]).__name__}"
            raise InputError(msg)
        return {_cleaned(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, int) and not _SMALLEST <= value <= _LARGEST:
        msg = f"whole numbers in metadata must fit 64 bits, got {value!r}; store it as text"
        raise InputError(msg)
    if isinstance(value, list | tuple):
        return [_cleaned(each) for each in value]
    return value


def _json(payload: Mapping[str, Any]) -> str:
    try:
        return json.dumps(payload, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        msg = f"metadata must be JSON values (text, numbers, true, false, null, lists, mappings): {error}"
        raise InputError(msg) from error


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
