"""When a collection's indexes are worth building.

The engine builds nothing by itself. These rules are those of a server's optimizers, and one more: while points
pour in, building waits, since most of what it made would be built again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydrant.edge.convert.config import dense_params, optimizers_config

if TYPE_CHECKING:
    from qdrant_client import models

    from hydrant.edge.shard import Counts

QUIET_SECONDS = 0.5
"""How long no write must have come before a build starts."""
PATIENCE_SECONDS = 20.0
"""How long a build waits for such a pause."""
BUSY_FACTOR = 8
"""It does not wait once so many times the threshold is unindexed, and as much as is indexed."""
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Policy:
    """A collection's rules.

    Attributes:
        threshold_kb: Build once so many kilobytes of vectors are unindexed; 0 never builds.
        point_kb: What a point's largest dense vector takes.
        names: The vectors that a point can have.
        deleted_share: Rebuild once this share of the points is obsolete.
        deleted_points: But not for fewer obsolete points than this.
    """

    threshold_kb: float
    point_kb: float
    names: tuple[str, ...]
    deleted_share: float
    deleted_points: int

    @classmethod
    def of(cls, config: models.CreateCollection) -> Policy:
        """The rules that a collection's settings describe."""
        settings = optimizers_config(config)
        dense = dense_params(config)
        largest = max((params.size for params in dense.values()), default=0)
        threshold, share, least = (
            settings.indexing_threshold,
            settings.deleted_threshold,
            settings.vacuum_min_vector_number,
        )
        return cls(
            threshold_kb=threshold if threshold is not None else 0,
            point_kb=largest * FLOAT_BYTES / 1024,
            names=(*dense, *(config.sparse_vectors or {})),
            deleted_share=share if share is not None else 1.0,
            deleted_points=least if least is not None else 0,
        )

    def unindexed_kb(self, counts: Counts) -> float:
        """Kilobytes of vectors that no index covers."""
        if not self.names:
            return 0.0
        covered = max(0, counts.indexed - counts.obsolete * len(self.names))
        return max(0, counts.vectors - covered) / len(self.names) * self.point_kb

    def worth_counting(self, touched: int) -> bool:
        """Whether so many touched points could have changed the answer of `is_due`."""
        return touched * 4 * self.point_kb >= self.threshold_kb or touched * 2 >= self.deleted_points

    def is_quiet(self, seconds: float) -> bool:
        """Whether writes have paused long enough for a build to start."""
        return seconds >= QUIET_SECONDS

    def is_worth(self, counts: Counts, accepted_kb: float) -> bool:
        """Whether to build at the next pause in the writes; see `is_due`."""
        return self._index_due(counts, accepted_kb, quiet=True) or self._vacuum_due(counts)

    def is_due(self, counts: Counts, accepted_kb: float, waited: float) -> bool:
        """Whether to build now.

        Args:
            counts: The collection's state.
            accepted_kb: What the last build left unindexed: small segments that it judged not worth it.
            waited: Seconds for which a build has been worth it.
        """
        quiet = self.is_quiet(counts.quiet_for) or waited >= PATIENCE_SECONDS
        return self._index_due(counts, accepted_kb, quiet=quiet) or (quiet and self._vacuum_due(counts))

    def _index_due(self, counts: Counts, accepted_kb: float, *, quiet: bool) -> bool:
        waiting = self.unindexed_kb(counts) - accepted_kb
        if self.threshold_kb <= 0 or waiting < self.threshold_kb:
            return False
        if quiet:
            return True
        indexed_kb = counts.points * self.point_kb - waiting
        return waiting >= max(BUSY_FACTOR * self.threshold_kb, indexed_kb)

    def _vacuum_due(self, counts: Counts) -> bool:
        total = counts.points + counts.obsolete
        return counts.obsolete >= max(1, self.deleted_points) and counts.obsolete > total * self.deleted_share
