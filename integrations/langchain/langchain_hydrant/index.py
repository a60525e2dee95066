"""A collection as LangChain's document index: written to by id, searched as a retriever."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.documents import Document
from langchain_core.indexing import DeleteResponse, DocumentIndex, UpsertResponse
from pydantic import field_validator, model_validator
from typing_extensions import override

from hydrant import Collection, IndexReport, Passage
from hydrant.errors import ConfigurationError, InputError
from langchain_hydrant._arguments import UNSET, check_known
from langchain_hydrant._convert import checked, own_metadata, shown_metadata
from langchain_hydrant.retriever import HydrantRetriever

if TYPE_CHECKING:
    from hydrant import PayloadMap

_LOG = logging.getLogger("langchain_hydrant")
# The largest number that Qdrant takes as an id.
_LARGEST = 2**64 - 1
_NAMESPACE = uuid.UUID("c5c1b7b1-0d7e-5a55-8a53-6f3f0a5d3a52")


class HydrantIndex(HydrantRetriever, DocumentIndex):
    """A Hydrant collection that documents are put into, and found in.

        index = HydrantIndex(collection=docs)
        index.upsert([Document("Keys are rotated with keyctl.", id="faq-7")])
        index.invoke("How do I rotate the keys?", k=3)

    With a record manager, `langchain_core.indexing.index(documents, records, index, upsert_kwargs={"on_error": "raise"})`
    writes what is new and deletes what is gone.

    Any string is an id. A document without one has one made from its content, so that putting it in twice adds nothing.
    Metadata named `title` and `source` become the passage's own, where the collection's layout has a place for them: a title
    is embedded in front of the text. A collection in the layout of langchain_qdrant (`PayloadMap.langchain()`) keeps no ids
    but its points', which are UUIDs or numbers; documents under other ids are found under a UUID made from theirs.
    """

    collection: Any
    """A `hydrant.Collection`."""

    @model_validator(mode="before")
    @classmethod
    def _with_pipeline(cls, given: Any) -> Any:
        """A retriever over the collection, where no pipeline is given."""
        collection = given.get("collection") if isinstance(given, Mapping) else None
        if isinstance(collection, Collection) and given.get("pipeline") is None:
            return {**given, "pipeline": collection.retriever()}
        return given

    @field_validator("collection")
    @classmethod
    def _checked_collection(cls, collection: Any) -> Any:
        if isinstance(collection, Collection):
            return collection
        msg = (
            "collection must be a hydrant Collection, from Collection.create(...) or Collection.open(...); "
            f"got {collection!r} that is a {type(collection).__name__}"
        )
        raise ConfigurationError(msg)

    @override
    def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """Put documents in; one whose id is there takes its place.

        Args:
            items: The documents.
            **kwargs: `tenant`, whose they are; `on_error`, "report" to put documents that cannot be indexed (without text, or
                with metadata that is not JSON) under "failed" and into the log, "raise" to make that an error.

        Returns:
            The ids that are stored now, in the order of the documents, and those that are not.

        Raises:
            UnknownArgument: Another keyword was given.
            InputError: Something is no document; or one cannot be indexed, with on_error="raise"; the others are.
        """
        on_error, tenant = self._upserting(kwargs)
        passages = [self._passage(document) for document in checked(items)]
        report = self.collection.indexer(progress=False).add(passages, tenant=tenant)
        return _upserted(passages, report, on_error)

    @override
    async def aupsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """As `upsert`, without blocking the event loop."""
        on_error, tenant = self._upserting(kwargs)
        passages = [self._passage(document) for document in checked(items)]
        report = await self.collection.indexer(progress=False).aadd(passages, tenant=tenant)
        return _upserted(passages, report, on_error)

    @override
    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Delete documents by id.

        Args:
            ids: Their ids; those that are not there are no failure.
            **kwargs: `tenant`, whose they are.

        Returns:
            The ids that were deleted.

        Raises:
            InputError: No ids were given.
            UnknownArgument: Another keyword was given.
        """
        wanted = _wanted(ids)
        tenant = self._tenant(kwargs)
        there = self.collection.find(_names(wanted), tenant=tenant)
        if there:
            self.collection.delete(list(there), tenant=tenant)
        return _deleted(wanted, there)

    @override
    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """As `delete`, without blocking the event loop."""
        wanted = _wanted(ids)
        tenant = self._tenant(kwargs)
        there = await self.collection.afind(_names(wanted), tenant=tenant)
        if there:
            await self.collection.adelete(list(there), tenant=tenant)
        return _deleted(wanted, there)

    @override
    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """The documents with these ids, in their order; those that are not there are left out.

        Args:
            ids: The ids.
            **kwargs: `tenant`, whose they are.

        Raises:
            UnknownArgument: Another keyword was given.
        """
        wanted = _wanted(ids)
        return _documents(wanted, self.collection.find(_names(wanted), tenant=self._tenant(kwargs)))

    @override
    async def aget(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """As `get`, without blocking the event loop."""
        wanted = _wanted(ids)
        return _documents(wanted, await self.collection.afind(_names(wanted), tenant=self._tenant(kwargs)))

    def _tenant(self, given: Mapping[str, Any]) -> str | int | None:
        check_known(given, {"tenant"}, f"this call of {type(self).__name__}")
        tenant = given.get("tenant", UNSET)
        return self.tenant if tenant is UNSET else tenant

    def _upserting(self, given: Mapping[str, Any]) -> tuple[Literal["report", "raise"], str | int | None]:
        check_known(given, {"on_error", "tenant"}, f"upsert of {type(self).__name__}")
        on_error = given.get("on_error", "report")
        if on_error not in {"report", "raise"}:
            msg = f"on_error must be 'report' or 'raise', got {on_error!r}"
            raise ConfigurationError(msg)
        tenant = {name: value for name, value in given.items() if name == "tenant"}
        return on_error, self._tenant(tenant)

    def _passage(self, document: Document) -> Passage:
        layout: PayloadMap = self.collection.payload
        metadata = own_metadata(document)
        own = _id_of(document, metadata) if document.id is None else document.id
        parts: dict[str, str] = {}
        for name, path in (("title", layout.title), ("source", layout.source)):
            value = metadata.get(name)
            if path is None or not isinstance(value, str):
                continue
            parts[name] = value
            if layout.metadata is None and path == name:
                # Beside the text there is one place for it.
                metadata = {key: each for key, each in metadata.items() if key != name}
        return Passage(
            document.page_content,
            id=own,
            title=parts.get("title"),
            source=parts.get("source"),
            metadata=metadata,
        )


def _id_of(document: Document, metadata: Mapping[str, Any]) -> str:
    """The same for documents of the same content."""
    content = json.dumps([document.page_content, metadata], sort_keys=True, default=repr)
    return str(uuid.uuid5(_NAMESPACE, content))


def _wanted(ids: Iterable[str] | None) -> list[str]:
    if ids is None or isinstance(ids, str):
        msg = f"ids must be a list of ids, got {ids!r}"
        raise InputError(msg)
    return list(dict.fromkeys(ids))


def _names(ids: Iterable[str]) -> list[str | int]:
    """The ids, and the numbers among them: a document's id is always a string, a point's may be a number."""
    return [name for own in ids for name in _meant(own)]


def _meant(own: str) -> tuple[str | int, ...]:
    is_number = own.isascii() and own.isdecimal() and str(int(own)) == own
    return (own, int(own)) if is_number and int(own) <= _LARGEST else (own,)


def _present(wanted: Iterable[str], there: Mapping[str | int, Passage]) -> dict[str, Passage]:
    """What is there, by the ids as LangChain has them."""
    names = {own: next((name for name in _meant(own) if name in there), None) for own in wanted}
    return {own: there[name] for own, name in names.items() if name is not None}


def _documents(wanted: Sequence[str], there: Mapping[str | int, Passage]) -> list[Document]:
    return [
        Document(id=own, page_content=passage.text, metadata=shown_metadata(passage))
        for own, passage in _present(wanted, there).items()
    ]


def _deleted(wanted: Sequence[str], there: Mapping[str | int, Passage]) -> DeleteResponse:
    gone = list(_present(wanted, there))
    return DeleteResponse(num_deleted=len(gone), succeeded=gone, num_failed=0, failed=[])


def _upserted(
    passages: Sequence[Passage], report: IndexReport, on_error: Literal["report", "raise"]
) -> UpsertResponse:
    ids = list(dict.fromkeys(str(passage.id) for passage in passages))
    if report.failures and on_error == "raise":
        reasons = "; ".join(str(failure) for failure in report.failures)
        msg = f"{len(report.failures)} of {len(passages)} documents could not be indexed: {reasons}"
        raise InputError(msg)
    for failure in report.failures:
        _LOG.warning("not indexed: %s", failure)
    failed = {failure.source for failure in report.failures}
    return UpsertResponse(
        succeeded=[own for own in ids if own not in failed], failed=[own for own in ids if own in failed]
    )
