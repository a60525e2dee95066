"""Token vectors out of whatever a model returned, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hydrant.encode.pooling import normalized
from hydrant.encode.texts import shown
from hydrant.encode.vectors import Batch
from hydrant.errors import ConfigurationError, EncodingError

if TYPE_CHECKING:
    import numpy.typing as npt

# The dimensions of an array of rows.
_ROWS = 2


def checked_tokens(raw: Any, batch: Batch, width: int | None, model: str) -> list[npt.NDArray[np.float32]]:
    """A float32 array for each text, [tokens, width], of rows of length 1.

    Args:
        raw: What the model returned.
        batch: The texts, for the message.
        width: How long the rows must be; None for any length.
        model: The model's name, for the message.

    Raises:
        EncodingError: It is anything else. The message says which text, where it is one text's fault.
        ConfigurationError: It is one vector a text.
    """
    if len(raw) != len(batch.texts):
        msg = f"model {model} must return an array of token vectors for each of {len(batch.texts)} texts; got {len(raw)}"
        raise EncodingError(msg)
    return [_checked(item, batch, place, width, model) for place, item in enumerate(raw)]


def _checked(item: Any, batch: Batch, place: int, width: int | None, model: str) -> npt.NDArray[np.float32]:
    where = f"texts[{batch.positions[place]}], which begins {shown(batch.texts[place])}"
    try:
        rows = np.asarray(item, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        msg = f"model {model} must return rows of numbers, all of one length; got {type(item).__name__} for {where}: {error}"
        raise EncodingError(msg) from error
    if rows.ndim == 1 and rows.size:
        msg = (
            f"model {model} returns one vector of {rows.size} dimensions a text, and LateEncoder needs one for every "
            "token; use DenseEncoder instead"
        )
        raise ConfigurationError(msg)
    if not rows.size:
        msg = f"model {model} returned no token vector for {where}; leave that text out"
        raise EncodingError(msg)
    if rows.ndim != _ROWS or width not in {None, rows.shape[1]}:
        size = "one size" if width is None else f"{width} dimensions"
        msg = f"model {model} must return token vectors of {size}; got an array of shape {rows.shape} for {where}"
        raise EncodingError(msg)
    if not np.isfinite(rows).all():
        msg = (
            f"model {model} returned a vector with NaN or infinity for {where}; leave that text out, or load the model "
            "in float32"
        )
        raise EncodingError(msg)
    return normalized(rows)
