"""Examples for a prompt, the ones nearest to the question."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self

from langchain_core.example_selectors import BaseExampleSelector
from pydantic import field_validator
from typing_extensions import override

from hydrant import Collection, IndexReport, Passage, Query, SearchResult, Stage
from hydrant.errors import ConfigurationError, InputError
from langchain_hydrant._arguments import Count, Declared, Seconds, Stages, Tenant, check_filter
from langchain_hydrant._tracing import amanager_of, asearch, manager_of, search

_NAMESPACE = uuid.UUID("0c2a4f0e-54b8-5b0a-9c0e-3d3d0a6a3b11")


class HydrantExampleSelector(BaseExampleSelector, Declared):
    """Chooses examples for few-shot prompts by any Hydrant search: hybrid, reranked, filtered.

        selector = HydrantExampleSelector(collection=examples, k=2, input_keys=["question"])
        FewShotPromptTemplate(example_selector=selector, ...)

    An example is searched by the values of its input keys; what comes back is the example as it was added, best first.
    """

    collection: Any
    """A `hydrant.Collection` that holds the examples."""

    pipeline: Stages | None = None
    """What searches; None for all sources of the collection."""

    k: Count = 4
    """How many examples."""

    input_keys: list[str] | None = None
    """By which of its values an example is searched, and with which of the prompt's variables; None for all."""

    example_keys: list[str] | None = None
    """Which keys of an example come back; None for all."""

    filter: Any = None
    """A mapping such as `{"lang": "en"}`, or a `qdrant_client.models.Filter`."""

    tenant: Tenant | None = None
    """Whose examples, in a collection that has tenants."""

    deadline: Seconds | None = None
    """Seconds until there must be an answer."""

    @field_validator("collection")
    @classmethod
    def _checked_collection(cls, collection: Any) -> Any:
        if isinstance(collection, Collection):
            return collection
        msg = f"collection must be a hydrant Collection, got {collection!r} that is a {type(collection).__name__}"
        raise ConfigurationError(msg)

    @field_validator("filter")
    @classmethod
    def _checked_filter(cls, wanted: Any) -> Any:
        return check_filter(wanted)

    @classmethod
    def from_examples(
        cls, examples: Sequence[Mapping[str, str]], collection: Collection, **settings: Any
    ) -> Self:
        """A selector over examples, which are put into the collection.

        Args:
            examples: The examples.
            collection: Where they go.
            **settings: The fields of the class.

        Raises:
            InputError: One of them cannot be indexed.
        """
        selector = cls(collection=collection, **settings)
        passages = [selector._passage(example) for example in examples]
        _check(collection.indexer(progress=False).add(passages, tenant=selector.tenant))
        return selector

    @override
    def add_example(self, example: dict[str, str]) -> str:
        """Put an example in; the same one again adds nothing.

        Args:
            example: Its values by their keys.

        Returns:
            Its id.

        Raises:
            InputError: It lacks an input key, or has no text to search it by.
        """
        passage = self._passage(example)
        _check(self.collection.indexer(progress=False).add([passage], tenant=self.tenant))
        return str(passage.id)

    @override
    async def aadd_example(self, example: dict[str, str]) -> str:
        """As `add_example`, without blocking the event loop."""
        passage = self._passage(example)
        _check(await self.collection.indexer(progress=False).aadd([passage], tenant=self.tenant))
        return str(passage.id)

    @override
    def select_examples(self, input_variables: dict[str, str]) -> list[dict[str, Any]]:
        """The examples nearest to what the prompt is filled with, best first.

        Args:
            input_variables: The prompt's variables.

        Raises:
            InputError: An input key is missing among them.
            EmptyQuery: They hold no text.
        """
        query = self._query(input_variables)
        return self._examples(search(self._search, query, manager_of(), self.deadline))

    @override
    async def aselect_examples(self, input_variables: dict[str, str]) -> list[dict[str, Any]]:
        """As `select_examples`, without blocking the event loop."""
        query = self._query(input_variables)
        return self._examples(await asearch(self._search, query, amanager_of(), self.deadline))

    @property
    def _search(self) -> Stage:
        found: Stage = self.collection.retriever() if self.pipeline is None else self.pipeline
        return found

    def _query(self, variables: Mapping[str, str]) -> Query:
        return Query(self._text(variables), filter=self.filter, tenant=self.tenant, limit=self.k)

    def _passage(self, example: Mapping[str, str]) -> Passage:
        # Two examples may ask the same and answer differently.
        content = json.dumps(dict(example), sort_keys=True, default=repr)
        return Passage(self._text(example), id=str(uuid.uuid5(_NAMESPACE, content)), metadata=dict(example))

    def _text(self, values: Mapping[str, str]) -> str:
        keys = sorted(values) if self.input_keys is None else self.input_keys
        missing = sorted(set(keys) - set(values))
        if missing:
            msg = f"an example and its prompt need the input keys {keys}; {missing} are missing, got {sorted(values)}"
            raise InputError(msg)
        return "\n".join(str(values[key]) for key in keys)

    def _examples(self, result: SearchResult) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in hit.metadata.items() if self._comes_back(key)}
            for hit in result.hits
        ]

    def _comes_back(self, key: str) -> bool:
        return self.example_keys is None or key in self.example_keys


def _check(report: IndexReport) -> None:
    if report.failures:
        msg = "; ".join(str(failure) for failure in report.failures)
        raise InputError(msg)
