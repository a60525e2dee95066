"""Checks on what a model returned, and the last steps to the vectors that are stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.texts import shown
from hydrant.errors import EncodingError

if TYPE_CHECKING:
    import numpy.typing as npt


# Below this many texts a batch only calls the model more often.
_FEWEST = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts that go through a model together.

    Attributes:
        texts: The texts.
        positions: The place of each in the list that the caller handed in.
    """

    texts: list[str]
    positions: list[int]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may be.

    Attributes:
        texts: How many texts it holds at most.
        padded: How many bytes it holds at most when every text is as long as its longest; None for any number. Few
            but long texts share a batch all the same.
    """

    texts: int
    padded: int | None = None

    def shared(self, number: int, workers: int) -> BatchLimits:
        """The limits for so many texts that each of several workers gets some of them."""
        most = max(_FEWEST, math.ceil(number / workers))
        return self if workers == 1 or most >= self.texts else replace(self, texts=most)

    def room(self, longest: str) -> int:
        """How many texts go with one of which none is longer."""
        if self.padded is None:
            return self.texts
        size = max(1, len(longest.encode("utf-8", "surrogatepass")))
        return min(self.texts, max(_FEWEST, self.padded // size))


def length_sorted_batches(texts: Sequence[str], limits: BatchLimits) -> list[Batch]:
    """All texts in batches of like length, so that little of a batch is padding.

    The longest come first: where memory is too small for them, that shows at once. Texts that fit into one batch stay
    in their order.
    """
    if 0 < len(texts) <= _FEWEST <= limits.texts:
        return [Batch(list(texts), list(range(len(texts))))]
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    if 0 < len(texts) <= limits.room(texts[order[0]]):
        return [Batch(list(texts), list(range(len(texts))))]
    batches = []
    start = 0
    while start < len(order):
        part = order[start : start + limits.room(texts[order[start]])]
        batches.append(Batch([texts[index] for index in part], part))
        start += len(part)
    return batches


def checked_rows(raw: Any, batch: Batch, width: int, model: str) -> npt.NDArray[np.float32]:
    """What a model returned for a batch, as a float32 array of one finite row a text.

    Raises:
        EncodingError: It is anything else. The message says which text, where it is one text's fault.
    """
    try:
        rows = np.asarray(raw, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = (
            f"model {model} must return rows of numbers, all of one length; got {type(raw).__name__}: {error}"
        )
        raise EncodingError(msg) from error
    expected = (len(batch.texts), width)
    if rows.shape != expected:
        msg = (
            f"model {model} must return {expected[0]} rows of {width} numbers for {expected[0]} texts; got an array of "
            f"shape {rows.shape}"
        )
        raise EncodingError(msg)
    if not np.isfinite(rows).all():
        first = int(np.argmin(np.isfinite(rows).all(axis=1)))
        msg = (
            f"model {model} returned a vector with NaN or infinity for texts[{batch.positions[first]}], which begins "
            f"{shown(batch.texts[first])}; leave that text out, or load the model in float32"
        )
        raise EncodingError(msg)
    return rows


def finished(
    rows: npt.NDArray[np.float32], truncate_dim: int | None, *, normalize: bool
) -> npt.NDArray[np.float32]:
    """The rows cut to the first dimensions, and scaled to length 1 where that is asked for; zeros stay zeros."""
    if truncate_dim is not None:
        rows = rows[:, :truncate_dim]
    if normalize:
        lengths = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)
        lengths[lengths == 0] = 1
        rows = np.divide(rows, lengths)
    return rows
