"""From the engine's exceptions to ours.

The engine raises the builtin `Exception` with a sentence for nearly everything, so the kind of an error is
read from its words. What is not recognised stays an `EdgeError` with the engine's own sentence.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from hydrant.errors import (
    EdgeError,
    FilterError,
    HydrantError,
    InputError,
    StorageError,
    UnknownVector,
    VectorMismatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Params = ParamSpec("Params")
Result = TypeVar("Result")

_KINDS: Mapping[str, type[HydrantError]] = {
    "vector dimension error": VectorMismatch,
    "not existing vector name": UnknownVector,
    "wrong vector": VectorMismatch,
    "conversion between": VectorMismatch,
    "no range index": FilterError,
    "no appropriate index": FilterError,
    "index required": FilterError,
    "no space left": StorageError,
    "file too large": StorageError,
    "can't write wal": StorageError,
    "disk quota exceeded": StorageError,
    "read-only file system": StorageError,
    "permission denied": StorageError,
    "io error": StorageError,
    "validation error": InputError,
    "malformed": InputError,
    "bad request": InputError,
    "wrong input": InputError,
    "failed to parse": InputError,
    "no point with id": InputError,
    "validation failed": InputError,
}


def translate(error: BaseException, doing: str) -> HydrantError:
    """The typed error for an exception of the engine.

    Args:
        error: What the engine raised.
        doing: What was asked of it, e.g. ``"query 'docs'"``; it opens the message.
    """
    if isinstance(error, HydrantError):
        return error
    text = str(error)
    if "process cancelled" in text:
        # The engine's own words say nothing of the cause.
        text = (
            "a formula has no finite value for some point: a missing field without a default, a division by zero, "
            "a root or logarithm of a negative number"
        )
        return InputError(f"{doing}: {text}")
    lowered = text.lower()
    kind = next((found for words, found in _KINDS.items() if words in lowered), None)
    if kind is None:
        kind = InputError if isinstance(error, (TypeError, ValueError)) else EdgeError
    return kind(f"{doing}: {text}")


def is_engines(error: BaseException) -> bool:
    """Whether an exception is the engine's doing. A panic in it arrives as a class that is no `Exception`."""
    return isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime"


def checked(call: Callable[Params, Result]) -> Callable[Params, Result]:
    """A conversion whose values the engine's own classes check: their complaints become `InputError`.

    Raises:
        InputError: A value that the engine's class refuses, with the engine's words.
    """

    @wraps(call, updated=())
    def convert(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        try:
            return call(*args, **kwargs)
        except HydrantError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            message = f"cannot be used: {error}"
            raise InputError(message) from error

    return convert
