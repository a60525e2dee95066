"""Groups of vectors that lie near each other, the same ones on every run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

_ROUNDS = 20


def kmeans(
    points: npt.NDArray[np.float32], count: int, seed: int = 42
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Lloyd's algorithm over Euclidean distance, begun as k-means++ does: the next centre is likely a far point.

    The clusters are numbered in the order in which the points first name them, and none is empty. Arthur and
    Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.

    Args:
        points: [number, dimensions], at least one.
        count: How many clusters to make at most; fewer come back where there are fewer different points.
        seed: What the beginning is drawn with.

    Returns:
        The clusters' means, [clusters, dimensions], and the cluster of every point.

    Raises:
        ConfigurationError: `count` is below 1.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        msg = f"count must be a whole number of at least 1; got {count!r}"
        raise ConfigurationError(msg)
    points = np.asarray(points, dtype=np.float32)
    centres = _first_centres(points, count, seed)
    labels = _nearest(points, centres)
    for _ in range(_ROUNDS):
        centres = _means(points, labels)
        moved = _nearest(points, centres)
        if np.array_equal(moved, labels):
            break
        labels = moved
    labels = _numbered_by_appearance(labels)
    return _means(points, labels), labels


def _first_centres(points: npt.NDArray[np.float32], count: int, seed: int) -> npt.NDArray[np.float32]:
    # The one stream of numpy that is promised never to change: clusters are stored, and made again elsewhere.
    random = np.random.RandomState(seed)
    chosen = [int(random.randint(len(points), dtype=np.int32))]
    distances = _distances_to(points, points[chosen[0]])
    while len(chosen) < count and distances.max() > 0:
        ends = np.cumsum(distances)
        at = int(np.searchsorted(ends, random.random_sample() * ends[-1], side="right"))
        chosen.append(min(at, len(points) - 1))
        distances = np.minimum(distances, _distances_to(points, points[chosen[-1]]))
    return points[chosen]


def _distances_to(
    points: npt.NDArray[np.float32], centre: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    return np.asarray(np.square(points - centre, dtype=np.float64).sum(axis=1))


def _nearest(points: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    # |p - c|² without the |p|² that is the same for every centre.
    distances = np.square(centres).sum(axis=1) - 2 * (points @ centres.T)
    return np.asarray(np.argmin(distances, axis=1), dtype=np.intp)


def _means(points: npt.NDArray[np.float32], labels: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """The mean of every cluster that has a point, in the order of their numbers."""
    members = labels == np.unique(labels)[:, None]
    return np.asarray(
        members.astype(np.float32) @ points / members.sum(axis=1, keepdims=True), dtype=np.float32
    )


def _numbered_by_appearance(labels: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    _, first, places = np.unique(labels, return_index=True, return_inverse=True)
    ranks = np.empty(len(first), dtype=np.intp)
    ranks[np.argsort(first)] = np.arange(len(first))
    return ranks[places]
