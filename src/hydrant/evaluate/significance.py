"""Whether a difference is more than chance, and how sure a mean is.

Smucker, Allan and Carterette, "A comparison of statistical significance tests for information retrieval evaluation", CIKM
2007, recommend the paired randomisation test; Sakai, "Laboratory Experiments in Information Retrieval", 2018, on intervals and
on comparing more than two systems; Holm, "A simple sequentially rejective multiple test procedure", 1979.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

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
# Up to how many of them are kept for the next call, which mostly needs the same ones (2 bytes each).
_CACHED = 20_000_000


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
    return chances(_differences(one, other)[np.newaxis], resamples=resamples, seed=seed)[0]


def chances(differences: Scores, *, resamples: int = RESAMPLES, seed: int = 0) -> list[float]:
    """As `chance`, for several rows of differences on the same questions, all with the same tosses."""
    if len(differences) == 0:
        return []
    questions = differences.shape[1]
    observed = np.abs(differences.mean(axis=1))
    random = np.random.default_rng(seed)
    as_extreme = np.zeros(len(differences), dtype=np.int64)
    for size in _chunks(resamples, questions):
        signs = random.integers(0, 2, size=(size, questions), dtype=np.int8) * 2.0 - 1.0
        means = np.abs(signs @ differences.T) / questions
        as_extreme += (means >= observed - _TINY).sum(axis=0)
    return [(int(count) + 1) / (resamples + 1) for count in as_extreme]


def interval_of_mean(values: Scores, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """The percentile bootstrap interval of a mean over questions.

    Args:
        values: A value for each question; of a difference of two systems, their differences.
        resamples: How many times to draw as many questions with replacement.
        seed: Makes it repeatable.
    """
    return intervals_of_means(values[np.newaxis], resamples=resamples, seed=seed)[0]


def intervals_of_means(rows: Scores, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Interval]:
    """As `interval_of_mean`, for several rows of values of the same questions, all with the same draws."""
    if rows.shape[1] == 0:
        return [Interval(0.0, 0.0)] * len(rows)
    questions = rows.shape[1]
    means = np.concatenate([counts @ rows.T / questions for counts in _draws(questions, resamples, seed)])
    tail = (1 - CONFIDENCE) / 2
    ends = np.quantile(means, [tail, 1 - tail], axis=0)
    return [Interval(float(low), float(high)) for low, high in ends.T]


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


def _draws(questions: int, resamples: int, seed: int) -> Iterator[Scores]:
    """How often each question is drawn, draw by draw, in chunks: one product with it then serves many rows of values."""
    if questions * resamples <= _CACHED:
        kept = _kept_draws(questions, resamples, seed)
        for start in range(0, resamples, _CHUNK // questions + 1):
            yield kept[start : start + _CHUNK // questions + 1].astype(np.float64)
        return
    random = np.random.default_rng(seed)
    for size in _chunks(resamples, questions):
        yield _drawn(random, questions, size).astype(np.float64)


@lru_cache(maxsize=2)
def _kept_draws(questions: int, resamples: int, seed: int) -> npt.NDArray[np.uint16]:
    return _drawn(np.random.default_rng(seed), questions, resamples)


def _drawn(random: np.random.Generator, questions: int, size: int) -> npt.NDArray[np.uint16]:
    # A question is drawn about once; 65,535 times is out of the question.
    return random.multinomial(questions, np.full(questions, 1 / questions), size=size).astype(np.uint16)


def _differences(one: Scores, other: Scores) -> Scores:
    if one.shape != other.shape or one.size == 0:
        msg = f"a paired test needs values for the same questions, got {one.size} and {other.size}"
        raise ConfigurationError(msg)
    return one - other


def _chunks(total: int, width: int) -> list[int]:
    size = max(1, min(total, _CHUNK // max(1, width)))
    return [size] * (total // size) + ([total % size] if total % size else [])
