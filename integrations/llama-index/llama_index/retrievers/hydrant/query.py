"""LlamaIndex's query bundles as Hydrant's queries."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydrant import Expansion, Pipeline, Query, Stage
from hydrant.errors import ConfigurationError, InputError
from llama_index.retrievers.hydrant.bundle import HydrantQueryBundle
from llama_index.retrievers.hydrant.filters import FiltersLike, both, to_filter

if TYPE_CHECKING:
    from llama_index.core.schema import QueryBundle

# What `custom_embedding_strs` are called in `result.expansions`.
CUSTOM = "custom_embedding_strs"


@dataclass(frozen=True)
class Bound:
    """What a retriever asks beside the query.

    Attributes:
        similarity_top_k: How many nodes, where the query does not say; None leaves it to the pipeline.
        filters: What every node must fulfil.
        tenant: Whose nodes.
        embedding_source: Which source a ready embedding is for; None for the only dense one.
    """

    similarity_top_k: int | None = None
    filters: FiltersLike | None = None
    tenant: str | int | None = None
    embedding_source: str | None = None

    def __post_init__(self) -> None:
        check_top_k(self.similarity_top_k)
        # A filter that cannot be translated is found here, and not at the first query.
        to_filter(self.filters)

    def query(self, bundle: QueryBundle, pipeline: Stage) -> Query:
        """The query that a bundle stands for; the bundle stays as it is.

        Raises:
            InputError: The bundle has an image, a ready embedding that no source takes, or another tenant than the
                retriever's.
            FilterError: Its filters cannot be translated.
        """
        if bundle.image_path is not None:
            msg = f"Hydrant searches by text; got a query with the image {bundle.image_path!r}"
            raise InputError(msg)
        own = bundle if isinstance(bundle, HydrantQueryBundle) else HydrantQueryBundle(bundle.query_str)
        check_top_k(own.similarity_top_k)
        top_k = self.similarity_top_k if own.similarity_top_k is None else own.similarity_top_k
        asked = Query(
            bundle.query_str,
            both(self.filters, own.filters),
            self._tenant(own),
            top_k,
            expansions=expansions_of(bundle),
        )
        if bundle.embedding is None:
            return asked
        source = self.embedding_source or only_dense_source(pipeline)
        return dataclasses.replace(asked, vectors={source: [float(value) for value in bundle.embedding]})

    def _tenant(self, own: HydrantQueryBundle) -> str | int | None:
        if self.tenant is not None and own.tenant not in {None, self.tenant}:
            msg = f"this retriever is bound to the tenant {self.tenant!r}; got a query for {own.tenant!r}"
            raise InputError(msg)
        return own.tenant if self.tenant is None else self.tenant


def expansions_of(bundle: QueryBundle) -> tuple[Expansion, ...]:
    """What a bundle adds to its query.

    Strings of somebody else's transform go through the query encoder, as LlamaIndex's own retrievers have it, and the
    query takes part in the mean as often as it stands among them.
    """
    if isinstance(bundle, HydrantQueryBundle) and bundle.expansions:
        return bundle.expansions
    strings = bundle.custom_embedding_strs or []
    texts = tuple(text for text in strings if text != bundle.query_str)
    if not texts:
        return ()
    return (Expansion(CUSTOM, texts, "query", query_weight=float(len(strings) - len(texts))),)


def only_dense_source(pipeline: Stage) -> str:
    """The source that a ready embedding is for.

    Raises:
        InputError: There is none, or there are several.
    """
    from hydrant import Retriever

    stages = pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,)
    names = {
        name
        for stage in stages
        if isinstance(stage, Retriever)
        for name in stage.sources
        if stage.collection.sources[name].encoder.kind == "dense"
    }
    if len(names) == 1:
        return names.pop()
    msg = (
        f"a query with a ready embedding needs a source that takes it; the pipeline searches the dense sources {sorted(names)}; "
        "say which with embedding_source=..., or leave the embedding out"
    )
    raise InputError(msg)


def check_deadline(deadline: Any) -> None:
    """Refuse what is no time to answer in.

    Raises:
        ConfigurationError: It is something else.
    """
    number = isinstance(deadline, int | float) and not isinstance(deadline, bool)
    if deadline is not None and not (number and deadline > 0):
        msg = f"deadline must be a number of seconds above 0, or None for no limit; got {deadline!r}"
        raise ConfigurationError(msg)


def check_top_k(top_k: Any) -> None:
    """Refuse what is no number of nodes.

    Raises:
        ConfigurationError: It is something else.
    """
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
        msg = f"similarity_top_k must be a whole number of at least 1, or None for the pipeline's own; got {top_k!r}"
        raise ConfigurationError(msg)
