"""An encoder that makes its vectors out of those of another one."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.base import Encoder, Kind, mismatch
from hydrant.errors import ConfigurationError, EncodingError

if TYPE_CHECKING:
    import numpy.typing as npt

# The dimensions of an array of rows.
_ROWS = 2


class WrappingEncoder(Encoder):
    """Part of every encoder that works on another one's vectors: the model is the other one's business.

    Attributes:
        inner_name: What the record calls the other encoder.
    """

    inner_name: str

    def __init__(self, inner: Encoder) -> None:
        self._inner = inner

    @property
    def inner(self) -> Encoder:
        """The other encoder."""
        return self._inner

    @property
    def batch_size(self) -> int:
        """How many texts are best encoded at a time, as the other encoder says."""
        return self._inner.batch_size

    def count_truncated(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than the model reads."""
        return self._inner.count_truncated(texts)

    def warm_up(self) -> None:
        """Load the model of the other encoder now."""
        self._inner.warm_up()

    def close(self) -> None:
        """Let go of the model of the other encoder."""
        self._inner.close()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What decides the vectors beside the other encoder, as JSON; "encoder" says which encoder this is."""

    @abstractmethod
    def around(self, inner: Encoder) -> WrappingEncoder:
        """An encoder with the same settings around another one."""

    def record(self) -> dict[str, Any]:
        """The settings, and the other encoder's record."""
        return {**self.settings(), self.inner_name: self._inner.record()}

    def adopt(self, record: Mapping[str, Any]) -> WrappingEncoder:
        """This encoder, completed with what a collection has stored; no model is loaded for that.

        Raises:
            EncoderMismatch: They would not make the same vectors. The message says both.
        """
        inner = record.get(self.inner_name)
        # The other encoder's record may need a model: until it adopts its own, the stored one stands for it.
        known = isinstance(inner, Mapping)
        given = {**self.settings(), self.inner_name: inner if known else type(self._inner).__name__}
        if not isinstance(inner, Mapping) or given != dict(record):
            raise mismatch(record, given)
        return self.around(self._inner.adopt(inner))

    def _identity(self) -> str:
        # The other one's own: its record may need a model.
        inner = self._inner._identity()  # noqa: SLF001  what equality goes by is no caller's business
        return json.dumps([self.settings(), inner], sort_keys=True)


def checked_encoder(encoder: object, kinds: Sequence[Kind], argument: str) -> Encoder:
    """The encoder, if it is one of such a kind.

    Raises:
        ConfigurationError: It is not.
    """
    if not isinstance(encoder, Encoder) or encoder.kind not in kinds:
        got = type(encoder).__name__ + (f" of kind {encoder.kind!r}" if isinstance(encoder, Encoder) else "")
        msg = f"{argument} must be an encoder of kind {' or '.join(map(repr, kinds))}; got {got}"
        raise ConfigurationError(msg)
    return encoder


def checked_tokens(encoded: Any, count: int, encoder: str) -> list[npt.NDArray[np.float32]]:
    """What an encoder of kind "multi" returned: for each text a float32 array, [any number, dimensions].

    Args:
        encoded: What it returned.
        count: How many texts it was handed.
        encoder: What an error calls it.

    Raises:
        EncodingError: It is anything else.
    """
    try:
        tokens = [np.asarray(each, dtype=np.float32) for each in encoded]
    except (TypeError, ValueError) as error:
        msg = f"{encoder} must return rows of numbers for each text, all of one length: {error}"
        raise EncodingError(msg) from error
    if len(tokens) != count:
        msg = f"{encoder} must return the vectors of {count} texts; got those of {len(tokens)}"
        raise EncodingError(msg)
    shapes = {each.shape[1:] for each in tokens}
    if any(each.ndim != _ROWS for each in tokens) or len(shapes) > 1:
        msg = (
            f"{encoder} must return rows of numbers for each text, all of one length; got arrays of the shapes "
            f"{sorted({each.shape for each in tokens})}"
        )
        raise EncodingError(msg)
    for at, each in enumerate(tokens):
        if not np.isfinite(each).all():
            msg = f"{encoder} returned NaN or infinity for texts[{at}]; leave that text out, or load the model in float32"
            raise EncodingError(msg)
    return tokens


def checked_rows_of(encoded: Any, count: int, encoder: str) -> npt.NDArray[np.float32]:
    """What an encoder of kind "dense" returned: a float32 array of one finite row a text.

    Args:
        encoded: What it returned.
        count: How many texts it was handed.
        encoder: What an error calls it.

    Raises:
        EncodingError: It is anything else.
    """
    try:
        rows = np.asarray(encoded, dtype=np.float32)
    except (TypeError, ValueError) as error:
        msg = f"{encoder} must return rows of numbers, all of one length: {error}"
        raise EncodingError(msg) from error
    if rows.ndim != _ROWS or len(rows) != count or not np.isfinite(rows).all():
        msg = f"{encoder} must return {count} rows of finite numbers for {count} texts; got an array of shape {rows.shape}"
        raise EncodingError(msg)
    return rows
