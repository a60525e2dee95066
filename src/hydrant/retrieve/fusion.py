"""How the rankings of several sources become one.

`Rrf` without weights and `Dbsf` are computed by Qdrant inside the request. Weighted RRF, `Convex`, `CombSum` and `CombMnz`
are computed here from the sources' own rankings, which come back in the same request: Qdrant's RRF weight stretches
ranks instead of scaling a source's vote, and it has none of the others.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import TypeAlias, TypeVar

from qdrant_client import models

from hydrant.errors import ConfigurationError

Id = TypeVar("Id", bound=Hashable)
Ranking = Sequence[tuple[Id, float]]
Depth: TypeAlias = "int | Mapping[str, int] | None"


class Fusion(ABC):
    """A way to make one ranking of several. Immutable and comparable.

    Attributes:
        weights: How much each source counts, where the fusion has weights.
        by_rank: Whether only ranks count, so that it does not matter on which scale the scores are.
    """

    weights: Mapping[str, float] | None = None
    by_rank: bool = False

    def query(self) -> models.Query | None:
        """The fusion as Qdrant computes it, None where it has to be computed here."""
        return None

    @abstractmethod
    def fuse(self, rankings: Mapping[str, Ranking[Id]], depth: Depth = None) -> list[tuple[Id, float]]:
        """Fuse rankings that are already here.

        Args:
            rankings: By source, ids and scores, best first, higher meaning better.
            depth: How many hits each source was asked for, or how many by source where they differ; a shorter list is all
                that the source found. None where every list is.

        Returns:
            Ids and fused scores, best first. Equal scores keep the order in which the sources named them.
        """

    def check(self, sources: Sequence[str]) -> None:
        """Refuse weights that do not fit the sources.

        Raises:
            ConfigurationError: A weight for no source, or no weight above 0.
        """
        if self.weights is None:
            return
        unknown = sorted(set(self.weights) - set(sources))
        if unknown:
            msg = f"fusion weights name {unknown}, but the sources are {sorted(sources)}"
            raise ConfigurationError(msg)
        if not any(_weight(self.weights, name) for name in sources):
            msg = f"at least one weight must be above 0, got {dict(self.weights)!r} for the sources {sorted(sources)}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, slots=True)
class Rrf(Fusion):
    """Reciprocal rank fusion: the sum over sources of weight / (k + rank), ranks from 1.

    Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods",
    SIGIR 2009.

    Attributes:
        k: How little the first ranks stand out. Qdrant counts ranks from 0, so its own k is one higher.
        weights: How much each source's vote counts; a source that is not named counts 1.
    """

    k: int = 60
    weights: Mapping[str, float] | None = field(default=None, hash=False)

    by_rank = True

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            msg = f"k of Rrf must be a whole number of at least 1, got {self.k!r}"
            raise ConfigurationError(msg)
        object.__setattr__(self, "weights", _checked(self.weights))

    def query(self) -> models.Query | None:
        """Qdrant's RRF, where every source counts the same."""
        if self.weights is not None and any(weight != 1 for weight in self.weights.values()):
            return None
        return _rrf_query(self.k + 1)

    def fuse(self, rankings: Mapping[str, Ranking[Id]], depth: Depth = None) -> list[tuple[Id, float]]:
        """See `Fusion.fuse`."""
        totals: dict[Id, float] = {}
        get = totals.get
        for name, ranking in rankings.items():
            weight = _weight(self.weights, name)
            for place, (each, _) in enumerate(ranking, self.k + 1):
                totals[each] = get(each, 0.0) + weight / place
        return _best_first(totals)


@dataclass(frozen=True, slots=True)
class Dbsf(Fusion):
    """Distribution-based score fusion: scores on a scale of mean ± 3 standard deviations of their list, then summed.

    Computed by Qdrant, with the sample's deviation; a list of one, or of equal scores, counts 0.5 each.
    """

    def query(self) -> models.Query | None:
        """Qdrant's DBSF."""
        return models.FusionQuery(fusion=models.Fusion.DBSF)

    def fuse(self, rankings: Mapping[str, Ranking[Id]], depth: Depth = None) -> list[tuple[Id, float]]:
        """See `Fusion.fuse`."""
        return _best_first(_added([(ranking, _three_deviations(ranking)) for ranking in rankings.values()]))


