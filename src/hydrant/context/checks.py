"""Checks on settings, found when the object is made."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hydrant.errors import ConfigurationError


def check_whole(name: str, value: object, at_least: int = 1) -> None:
    """Refuse what is no whole number of at least so much.

    Raises:
        ConfigurationError: Names the setting and its value.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        msg = f"{name} must be a whole number of at least {at_least}, got {value!r}"
        raise ConfigurationError(msg)


def check_number(
    name: str, value: object, *, above: float | None = None, at_most: float | None = None
) -> None:
    """Refuse what is neither None nor a finite number within the bounds.

    Raises:
        ConfigurationError: Names the setting, the bounds and the value.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or (number and _within(value, above, at_most)):  # type: ignore[arg-type]
        return
    bounds = "".join(
        [
            f" above {above:g}" if above is not None else "",
            f", at most {at_most:g}" if at_most is not None else "",
        ]
    )
    msg = f"{name} must be a finite number{bounds}, or None; got {value!r}"
    raise ConfigurationError(msg)


def _within(value: float, above: float | None, at_most: float | None) -> bool:
    high_enough = above is None or value > above
    return math.isfinite(value) and high_enough and (at_most is None or value <= at_most)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises:
        ConfigurationError: Names the setting and its value.
    """
    if not isinstance(value, bool):
        msg = f"{name} must be True or False, got {value!r}"
        raise ConfigurationError(msg)


def check_choice(name: str, value: object, choices: Sequence[str | None]) -> None:
    """Refuse what is none of the choices.

    Raises:
        ConfigurationError: Names the setting, the choices and the value.
    """
    if value not in choices:
        msg = f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}"
        raise ConfigurationError(msg)
