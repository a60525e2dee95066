"""Fewer vectors for a text: token vectors that say nearly the same become one, their mean scaled to length 1."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.clusters import kmeans
from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

# Below this length a sum has no direction: its vectors cancel out.
_NOTHING = 1e-6


def normalized(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The rows scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)
    lengths[lengths == 0] = 1
    return np.asarray(np.divide(rows, lengths), dtype=np.float32)


def pooled(tokens: npt.NDArray[np.float32], factor: int, protected: int = 1) -> npt.NDArray[np.float32]:
    """Group a text's vectors by Ward's method until a share of 1/factor is left, and take the means.

    Ward's method merges those two groups whose merging moves their vectors least; on vectors of length 1 the squared
    Euclidean distance is twice the cosine one. Clavié et al., "Reducing the Footprint of Multi-Vector Retrieval with
    Minimal Performance Impact via Token Pooling", 2024. Which vectors share a group depends on their order only where
    distances are exactly equal.

    Args:
        tokens: [number, dimensions], each of length 1.
        factor: How many vectors become one on average; 1 changes nothing.
        protected: How many at the beginning stay as they are: the first stands for the whole text ([CLS]).

    Returns:
        [protected + ceil((number - protected) / factor), dimensions], each of length 1, in the order in which the
        groups first occur.

    Raises:
        ConfigurationError: `factor` is below 1, or `protected` below 0.
    """
    if factor < 1 or protected < 0:
        msg = f"factor must be at least 1 and protected at least 0; got {factor!r} and {protected!r}"
        raise ConfigurationError(msg)
    kept, rest = tokens[:protected], tokens[protected:]
    count = -(-len(rest) // factor)
    if count >= len(rest):
        return tokens
    return np.concatenate([kept, _means(rest, _ward(rest, count))])


def clustered(tokens: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """The means of at most so many k-means clusters of a text's vectors, scaled to length 1.

    On vectors of length 1 Euclidean k-means goes by the cosine. As CRISP makes documents' vectors (Veneroso et al.,
    "CRISP: Clustering Multi-Vector Representations for Denoising and Pruning", 2025), here for models trained without.

    Args:
        tokens: [number, dimensions], each of length 1.
        count: How many to make; a text of fewer vectors, or of fewer different ones, keeps those.
    """
    if len(tokens) <= count:
        return tokens
    _, labels = kmeans(tokens, count)
    return _means(tokens, labels)


def _ward(rows: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.intp]:
    """The group of every row where exactly so many are left."""
    # untyped, hence Any
    hierarchy: Any = importlib.import_module("scipy.cluster.hierarchy")
    merges = hierarchy.linkage(rows.astype(np.float64), method="ward")
    # Rows are groups 0 to n - 1, and the merge in line i makes group n + i out of two earlier ones.
    groups: dict[int, list[int]] = {index: [index] for index in range(len(rows))}
    for step, (one, other) in enumerate(merges[: len(rows) - count, :2].astype(int).tolist()):
        groups[len(rows) + step] = groups.pop(one) + groups.pop(other)
    labels = np.empty(len(rows), dtype=np.intp)
    for label, members in enumerate(sorted(groups.values(), key=min)):
        labels[members] = label
    return labels


def _means(rows: npt.NDArray[np.float32], labels: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """The mean direction of every group; of one whose vectors cancel out, its first vector."""
    members = labels == np.arange(int(labels.max()) + 1)[:, None]
    sums = members.astype(np.float32) @ rows
    nothing = np.linalg.norm(sums, axis=1) < _NOTHING
    sums[nothing] = rows[members.argmax(axis=1)[nothing]]
    return normalized(sums)