@dataclass(frozen=True, slots=True)
class Convex(Fusion):
    """A weighted mean of the shares that a passage's scores are of each source's best.

    A share is 1 for the source's best hit and 0 for its floor, the lowest score that it can give: 0 for BM25 and learned
    sparse vectors. A dense model uses whatever stretch of the cosine it was trained to, so its floor is not known; scores
    fall about with the logarithm of the rank, and a list is taken for the upper half of the way down. A passage that
    a source did not return counts as the last one that it did, or as the floor where the list shows all there is.

    Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023, on convex combinations,
    normalisation and theoretical minima.

    Attributes:
        weights: How much each source counts; they are divided by their sum. A source that is not named counts 1.
        floors: The lowest score that a source can give, by source, where that is known.
    """

    weights: Mapping[str, float] | None = field(default=None, hash=False)
    floors: Mapping[str, float] = field(default_factory=lambda: {"sparse": 0.0}, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _checked(self.weights))
        object.__setattr__(self, "floors", _checked_floors(self.floors))

    def fuse(self, rankings: Mapping[str, Ranking[Id]], depth: Depth = None) -> list[tuple[Id, float]]:
        """See `Fusion.fuse`."""
        total = sum(_weight(self.weights, name) for name in rankings)
        if total <= 0:
            return []
        base = 0.0
        scaled = []
        for name, ranking in rankings.items():
            own = depth.get(name) if isinstance(depth, Mapping) else depth
            scale, missing = _share(ranking, self.floors.get(name), own, _weight(self.weights, name) / total)
            scaled.append((ranking, scale))
            base += missing
        return _best_first(_added(scaled, base))


@dataclass(frozen=True, slots=True)
class CombSum(Fusion):
    """The sum of a passage's scores, each list's brought to 0..1 between its worst and its best.

    A passage that a source did not return has 0 there, and so has the last one that it did; where all of a list's scores
    are equal, each is its best. Fox and Shaw, "Combination of Multiple Searches", TREC-2, 1994; the scale is Lee's,
    "Analyses of Multiple Evidence Combination", SIGIR 1997.

    Attributes:
        weights: What each source's scores are multiplied by; a source that is not named counts 1.
    """

    weights: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _checked(self.weights))

    def fuse(self, rankings: Mapping[str, Ranking[Id]], depth: Depth = None) -> list[tuple[Id, float]]:
        """See `Fusion.fuse`."""
        return _best_first(_added(_scaled(rankings, self.weights)))


@dataclass(frozen=True, slots=True)
class CombMnz(Fusion):
    """`CombSum`, multiplied by the number of sources that returned the passage: agreement counts more than a high score.

    A source of weight 0 is not counted. Fox and Shaw, as above.

    Attributes:
        weights: What each source's scores are multiplied by; a source that is not named counts 1.
    """

    weights: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", _checked(self.weights))

    def fuse(self, rankings: Mapping[str, Ranking[Id]], depth: Depth = None) -> list[tuple[Id, float]]:
        """See `Fusion.fuse`."""
        totals = _added(_scaled(rankings, self.weights))
        holders = Counter(
            itertools.chain.from_iterable(
                map(itemgetter(0), ranking)
                for name, ranking in rankings.items()
                if _weight(self.weights, name) > 0
            )
        )
        return _best_first({each: holders[each] * total for each, total in totals.items()})


