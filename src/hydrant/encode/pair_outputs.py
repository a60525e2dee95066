"""What a model of pairs said, as one number a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.errors import ConfigurationError, RankingError

if TYPE_CHECKING:
    import numpy.typing as npt

_ROWS = 2


def rows_of(raw: Any, number: int, model: str) -> npt.NDArray[np.float64]:
    """What a model returned for so many pairs: a row for each, of one number a label.

    Raises:
        RankingError: It is anything else.
    """
    try:
        rows = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"model {model} must give a number for each pair, or a row of them for each; got {type(raw).__name__}: {error}"
        raise RankingError(msg) from error
    if rows.ndim == 1:
        rows = rows[:, None]
    if rows.ndim != _ROWS or len(rows) != number or not rows.shape[1]:
        msg = f"model {model} must give one score for each of {number} pairs; got an array of shape {np.shape(raw)}"
        raise RankingError(msg)
    return rows


def column_of(labels: Sequence[str], label: str | int | None, model: str) -> int:
    """The place of the output that is the score.

    Raises:
        ConfigurationError: There are several, and none or an unknown one was named.
    """
    if label is None and len(labels) == 1:
        return 0
    if isinstance(label, int) and 0 <= label < len(labels):
        return label
    if isinstance(label, str) and label in labels:
        return labels.index(label)
    told = "label is not given" if label is None else f"label is {label!r}"
    msg = f"model {model} has the labels {list(labels)}, and {told}; say which one stands for relevant: label={labels[-1]!r}"
    raise ConfigurationError(msg)


def probabilities(rows: npt.NDArray[np.float64], column: int) -> npt.NDArray[np.float64]:
    """The sigmoid of the one logit, or of several the softmax of one."""
    if rows.shape[1] == 1:
        # exp of the negative size never overflows.
        small = np.exp(-np.abs(rows[:, 0]))
        return np.where(rows[:, 0] >= 0, 1.0 / (1.0 + small), small / (1.0 + small))
    weights = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(weights[:, column] / weights.sum(axis=1))
