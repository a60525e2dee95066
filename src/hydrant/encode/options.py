"""The settings that all encoders over a model share, and the checks on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from hydrant.encode.base import Role
from hydrant.encode.onnx_export import Precision
from hydrant.errors import ConfigurationError, UnknownArgument

BackendName: TypeAlias = Literal["torch", "onnx"]


class ModelOptions(TypedDict, total=False):
    """How a model is loaded; handed on to sentence-transformers. None of it is stored with a collection but `revision`."""

    device: str | None
    revision: str | None
    trust_remote_code: bool
    cache_folder: str | None
    token: bool | str | None
    local_files_only: bool
    model_kwargs: dict[str, Any] | None
    processor_kwargs: dict[str, Any] | None
    config_kwargs: dict[str, Any] | None


def check_positive(**numbers: int | None) -> None:
    """Refuse what is neither None nor a whole number of at least 1.

    Raises:
        ConfigurationError: Names the argument and its value.
    """
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 1):
            msg = f"{name} must be a whole number of at least 1; got {number!r}"
            raise ConfigurationError(msg)


def check_flags(**flags: object) -> None:
    """Refuse what is neither True nor False: the text "no" would count as True.

    Raises:
        ConfigurationError: Names the argument and its value.
    """
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            msg = f"{name} must be True or False; got {flag!r}"
            raise ConfigurationError(msg)


def check_prompts(prompts: Mapping[Role, object]) -> None:
    """Refuse what cannot go in front of a text.

    Args:
        prompts: The prompt of each role.

    Raises:
        ConfigurationError: Names the argument and its value.
    """
    for role, prompt in prompts.items():
        if prompt is not None and not isinstance(prompt, str):
            msg = f"{role}_prompt must be a text, or None for the model's own; got {prompt!r}"
            raise ConfigurationError(msg)


def check_known(encoder: str, options: Iterable[str]) -> None:
    """Refuse options that are none of `ModelOptions`.

    Raises:
        UnknownArgument: Names the encoder, the option and those that there are.
    """
    known = ModelOptions.__annotations__
    for name in options:
        if name not in known:
            msg = f"{encoder} has no argument {name!r}; how a model is loaded is set by {', '.join(known)}"
            raise UnknownArgument(msg)


def check_backend(backend: str, precision: str) -> None:
    """Refuse what is no way to run a model.

    Raises:
        ConfigurationError: Names the argument and what it can be.
    """
    if backend not in get_args(BackendName):
        msg = f"backend must be 'torch' or 'onnx'; got {backend!r}"
        raise ConfigurationError(msg)
    if precision not in get_args(Precision):
        msg = f"precision must be 'fp32' or 'int8'; got {precision!r}"
        raise ConfigurationError(msg)
    if precision == "int8" and backend != "onnx":
        msg = f"precision='int8' needs backend='onnx'; got backend={backend!r}"
        raise ConfigurationError(msg)
