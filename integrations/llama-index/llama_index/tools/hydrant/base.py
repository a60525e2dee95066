"""A search as a tool for agents, with filters only on declared fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from llama_index.core.bridge.pydantic import BaseModel, Field, create_model
from llama_index.core.schema import MetadataMode, NodeWithScore
from llama_index.core.tools import FunctionTool, ToolMetadata
from llama_index.core.tools.tool_spec.base import BaseToolSpec

from hydrant.errors import ConfigurationError, FilterError
from llama_index.retrievers.hydrant import HydrantQueryBundle, HydrantRetriever

if TYPE_CHECKING:
    from llama_index.core.tools.tool_spec.base import SPEC_FUNCTION_TYPE

_TYPES: Mapping[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_MOST = 50
_RESERVED = frozenset({"query", "limit"})


class HydrantToolSpec(BaseToolSpec):
    """Search as a tool: an agent gives the question, how many passages it wants, and values of declared fields.

    Undeclared fields cannot be filtered by, and the retriever's own filters and tenant always hold. What the agent reads
    is a numbered list of passages; the tool's `raw_output` is the nodes.

    Args:
        retriever: The search.
        name: The tool's name.
        description: When to use it, for the agent.
        filter_fields: Fields an agent may filter by, with the type of each: "str", "int", "float" or "bool".
        limit: How many passages, where the agent does not say.

    Raises:
        ConfigurationError: A setting that cannot work.
    """

    spec_functions: ClassVar[list[SPEC_FUNCTION_TYPE]] = [("search", "asearch")]  # type: ignore[misc]

    def __init__(
        self,
        retriever: HydrantRetriever,
        *,
        name: str = "search",
        description: str = "Search the documents for passages that answer a question.",
        filter_fields: Mapping[str, str] | None = None,
        limit: int = 5,
    ) -> None:
        if not isinstance(retriever, HydrantRetriever):
            msg = f"retriever must be a HydrantRetriever, got {retriever!r} that is a {type(retriever).__name__}"
            raise ConfigurationError(msg)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _MOST:
            msg = f"limit must be a whole number from 1 to {_MOST}, got {limit!r}"
            raise ConfigurationError(msg)
        self._retriever = retriever
        self._name = name
        self._description = description
        self._fields = dict(filter_fields or {})
        self._limit = limit
        wrong = {
            field: kind for field, kind in self._fields.items() if kind not in _TYPES or field in _RESERVED
        }
        if wrong:
            msg = f"filter_fields must map fields other than {sorted(_RESERVED)} to one of the types {sorted(_TYPES)}; got {wrong}"
            raise ConfigurationError(msg)

    def search(self, query: str, limit: int | None = None, **filters: Any) -> list[NodeWithScore]:
        """The passages that answer a question, best first.

        Args:
            query: The question.
            limit: How many passages.
            **filters: Values that declared fields must have.
        """
        return self._retriever.retrieve(self._bundle(query, limit, filters))

    async def asearch(self, query: str, limit: int | None = None, **filters: Any) -> list[NodeWithScore]:
        """As `search`, without blocking the event loop."""
        return await self._retriever.aretrieve(self._bundle(query, limit, filters))

    def to_tool_list(
        self,
        spec_functions: list[SPEC_FUNCTION_TYPE] | None = None,
        func_to_metadata_mapping: dict[str, ToolMetadata] | None = None,
    ) -> list[FunctionTool]:
        """The tool."""
        own = (func_to_metadata_mapping or {}).get("search")
        metadata = own or ToolMetadata(self._description, self._name, self._schema())
        return [
            FunctionTool.from_defaults(
                fn=self.search, async_fn=self.asearch, tool_metadata=metadata, callback=shown
            )
        ]

    def _bundle(self, query: str, limit: int | None, filters: Mapping[str, Any]) -> HydrantQueryBundle:
        wanted = {field: value for field, value in filters.items() if value is not None}
        unknown = sorted(set(wanted) - set(self._fields))
        if unknown:
            msg = f"this tool filters by {sorted(self._fields)}; got {unknown}"
            raise FilterError(msg)
        # A language model may ask for any number; a page is enough.
        top_k = min(self._limit if limit is None else limit, _MOST)
        return HydrantQueryBundle(query, similarity_top_k=top_k, filters=wanted or None)

    def _schema(self) -> type[BaseModel]:
        fields: dict[str, Any] = {
            "query": (str, Field(description="The question, in full.")),
            "limit": (int, Field(default=self._limit, ge=1, le=_MOST, description="How many passages.")),
        }
        for field, kind in self._fields.items():
            described = Field(default=None, description=f"Only passages whose {field} is this.")
            fields[field] = (_TYPES[kind] | None, described)
        return create_model(self._name, **fields)


def shown(nodes: Sequence[NodeWithScore]) -> str:
    """Passages as an agent reads them, numbered, with the metadata that nodes show to language models."""
    if not nodes:
        return "No passage was found."
    return "\n\n".join(
        f"[{number}] {node.get_content(MetadataMode.LLM)}" for number, node in enumerate(nodes, 1)
    )
