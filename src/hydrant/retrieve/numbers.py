"""Checks of numbers that callers give."""

from __future__ import annotations

import math

from hydrant.errors import ConfigurationError, InputError


def check_count(name: str, value: object) -> None:
    """Refuse what is no whole number of at least 1.

    Raises:
        InputError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = f"{name} must be a whole number of at least 1, got {value!r}"
        raise InputError(msg)


def check_weight(name: str, value: object) -> None:
    """Refuse what is no finite number of at least 0.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        msg = f"{name} must be a number of at least 0, got {value!r}"
        raise ConfigurationError(msg)
