"""MaxSim: for every vector of the query the most similar one of the document, summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hydrant.flow import Effect

if TYPE_CHECKING:
    import numpy.typing as npt

# How many document vectors are compared at a time: the similarities of 32 query vectors with so many are 8 MB.
_ROWS_AT_ONCE = 65_536


def maxsim(
    query: npt.NDArray[np.float32], documents: Sequence[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float64]:
    """The MaxSim of a query with each document (Khattab and Zaharia, "ColBERT", SIGIR 2020).

    Args:
        query: [vectors, dimensions].
        documents: An array [vectors, dimensions] for each, at least one vector each.

    Returns:
        A score for each document.
    """
    scores: list[npt.NDArray[np.float64]] = []
    part: list[npt.NDArray[np.float32]] = []
    rows = 0
    for document in documents:
        if part and rows + len(document) > _ROWS_AT_ONCE:
            scores.append(_together(query, part))
            part, rows = [], 0
        part.append(document)
        rows += len(document)
    if part:
        scores.append(_together(query, part))
    return np.concatenate(scores) if scores else np.empty(0)


def _together(
    query: npt.NDArray[np.float32], documents: Sequence[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float64]:
    lengths = [len(document) for document in documents]
    starts = np.cumsum([0, *lengths[:-1]])
    similarities = np.concatenate(documents) @ query.T
    best = np.maximum.reduceat(similarities, starts, axis=0)
    return np.asarray(best.sum(axis=1, dtype=np.float64))


class MaxSim(Effect[list[float]]):
    """Compare a query's vectors with documents', away from the event loop: a hundred passages take milliseconds."""

    name = "maxsim"

    def __init__(self, query: npt.NDArray[np.float32], documents: Sequence[npt.NDArray[np.float32]]) -> None:
        self._query = query
        self._documents = documents

    def call(self, timeout: float | None) -> list[float]:
        """A score for each document."""
        return [float(score) for score in maxsim(self._query, self._documents)]
