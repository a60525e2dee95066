"""What each source of a collection is asked: the query's vectors, encoded or given, checked and with their settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from qdrant_client import models

from hydrant.collection.base import CollectionBase
from hydrant.collection.compression import search_params
from hydrant.collection.sources import Source
from hydrant.encode.base import Encode
from hydrant.errors import InputError
from hydrant.flow import Flow
from hydrant.retrieve.after import Mmr
from hydrant.retrieve.boosts import Boost, Context, formula
from hydrant.retrieve.expanding import Expanded, expand
from hydrant.retrieve.request import Ask, Level
from hydrant.retrieve.vectors import checked_query
from hydrant.types import Query

# How many candidates each source contributes at least; chosen in benchmarks/README.md ("Default fusion").
DEFAULT_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Asking:
    """Turns a query into what each source is asked.

    Attributes:
        collection: Whose sources.
        depth: How many candidates each contributes, or how many each by name.
        thresholds: The worst score that counts, by source.
        params: Qdrant's search parameters; None for those that suit a vector's compression.
    """

    collection: CollectionBase
    depth: int | Mapping[str, int]
    thresholds: Mapping[str, float]
    params: models.SearchParams | None

    def asks(self, query: Query, sources: Sequence[str]) -> Flow[list[Ask]]:
        """What each of the sources is asked; those to which the query says nothing are left out.

        Raises:
            InputError: There are query vectors for sources that the collection lacks, or they are no mapping, or name points
                that may be another tenant's.
            VectorMismatch: A query vector does not fit the collection.
        """
        if not isinstance(query.vectors, Mapping):
            msg = f"query vectors must be a mapping from sources to vectors, got {query.vectors!r}"
            raise InputError(msg)
        have = self.collection.sources
        unknown = [name for name in query.vectors if name not in have]
        if unknown:
            msg = f"collection {self.collection.name!r} has the sources {sorted(have)}; got query vectors for {unknown}"
            raise InputError(msg)
        asks = []
        for name in sources:
            ask = yield from self.ask(query, name)
            if not says_nothing(ask):
                asks.append(ask)
        # What only ranks others' candidates finds nothing by itself where those have nothing to ask.
        silent = len(asks) < len(sources) and all(ask.ranks for ask in asks)
        return [] if silent else asks

    def ask(self, query: Query, name: str) -> Flow[Ask]:
        """What one source is asked."""
        source = self.collection.sources[name]
        given = query.vectors.get(name)
        if isinstance(given, models.RelevanceFeedbackQuery) and self.collection.tenant_field is not None:
            _check_names_no_points(given, name)
        vector = (yield Encode(source.encoder, [query.text], "query"))[0] if given is None else given
        expanded = Expanded(checked_query(vector, source.encoder.kind, self.collection.profile, source))
        if given is None and query.expansions:
            expanded = yield from expand(query, expanded.vector, source, self.collection)
        return Ask(
            source=name,
            using=source.vector or None,
            vector=expanded.vector,
            threshold=self.thresholds.get(name),
            depth=self.depth.get(name, DEFAULT_DEPTH) if isinstance(self.depth, Mapping) else self.depth,
            params=self._params(source),
            ranks=not source.encoder.graph,
            others=expanded.others,
            best=expanded.best,
            missing=expanded.missing,
        )

    def boosted(self, boosts: Sequence[Boost], query: Query) -> Level:
        """The ranking by the boosted score."""
        collection = self.collection
        context = Context(collection.payload.key, lambda wanted: collection.condition(wanted, query.tenant))
        return Level(formula(boosts, context))

    def diverse(self, mmr: Mmr, source: str, query: Query, asks: Sequence[Ask]) -> Flow[Level]:
        """The ranking by maximal marginal relevance."""
        known = next((ask for ask in asks if ask.source == source), None)
        ask = (yield from self.ask(query, source)) if known is None else known
        depth = max(self.depth.values()) if isinstance(self.depth, Mapping) else self.depth
        candidates = max(depth, query.limit or 0) if mmr.candidates is None else mmr.candidates
        vector = ask.vector
        if isinstance(vector, models.RelevanceFeedbackQuery):
            vector = vector.relevance_feedback.target
        nearest = models.NearestQuery(
            nearest=vector, mmr=models.Mmr(diversity=mmr.diversity, candidates_limit=candidates)
        )
        return Level(nearest, ask.using, params=ask.params)

    def _params(self, source: Source) -> models.SearchParams | None:
        if self.params is not None:
            return self.params
        vector = self.collection.profile.dense.get(source.vector)
        return None if vector is None else search_params(vector.compression)


def says_nothing(ask: Ask) -> bool:
    """Whether the query has no term that the source could look for."""
    return isinstance(ask.vector, models.SparseVector) and not ask.vector.indices


def _check_names_no_points(query: models.RelevanceFeedbackQuery, source: str) -> None:
    """Refuse points in place of vectors: no filter keeps Qdrant from reading those of another tenant.

    Raises:
        InputError: There is one.
    """
    asked = query.relevance_feedback
    for vector in (asked.target, *(item.example for item in asked.feedback)):
        if isinstance(vector, int | str | UUID):
            msg = (
                f"a relevance feedback query of source {source!r} must give vectors where a collection has tenants, as a "
                f"point may be another tenant's; got the point {vector!r}"
            )
            raise InputError(msg)
