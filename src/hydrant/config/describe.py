"""Objects to plain data that a file can hold: the way back from stages to YAML."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from hydrant.config import registry
from hydrant.encode.model_encoder import ModelEncoder
from hydrant.errors import ConfigurationError
from hydrant.expand.gate import GATE_WORDS, Gate, as_gate
from hydrant.expand.prompts import HYDE_PROMPTS, Prompt, hyde_prompt
from hydrant.facade import Collection
from hydrant.pipeline import Pipeline, Stage
from hydrant.rerank.score_cache import ScoreCache
from hydrant.retrieve.retriever import Retriever

_SCALARS = (str, int, float, bool, type(None))
_MISSING = object()


def to_yaml(pipeline: Stage, *, name: str, collection: Mapping[str, str] | str) -> str:
    """A pipeline as the YAML that `open_pipeline` reads.

    Args:
        pipeline: The pipeline, or one stage.
        name: What it is to be called.
        collection: Its name, or `{"path": ..., "name": ...}`; a pipeline knows its client, not how that was made.

    Raises:
        ConfigurationError: It holds something that no file can say, such as a function; the message names it.
    """
    said = collection if isinstance(collection, str) else dict(collection)
    content = {"name": name, "collection": said, "stages": described(pipeline)}
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))


def described(pipeline: Stage) -> list[Any]:
    """The stages of a pipeline as plain data; only settings other than the usual ones are named.

    Raises:
        ConfigurationError: See `to_yaml`.
    """
    stages = pipeline.stages if isinstance(pipeline, Pipeline) else (pipeline,)
    return [_described(stage, type(stage).__name__) for stage in stages]


def _described(value: Any, where: str) -> Any:
    said = _said_plainly(value)
    if said is not _MISSING:
        return said
    if isinstance(value, Mapping):
        return {str(key): _described(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_described(each, f"{where}[{position}]") for position, each in enumerate(value)]
    if isinstance(value, Retriever):
        return {registry.RETRIEVER: _retriever(value)}
    kind = type(value)
    if registry.known(kind.__name__) is not kind:
        msg = f"{where} is {value!r}, which a file cannot say; it can say {registry.names()}"
        raise ConfigurationError(msg)
    if hasattr(value, "model_fields_set"):
        return {kind.__name__: _described(value.model_dump(exclude_unset=True, mode="json"), where)}
    return {kind.__name__: _settings(value, kind, where)}


def _said_plainly(value: Any) -> Any:
    """What a value is in a file where it has nothing to look into; `_MISSING` where it has."""
    if isinstance(value, _SCALARS) and not isinstance(value, Enum):
        return value
    for kind, said in _PLAINLY.items():
        if isinstance(value, kind):
            return said(value)
    return _MISSING


def _gate_word(gate: Gate) -> Any:
    return next((word for word, usual in GATE_WORDS.items() if usual == gate), _MISSING)


def _prompt_name(prompt: Prompt) -> str:
    return next((name for name, text in HYDE_PROMPTS.items() if text == prompt.template), prompt.template)


_PLAINLY: Mapping[type[Any], Callable[[Any], Any]] = {
    Enum: lambda value: value.value,
    Path: str,
    dt.timedelta: lambda value: {"timedelta": {"seconds": value.total_seconds()}},
    Collection: lambda _: {registry.COLLECTION: {}},
    Gate: _gate_word,
    Prompt: _prompt_name,
}


def _settings(value: Any, kind: type[Any], where: str) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name == "collection":
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            further = _kept(value, name)
            if isinstance(further, Mapping):
                said |= {key: _described(each, f"{where}.{key}") for key, each in further.items()}
            continue
        kept = _kept(value, name)
        if kept is _MISSING:
            msg = f"{where} does not say what {name!r} it was made with, so that no file can say it"
            raise ConfigurationError(msg)
        if _is_default(kept, parameter, kind, name):
            continue
        said[name] = _described(kept, f"{where}.{name}")
    return said


def _kept(value: Any, name: str) -> Any:
    if isinstance(value, ModelEncoder):
        return value.made_with().get(name, _MISSING)
    return getattr(value, name, getattr(value, f"_{name}", _MISSING))


def _is_default(kept: Any, parameter: inspect.Parameter, kind: type[Any], name: str) -> bool:
    fields: Mapping[str, Any] = getattr(kind, "__dataclass_fields__", {})
    if name in fields and callable(fields[name].default_factory):
        default = fields[name].default_factory()
        # Caches of one kind are alike as a setting, though no two of them are equal.
        return bool(kept == default) or (type(kept) is type(default) and vars_alike(kept, default))
    default = parameter.default
    if default is inspect.Parameter.empty:
        return False
    if type(kept) is type(default) or isinstance(kept, bool) is isinstance(default, bool):
        return bool(kept == default) or _same_meaning(kind, name, kept)
    return False


def vars_alike(one: Any, other: Any) -> bool:
    """Whether two objects of one class without equality of their own were made with the same arguments."""
    names = inspect.signature(type(one)).parameters
    return all(_kept(one, name) is not _MISSING and _kept(one, name) == _kept(other, name) for name in names)


def _same_meaning(kind: type[Any], name: str, kept: Any) -> bool:
    """Whether a setting is what the usual word for it becomes: "always" a gate, "web" a prompt, a number a cache."""
    default = inspect.signature(kind).parameters[name].default
    if name == "name" and default is None:
        return bool(kept == getattr(kind, "name", None))
    if isinstance(kept, ScoreCache):
        return bool(_kept(kept, "size") == default)
    if isinstance(kept, Prompt):
        return bool(isinstance(default, str) and kept == hyde_prompt(default))
    if isinstance(kept, Mapping):
        return default is None and not kept
    return name == "gate" and bool(as_gate(default) == kept)


def _retriever(retriever: Retriever) -> dict[str, Any]:
    after = retriever.after
    usual = type(retriever)(retriever.collection, after=after)
    settings: dict[str, Any] = {}
    for name in ("limit", "sources", "fusion", "depth", "thresholds", "params", "explain"):
        value = getattr(retriever, name)
        if value != getattr(usual, name):
            settings[name] = value
    for name in ("rescore", "boosts", "mmr", "group"):
        value = getattr(after, name)
        if value:
            settings[name] = value
    return {key: _described(value, f"Retriever.{key}") for key, value in settings.items()}
