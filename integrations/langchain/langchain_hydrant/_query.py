"""A question that carries what was made of it."""

from __future__ import annotations

from typing import Any, Self

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

    @property
    def hypotheses(self) -> tuple[str, ...]:
        """What the language model wrote: hypothetical documents, other wordings, or whatever the expansion asks for."""
        return tuple(text for expansion in self.query.expansions for text in expansion.texts)
