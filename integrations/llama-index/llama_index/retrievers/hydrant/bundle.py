"""A query bundle that carries what LlamaIndex's own has no room for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import QueryBundle

from hydrant import Expansion

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters
    from qdrant_client import models


@dataclass
class HydrantQueryBundle(QueryBundle):
    """A query with settings of its own; query engines hand it through to the retriever as they do any other.

    Attributes:
        similarity_top_k: How many nodes are wanted; None for what the retriever says.
        filters: What they must fulfil, beside the retriever's own filters.
        tenant: Whose they are. A retriever that is bound to a tenant refuses another one.
        expansions: What was added to the query, such as hypotheses; `HydrantHyDE` puts them here.
        degraded: What went wrong before the search.
    """

    similarity_top_k: int | None = None
    filters: MetadataFilters | models.Filter | Mapping[str, Any] | None = None
    tenant: str | int | None = None
    expansions: tuple[Expansion, ...] = ()
    degraded: tuple[str, ...] = ()
