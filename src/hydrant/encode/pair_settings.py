"""How a model of pairs is loaded, fed and read, and the checks on that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from hydrant.encode.model_kinds import kind_of
from hydrant.encode.onnx_backend import check_options
from hydrant.encode.onnx_export import Precision
from hydrant.encode.options import BackendName, check_backend, check_known, check_positive
from hydrant.encode.pair_backends import check_pair_model
from hydrant.errors import ConfigurationError

Scale: TypeAlias = Literal["logit", "probability"]


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a model of pairs is loaded, fed and read.

    Attributes:
        backend: What runs it: "torch" or "onnx".
        precision: What its numbers are rounded to: "fp32", or with ONNX "int8".
        scale: "logit" for what the model says, "probability" for the sigmoid of it or, of several labels, the softmax.
        label: Which of several labels is the score, by its name or its place.
        max_length: How many tokens of query and document together are read; None for the model's own number.
        windows: How many pieces of a long document are read at most.
        batch_size: How many pairs go through the model at a time; None for what suits the machine.
        options: How it is loaded, as `ModelOptions`.
    """

    backend: BackendName = "torch"
    precision: Precision = "fp32"
    scale: Scale = "logit"
    label: str | int | None = None
    max_length: int | None = None
    windows: int = 4
    batch_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def check_scoring(model: Any, scoring: Scoring, owner: str) -> None:
    """Refuse settings that cannot work, as far as that shows without the model.

    Args:
        model: A name, a folder, or a ready model.
        scoring: The settings.
        owner: What an error about an unknown option calls whoever has them.

    Raises:
        ConfigurationError: Names the setting, what it can be, and its value.
        UnknownArgument: An option that sentence-transformers does not have.
    """
    check_known(owner, scoring.options)
    check_backend(scoring.backend, scoring.precision)
    check_positive(max_length=scoring.max_length, batch_size=scoring.batch_size)
    check_positive(windows=scoring.windows)
    if scoring.windows is None:
        msg = "windows must be a whole number of at least 1; got None"
        raise ConfigurationError(msg)
    if scoring.scale not in get_args(Scale):
        msg = f"scale must be 'logit' or 'probability'; got {scoring.scale!r}"
        raise ConfigurationError(msg)
    label = scoring.label
    if label is not None and (isinstance(label, bool) or not isinstance(label, int | str)):
        msg = f"label must be the name or the place of one of the model's labels, or None; got {label!r}"
        raise ConfigurationError(msg)
    if isinstance(model, str):
        if not model.strip():
            msg = f"model must be a name, a folder or an object that scores; got the blank name {model!r}"
            raise ConfigurationError(msg)
    else:
        check_pair_model(model)
    if scoring.backend == "onnx":
        check_options(model, scoring.options)
    if not isinstance(model, str) and scoring.options:
        name, value = next(iter(scoring.options.items()))
        msg = f"{name}={value!r} cannot be set on a ready model: it is loaded already"
        raise ConfigurationError(msg)
    if scoring.max_length is not None and not isinstance(model, str) and kind_of(model) is None:
        msg = (
            f"max_length={scoring.max_length!r} needs a model with a tokenizer; {type(model).__name__} reads its documents "
            "as it likes"
        )
        raise ConfigurationError(msg)
