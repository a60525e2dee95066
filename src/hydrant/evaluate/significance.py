"""Whether a difference is more than chance, and how sure a mean is.

Smucker, Allan and Carterette, "A comparison of statistical significance tests for information retrieval evaluation", CIKM
2007, recommend the paired randomisation test; Sakai, "Laboratory Experiments in Information Retrieval", 2018, on intervals and
on comparing more than two systems; Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hydrant.errors import ConfigurationError

Scores = npt.NDArray[np.float64]

RESAMPLES = 10_000
CONFIDENCE = 0.95
# Differences of means below this are rounding.
_TINY = 1e-12
# How many random numbers are held at a time.
_CHUNK = 2_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """Between what a value lies, at a confidence of 95 %."""

    low: float
    high: float


def chance(one: Scores, other: Scores, *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The two-sided p-value of a paired randomisation test on the difference of two means.

    How often the mean difference is at least as large as the one seen when the two systems swap their values on
    each question by a coin's toss. Never 0: the one seen is one of the outcomes.

    Args:
        one: A value for each question.
        other: The other system's values for the same questions.
        resamples: How many times to toss.
        seed: Makes it repeatable.

    Raises:
        ConfigurationError: The questions are not the same.
    """
    differences = _differences(one, other)
    if not differences.any():
        return 1.0
    observed = abs(float(differences.mean()))
    random = np.random.default_rng(seed)
    as_extreme = 0
    for size in _chunks(resamples, differences.size):
        signs = random.integers(0, 2, size=(size, differences.size), dtype=np.int8) * 2.0 - 1.0
        as_extreme += int((np.abs(signs @ differences) / differences.size >= observed - _TINY).sum())
    return (as_extreme + 1) / (resamples + 1)


def interval_of_mean(values: Scores, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The percentile bootstrap interval of a mean over questions.

    Args:
        values: A value for each question; of a difference of two systems, their differences.
        resamples: How many times to draw as many questions with replacement.
        seed: Makes it repeatable.
    """
    if values.size == 0:
        return Interval(0.0, 0.0)
    random = np.random.default_rng(seed)
    means = np.concatenate(
        [
            values[random.integers(0, values.size, size=(size, values.size))].mean(axis=1)
            for size in _chunks(resamples, values.size)
        ]
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for how many comparisons were made, in the order they came.

    The smallest is multiplied by their number, the next by one less, and so on; none may fall below one before it.
    """
    order = sorted(range(len(p_values)), key=lambda position: p_values[position])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, position in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = highest
    return adjusted


def _differences(one: Scores, other: Scores) -> Scores:
    if one.shape != other.shape or one.size == 0:
        msg = f"a paired test needs values for the same questions, got {one.size} and {other.size}"
        raise ConfigurationError(msg)
    return one - other


def _chunks(total: int, width: int) -> list[int]:
    size = max(1, min(total, _CHUNK // max(1, width)))
    return [size] * (total // size) + ([total % size] if total % size else [])
