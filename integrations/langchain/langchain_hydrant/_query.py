"""A question that carries what was made of it."""

from __future__ import annotations

from typing import Any, Self

from pydantic_core import core_schema

from hydrant import Query


class ExpandedQuery(str):
    """A question, with what a language model made of it.

    Anything that takes a text sees the question. A `HydrantRetriever` searches with the expansions too.

    Attributes:
        query: The question as Hydrant's query, expansions included.
    """

    query: Query
    __slots__ = ("query",)

    def __new__(cls, query: Query) -> Self:
        """The question of a query."""
        made = super().__new__(cls, query.text)
        made.query = query
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.query,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        """What a chain says of it in its schemas: a text."""
        own = core_schema.is_instance_schema(cls)
        return core_schema.json_or_python_schema(json_schema=core_schema.str_schema(), python_schema=own)

    @property
    def hypotheses(self) -> tuple[str, ...]:
        """What the language model wrote: hypothetical documents, other wordings, or whatever the expansion asks for."""
        return tuple(text for expansion in self.query.expansions for text in expansion.texts)
