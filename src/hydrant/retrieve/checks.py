"""Whether a retriever's settings fit its collection and each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from hydrant.collection.base import CollectionBase
from hydrant.errors import ConfigurationError
from hydrant.retrieve.after import After, Mmr
from hydrant.retrieve.fusion import Fusion
from hydrant.retrieve.numbers import check_count

FUSION = "fusion"


def known_sources(collection: CollectionBase, sources: Sequence[str], rescore: str | None) -> tuple[str, ...]:
    """The sources that are asked: those named, or all but the one that rescores.

    Raises:
        ConfigurationError: The collection lacks one, one is named twice, or nothing is left to be rescored.
    """
    _check_known(collection, sources)
    if rescore is not None:
        _check_known(collection, (rescore,))
    asked = tuple(sources) or tuple(name for name in collection.sources if name != rescore)
    if len(set(asked)) < len(asked):
        msg = f"a source can be asked once, got {list(asked)}"
        raise ConfigurationError(msg)
    if not asked or rescore in asked:
        msg = f"rescore={rescore!r} ranks what other sources find, so it can be none of sources={list(asked)}"
        raise ConfigurationError(msg)
    return asked


def check_depth(collection: CollectionBase, depth: int | Mapping[str, int]) -> None:
    """Refuse depths that are no numbers, or are for no source.

    Raises:
        ConfigurationError: A depth for a source that the collection lacks.
        InputError: A depth that is no whole number of at least 1.
    """
    if not isinstance(depth, Mapping):
        check_count("depth", depth)
        return
    _check_known(collection, depth)
    for name, value in depth.items():
        check_count(f"depth of {name!r}", value)


def check_thresholds(thresholds: Mapping[str, float], sources: Sequence[str], rescore: str | None) -> None:
    """Refuse thresholds that are no numbers, or for nothing that scores.

    Raises:
        ConfigurationError: One is.
    """
    if not isinstance(thresholds, Mapping):
        msg = f"thresholds must be a mapping such as {{'dense': 0.3}}, got {thresholds!r}"
        raise ConfigurationError(msg)
    stages = list(sources)
    if rescore is not None:
        stages.append(rescore)
    elif len(sources) > 1:
        stages.append(FUSION)
    idle = [name for name in thresholds if name not in stages]
    if idle:
        msg = f"thresholds may name {sorted(stages)} here; got {idle}"
        raise ConfigurationError(msg)
    for name, value in thresholds.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            msg = f"threshold of {name!r} must be a finite number, got {value!r}"
            raise ConfigurationError(msg)


def check_after(collection: CollectionBase, after: After, fusion: Fusion, sources: Sequence[str]) -> None:
    """Refuse steps that do not go with the fusion or the sources.

    Raises:
        ConfigurationError: One does not.
    """
    fuses = len(sources) > 1 and after.rescore is None
    if fuses and after.in_qdrant and fusion.query() is None:
        msg = (
            f"boosts, diversity and groups are Qdrant's, and it cannot compute {fusion!r}; use fusion=Rrf() or Dbsf(), "
            "or rescore=..."
        )
        raise ConfigurationError(msg)
    if after.mmr is not None:
        diversity_source(collection, after.mmr)
    asked = [name for name in (*sources, after.rescore) if name is not None]
    distances = [name for name in asked if measures_distance(collection, name)]
    scored = sorted(set(distances) & set(sources))
    if fuses and after.in_qdrant and scored and not fusion.by_rank:
        msg = (
            f"boosts, diversity and groups are Qdrant's, and its {fusion!r} takes distances, as the scores of {scored} "
            "are, the wrong way round; use fusion=Rrf(), or rescore=..."
        )
        raise ConfigurationError(msg)
    if after.boosts and distances and not (fuses and fusion.by_rank):
        msg = f"a boost would push passages down where scores are distances, as those of {distances} are; use Rrf()"
        raise ConfigurationError(msg)


def measures_distance(collection: CollectionBase, source: str) -> bool:
    """Whether a source's scores are distances, of which the lower one is better."""
    vector = collection.profile.dense.get(collection.sources[source].vector)
    return vector is not None and not vector.more_is_better


def diversity_source(collection: CollectionBase, mmr: Mmr) -> str:
    """The source that diversity is measured by.

    Raises:
        ConfigurationError: It has no single dense vector a point, or there is none that has.
    """
    have = [name for name, source in collection.sources.items() if source.encoder.kind == "dense"]
    if mmr.source is None and have:
        return have[0]
    if mmr.source not in have:
        wanted = "none was named" if mmr.source is None else f"got {mmr.source!r}"
        msg = f"Mmr measures by a source of single dense vectors; collection {collection.name!r} has {have}, {wanted}"
        raise ConfigurationError(msg)
    return mmr.source


def _check_known(collection: CollectionBase, names: Iterable[str]) -> None:
    have = collection.sources
    unknown = [name for name in names if not isinstance(name, str) or name not in have]
    if unknown:
        msg = f"collection {collection.name!r} has the sources {sorted(have)}; got {unknown}"
        raise ConfigurationError(msg)
