"""Fixed dimensional encodings: many vectors of a text as one, whose inner product estimates MaxSim.

Dhulipala, Hadian, Jayaram, Lee and Mirrokni, "MUVERA: Multi-Vector Retrieval via Fixed Dimensional Encodings", NeurIPS
2024. Random hyperplanes cut the space into buckets. What a query has in a bucket is summed up, what a document has there is
averaged: the inner product of both then compares every vector of the query with those of the document that fell into
the same bucket, which are likely its nearest. This is repeated with other hyperplanes, and the results are put one after
the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]
    Integers = npt.NDArray[np.int64]

MOST_PLANES = 12
# What RandomState takes.
_SEEDS = 1 << 32
# How many floats an intermediate array may hold: 64 MiB of them.
_ROOM = 1 << 24


@dataclass(frozen=True, slots=True)
class FdeShape:
    """What decides an encoding.

    Attributes:
        k_sim: How many hyperplanes cut the space, into 2 ** k_sim buckets.
        dim_proj: How many random dimensions stand for a vector; None keeps it whole.
        repetitions: How often that is done anew.
        final_dim: How many dimensions the whole is hashed to in the end (count sketch); None keeps all.
        seed: What everything random is drawn with.
        fill_empty: Whether a bucket that has nothing of a document takes over what the nearest one that has something
            holds: the one that differs in the fewest hyperplanes, and of several the one with the lowest number.
    """

    k_sim: int = 5
    dim_proj: int | None = 16
    repetitions: int = 20
    final_dim: int | None = None
    seed: int = 42
    fill_empty: bool = False

    def __post_init__(self) -> None:
        _check_whole("k_sim", self.k_sim, 1, MOST_PLANES)
        _check_whole("repetitions", self.repetitions, 1)
        _check_whole("seed", self.seed, 0, _SEEDS - 1)
        for name in ("dim_proj", "final_dim"):
            value = getattr(self, name)
            if value is not None:
                _check_whole(name, value, 1)
        if not isinstance(self.fill_empty, bool):
            msg = f"fill_empty must be True or False; got {self.fill_empty!r}"
            raise ConfigurationError(msg)

    @property
    def buckets(self) -> int:
        """How many buckets there are."""
        return 1 << self.k_sim

    def unhashed(self, token_dim: int) -> int:
        """The length of an encoding before it is hashed.

        Args:
            token_dim: The length of the vectors that go in.
        """
        return self.repetitions * self.buckets * (token_dim if self.dim_proj is None else self.dim_proj)

    def dimensions(self, token_dim: int) -> int:
        """The length of an encoding.

        Args:
            token_dim: The length of the vectors that go in.
        """
        return self.unhashed(token_dim) if self.final_dim is None else self.final_dim


class FixedEncoding:
    """The encoding of one shape for vectors of one length. Immutable.

    An encoding is divided by the square root of the repetitions, on both sides, so that inner products estimate
    MaxSim itself instead of a multiple.

    Args:
        shape: What decides the encoding.
        token_dim: The length of the vectors that go in.

    Raises:
        ConfigurationError: The shape has more dimensions than the vectors can give.
    """

    def __init__(self, shape: FdeShape, token_dim: int) -> None:
        _check_fits(shape, token_dim)
        self.shape = shape
        self.token_dim = token_dim
        # The one stream of numpy that is promised never to change: encodings are stored, and searched by later versions.
        random = np.random.RandomState(shape.seed)
        planes, projections = [], []
        for _ in range(shape.repetitions):
            planes.append(random.standard_normal((shape.k_sim, token_dim)))
            projections.append(_projection(random, shape, token_dim))
        self._planes = np.concatenate(planes).T.astype(np.float32)
        self._projection = None if shape.dim_proj is None else np.concatenate(projections, axis=1)
        self._sketch = None if shape.final_dim is None else _Sketch(random, shape, token_dim)

    def query(self, tokens: Sequence[Floats]) -> Floats:
        """The encodings of queries: linear in the vectors within a bucket, empty buckets are zero.

        Args:
            tokens: For each query its vectors, [any number, token_dim].

        Returns:
            [len(tokens), dimensions]
        """
        return self._encoded(tokens, document=False)

    def document(self, tokens: Sequence[Floats]) -> Floats:
        """The encodings of documents: means of each bucket, empty ones filled where the shape says so.

        Args:
            tokens: For each document its vectors, [any number, token_dim].

        Returns:
            [len(tokens), dimensions]
        """
        return self._encoded(tokens, document=True)

    def _encoded(self, tokens: Sequence[Floats], *, document: bool) -> Floats:
        encoded = np.zeros((len(tokens), self.shape.dimensions(self.token_dim)), dtype=np.float32)
        lengths = np.array([len(each) for each in tokens], dtype=np.int64)
        for start, end in self._portions(lengths):
            own = lengths[start:end]
            if own.any():
                blocks = self._blocks(np.concatenate(list(tokens[start:end])), own, document=document)
                encoded[start:end] = blocks if self._sketch is None else self._sketch.of(blocks)
        return encoded

    def _portions(self, lengths: Integers) -> list[tuple[int, int]]:
        """Stretches of the texts whose intermediate arrays are of a bearable size; one text at least."""
        shape = self.shape
        width = shape.unhashed(self.token_dim)
        a_token = width // shape.buckets + shape.repetitions * shape.k_sim
        portions, start, held = [], 0, 0
        for at, length in enumerate(lengths.tolist()):
            size = width + length * a_token
            if at > start and held + size > _ROOM:
                portions.append((start, at))
                start, held = at, 0
            held += size
        return [*portions, (start, len(lengths))] if len(lengths) else []

    def _blocks(self, tokens: Floats, lengths: Integers, *, document: bool) -> Floats:
        """[texts, repetitions * buckets * width]: what each bucket of each repetition holds of each text."""
        shape = self.shape
        cells = len(lengths) * shape.repetitions * shape.buckets
        keys = self._cells(tokens, lengths)
        order = np.argsort(keys, kind="stable")
        counts = np.bincount(keys, minlength=cells)
        taken = np.flatnonzero(counts)
        rows = self._projected(tokens)[order]
        sums = np.add.reduceat(rows, (np.cumsum(counts) - counts)[taken], axis=0)
        sums /= np.float32(np.sqrt(shape.repetitions))
        if document:
            sums /= counts[taken, None].astype(np.float32)
        if document and shape.fill_empty:
            return self._filled(sums, counts, len(lengths))
        blocks = np.zeros((cells, sums.shape[1]), dtype=np.float32)
        blocks[taken] = sums
        return blocks.reshape(len(lengths), -1)

    def _cells(self, tokens: Floats, lengths: Integers) -> Integers:
        """The number of text, repetition and bucket of every vector in every repetition, [vectors * repetitions]."""
        shape = self.shape
        sides = (tokens @ self._planes > 0).reshape(len(tokens), shape.repetitions, shape.k_sim)
        buckets = sides @ (1 << np.arange(shape.k_sim, dtype=np.int64))
        texts = np.repeat(np.arange(len(lengths)), lengths)
        cells = (texts[:, None] * shape.repetitions + np.arange(shape.repetitions)) * shape.buckets + buckets
        return np.asarray(cells.ravel(), dtype=np.int64)

    def _projected(self, tokens: Floats) -> Floats:
        """Every vector as every repetition sees it, [vectors * repetitions, width]."""
        if self._projection is None:
            return np.repeat(tokens, self.shape.repetitions, axis=0)
        projected = tokens @ self._projection
        return projected.reshape(len(tokens) * self.shape.repetitions, -1)

    def _filled(self, means: Floats, counts: Integers, texts: int) -> Floats:
        """The blocks with the means of the nearest taken bucket in those that are empty."""
        buckets = self.shape.buckets
        taken = counts.reshape(-1, buckets) > 0
        sources = nearest_taken(taken)
        rows = np.cumsum(counts > 0) - 1
        # A text without any vector has no taken bucket: its sources are out of range, and its block stays zero.
        known = sources < buckets
        places = np.arange(len(taken))[:, None] * buckets + np.where(known, sources, 0)
        blocks = means[np.maximum(rows[places], 0)]
        if not known.all():
            blocks[~known] = 0
        return np.asarray(blocks.reshape(texts, -1), dtype=np.float32)


class _Sketch:
    """A count sketch: every dimension is added to a random one of fewer, or taken away from it.

    Inner products stay what they were, in expectation. Charikar, Chen and Farach-Colton, "Finding frequent items in data
    streams", ICALP 2002.
    """

    def __init__(self, random: Any, shape: FdeShape, token_dim: int) -> None:
        width = shape.unhashed(token_dim)
        targets = random.randint(0, shape.final_dim, size=width, dtype=np.int32)
        signs = _signs(random, (width,))
        self._width = shape.final_dim
        self._order = np.argsort(targets, kind="stable")
        self._signs = signs[self._order]
        self._hit, self._starts = np.unique(targets[self._order], return_index=True)

    def of(self, rows: Floats) -> Floats:
        """The sketches of some rows."""
        sketched = np.zeros((len(rows), self._width or 0), dtype=np.float32)
        for row, target in zip(rows, sketched, strict=True):
            target[self._hit] = np.add.reduceat(row[self._order] * self._signs, self._starts)
        return sketched


def nearest_taken(taken: npt.NDArray[np.bool_]) -> Integers:
    """For every bucket the nearest one that is taken: differing in the fewest bits, of several the lowest number.

    Args:
        taken: [rows, 2 ** bits]

    Returns:
        Numbers of buckets, [rows, 2 ** bits]; at least 2 ** bits in a row where none is taken.
    """
    buckets = taken.shape[1]
    bits = buckets.bit_length() - 1
    # Distance and bucket in one number, so that the least is the nearest and then the lowest. The distance is a sum over
    # the bits, so one look across each of them finds it.
    none = (2 * bits + 2) * buckets
    best = np.where(taken, np.arange(buckets, dtype=np.int64), none)
    for bit in range(bits):
        halves = best.reshape(len(taken), -1, 2, 1 << bit)
        best = np.minimum(halves, halves[:, :, ::-1] + buckets)
    best = best.reshape(len(taken), buckets)
    return np.asarray(np.where(best < none, best % buckets, buckets), dtype=np.int64)


def _projection(random: Any, shape: FdeShape, token_dim: int) -> Floats:
    if shape.dim_proj is None:
        return np.empty((token_dim, 0), dtype=np.float32)
    return _signs(random, (token_dim, shape.dim_proj)) / np.float32(np.sqrt(shape.dim_proj))


def _signs(random: Any, size: tuple[int, ...]) -> Floats:
    return np.asarray(2 * random.randint(0, 2, size=size, dtype=np.int32) - 1, dtype=np.float32)


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    if not fits or (most is not None and isinstance(value, int) and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        msg = f"{name} must be a whole number {span}; got {value!r}"
        raise ConfigurationError(msg)


def _check_fits(shape: FdeShape, token_dim: int) -> None:
    if shape.dim_proj is not None and shape.dim_proj > token_dim:
        msg = (
            f"dim_proj can be at most {token_dim}, the size of the token vectors; got {shape.dim_proj}. "
            "dim_proj=None keeps them whole"
        )
        raise ConfigurationError(msg)
    width = shape.unhashed(token_dim)
    if shape.final_dim is not None and shape.final_dim > width:
        msg = f"final_dim can be at most {width}, the size without it; got {shape.final_dim}"
        raise ConfigurationError(msg)
