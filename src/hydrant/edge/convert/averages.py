"""The query vector of the `average_vector` recommend strategy.

The engine has no such query, a server computes the vector before it searches: twice the mean of the positive
examples less the mean of the negative ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import qdrant_edge as engine


def average(positives: list[Any], negatives: list[Any]) -> Any:
    """One query vector from examples of one kind, as the engine takes it."""
    first = positives[0]
    if isinstance(first, engine.SparseVector):
        return _sparse(positives, negatives)
    if isinstance(first[0], (list, tuple)):
        # Late interaction has no mean: every row takes part, those of negative examples negated.
        rows = [row for example in positives for row in example]
        return rows + [[-value for value in row] for example in negatives for row in example]
    mean: Any = np.mean(positives, axis=0, dtype=np.float64)
    if negatives:
        mean = mean + mean - np.mean(negatives, axis=0, dtype=np.float64)
    return mean.tolist()


def _sparse(
    positives: list[engine.SparseVector], negatives: list[engine.SparseVector]
) -> engine.SparseVector:
    weights = _sparse_mean(positives)
    if negatives:
        weights = {index: 2 * value for index, value in weights.items()}
        for index, value in _sparse_mean(negatives).items():
            weights[index] = weights.get(index, 0.0) - value
    indices = sorted(weights)
    return engine.SparseVector(indices, [weights[index] for index in indices])


def _sparse_mean(vectors: list[engine.SparseVector]) -> dict[int, float]:
    sums: dict[int, float] = {}
    for vector in vectors:
        for index, value in zip(vector.indices, vector.values, strict=True):
            sums[index] = sums.get(index, 0.0) + value
    return {index: value / len(vectors) for index, value in sums.items()}
