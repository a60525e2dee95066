"""One change to a shard, and how many points it touches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import qdrant_edge as engine

BY_FILTER = 1_000
"""What a deletion by a filter counts for: the number is not known, but it is worth looking afterwards."""


@dataclass(frozen=True, slots=True)
class Change:
    """An operation of the engine with an estimate of its effect on the indexes.

    Attributes:
        operation: What the engine does.
        upserted: Points that get a new version, and with it new vectors to index.
        removed: Points or vectors that leave a hole in an index.
    """

    operation: engine.UpdateOperation
    upserted: int = 0
    removed: int = 0