def interpolate(a: Ranking[Id], b: Ranking[Id], alpha: float = 0.5) -> list[tuple[Id, float]]:
    """Two rankings of one question as one, such as those before and after feedback.

    Both are brought to 0..1 as in `CombSum`; the result is alpha * a + (1 - alpha) * b. The formula is that by which RM3
    mixes the question with its feedback (Abdul-Jaleel et al., "UMass at TREC 2004"), here on scores.

    Args:
        a: Ids and scores, best first, higher meaning better.
        b: The other ranking, likewise.
        alpha: How much `a` counts, 0 to 1. At 0 and 1 the passages of the other ranking come last, all with 0.

    Raises:
        ConfigurationError: `alpha` is no number from 0 to 1.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        msg = f"alpha must be a number from 0 to 1, got {alpha!r}"
        raise ConfigurationError(msg)
    return CombSum({"a": alpha, "b": 1 - alpha}).fuse({"a": a, "b": b})


@lru_cache(maxsize=32)
def _rrf_query(k: int) -> models.RrfQuery:
    return models.RrfQuery(rrf=models.Rrf(k=k))


def _checked(weights: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """The weights as a mapping of our own."""
    if weights is None:
        return None
    if not isinstance(weights, Mapping):
        msg = f"weights must be a mapping such as {{'dense': 2.0}}, got {weights!r}"
        raise ConfigurationError(msg)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            msg = f"weight of source {name!r} must be a number of at least 0, got {weight!r}"
            raise ConfigurationError(msg)
    return dict(weights)


def _checked_floors(floors: Mapping[str, float]) -> Mapping[str, float]:
    """The floors as a mapping of our own."""
    if not isinstance(floors, Mapping):
        msg = f"floors must be a mapping such as {{'sparse': 0.0}}, got {floors!r}"
        raise ConfigurationError(msg)
    for name, floor in floors.items():
        if isinstance(floor, bool) or not isinstance(floor, int | float) or not math.isfinite(floor):
            msg = f"floor of source {name!r} must be a finite number, got {floor!r}"
            raise ConfigurationError(msg)
    return dict(floors)


def _weight(weights: Mapping[str, float] | None, name: str) -> float:
    return 1.0 if weights is None else float(weights.get(name, 1.0))


@dataclass(frozen=True, slots=True)
class _Scale:
    """What a list's scores are to the fusion: factor * (score - shift), or the constant where the factor is 0."""

    factor: float
    shift: float = 0.0
    constant: float = 0.0


def _added(lists: Sequence[tuple[Ranking[Id], _Scale]], base: float = 0.0) -> dict[Id, float]:
    """What every passage has over all lists, on top of the base."""
    totals: dict[Id, float] = {}
    get = totals.get
    for ranking, scale in lists:
        factor, shift = scale.factor, scale.shift
        if factor:
            for each, score in ranking:
                totals[each] = get(each, base) + factor * (score - shift)
        else:
            for each, _ in ranking:
                totals[each] = get(each, base) + scale.constant
    return totals


def _best_first(totals: Mapping[Id, float]) -> list[tuple[Id, float]]:
    return sorted(totals.items(), key=itemgetter(1), reverse=True)


def _span(ranking: Ranking[Id]) -> tuple[float, float]:
    """The worst and the best score of a list that is not empty."""
    scores = [score for _, score in ranking]
    return min(scores), max(scores)


def _scaled(
    rankings: Mapping[str, Ranking[Id]], weights: Mapping[str, float] | None
) -> list[tuple[Ranking[Id], _Scale]]:
    return [(ranking, _min_max(ranking, _weight(weights, name))) for name, ranking in rankings.items()]


def _min_max(ranking: Ranking[Id], weight: float) -> _Scale:
    """From 0 for the list's worst to the weight for its best."""
    low, high = _span(ranking) if ranking else (0.0, 0.0)
    return _Scale(weight / (high - low), low) if high > low else _Scale(0.0, constant=weight)


def _share(
    ranking: Ranking[Id], floor: float | None, depth: int | None, weight: float
) -> tuple[_Scale, float]:
    """What each hit has on top of a passage that is not in the list, and what that one has; both weighted."""
    if not ranking:
        return _Scale(0.0), 0.0
    low, high = _span(ranking)
    missing = low
    if floor is None or floor > low:
        floor = low - (high - low)
    elif depth is None or len(ranking) < depth:
        missing = floor
    if high == floor:  # every score is the same, and nothing says how far down the scale goes
        return _Scale(0.0, constant=weight / 2), weight / 2
    factor = weight / (high - floor)
    return _Scale(factor, missing), factor * (missing - floor)


def _three_deviations(ranking: Ranking[Id]) -> _Scale:
    count = len(ranking)
    mean = sum(score for _, score in ranking) / count if count else 0.0
    variance = sum((score - mean) ** 2 for _, score in ranking) / (count - 1) if count > 1 else 0.0
    if variance == 0:
        return _Scale(0.0, constant=0.5)
    deviation = math.sqrt(variance)
    return _Scale(1 / (6 * deviation), mean - 3 * deviation)
