"""Located values to objects: `{Name: {setting: value}}` calls that class with those settings, and nothing else is called."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydrant.config import registry
from hydrant.config.located import Located
from hydrant.errors import HydrantError
from hydrant.facade import Collection
from hydrant.pipeline import Stage

_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass
class Builder:
    """Makes objects of what a file says; the same words with the same collection are the same object.

    So two files that begin alike share their stages, models and caches, and an evaluation runs what they share once.

    Attributes:
        collection: What `Retriever` searches; None in a file that names none.
        made: What was made before, by the collection and the words; hand one on to share it between files.
    """

    collection: Collection | None = None
    made: dict[tuple[int, str], Any] = field(default_factory=dict)

    def stage(self, given: Located) -> Stage:
        """A stage of the list.

        Raises:
            ConfigurationError: It is none.
        """
        if isinstance(given.value, str):
            # "- Feedback" is short for "- Feedback: {}".
            given = given.with_value({given.value: given.with_value(None)})
        if not isinstance(given.value, dict) or len(given.value) != 1:
            msg = f"a stage is written 'Name: {{settings}}', got {given.plain()!r}"
            raise given.error(msg)
        stage = self.value(given, expected=True)
        if not isinstance(stage, Stage):
            msg = f"{next(iter(given.value))} is no stage of a pipeline"
            raise given.error(msg)
        return stage

    def value(self, given: Located, *, expected: bool = False) -> Any:
        """The value: an object where it is written as one, else what YAML gives.

        Args:
            given: What the file says.
            expected: Whether it has to be an object.
        """
        if isinstance(given.value, list):
            return [self.value(each) for each in given.value]
        if not isinstance(given.value, dict):
            return given.value
        if len(given.value) == 1:
            (name, settings), *_ = given.value.items()
            if registry.known(name) is not None:
                return self._object(name, settings, given)
            if expected or registry.looks_like_a_name(name):
                msg = f"hydrant has no {name!r} for a pipeline; {registry.suggestion(name, registry.names())}"
                raise given.error(msg, key=name)
        return {key: self.value(each) for key, each in given.value.items()}

    def _object(self, name: str, settings: Located, given: Located) -> Any:
        key = (id(self.collection), given.canonical())
        if key not in self.made:
            self.made[key] = self._new(name, settings, given)
        return self.made[key]

    def _new(self, name: str, settings: Located, given: Located) -> Any:
        words = {} if settings.value is None else settings.mapping(f"the settings of {name}")
        make = self._maker(name, given)
        signature = inspect.signature(make)
        self._check(name, words, signature, settings)
        arguments = {key: self.value(each) for key, each in words.items()}
        if "collection" in signature.parameters and "collection" not in arguments:
            arguments["collection"] = self._searched(name, given)
        try:
            signature.bind(**arguments)
        except TypeError as error:
            msg = f"{name}: {error}; it takes {_accepted(signature)}"
            raise given.error(msg, key=name) from error
        try:
            return make(**arguments)
        except HydrantError as error:
            msg = f"{name}: {error}"
            raise given.error(msg, key=name) from error
        except (TypeError, ValueError, OverflowError) as error:
            # What pydantic and the standard library say of settings of the wrong kind.
            msg = f"{name}: {' '.join(str(error).split())}"
            raise given.error(msg, key=name) from error

    def _maker(self, name: str, given: Located) -> Callable[..., Any]:
        if name == registry.RETRIEVER:
            return self._searched(name, given).retriever
        if name == registry.COLLECTION:
            searched = self._searched(name, given)
            return lambda: searched
        if name == "timedelta":
            return _timedelta
        made = registry.known(name)
        assert made is not None  # noqa: S101  value() asked before
        return made

    def _searched(self, name: str, given: Located) -> Collection:
        if self.collection is None:
            msg = f"{name} needs a collection; say which: 'collection: {{path: .hydrant/index, name: docs}}'"
            raise given.error(msg, key=name)
        return self.collection

    @staticmethod
    def _check(
        name: str, words: Mapping[str, Located], signature: inspect.Signature, settings: Located
    ) -> None:
        if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values()):
            # The class checks what goes beyond its own settings.
            return
        accepted = _accepted(signature)
        for key in words:
            if key not in accepted:
                msg = f"{name} has no setting {key!r}; {registry.suggestion(key, accepted)}"
                raise settings.error(msg, key=key)


def _timedelta(
    *, weeks: float = 0, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
) -> dt.timedelta:
    """A span of time; the builtin does not tell which settings it takes."""
    return dt.timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def _accepted(signature: inspect.Signature) -> list[str]:
    return [
        name
        for name, each in signature.parameters.items()
        if each.kind in _KEYWORDS and name not in {"self", "collection"}
    ]


def built(given: Located) -> Any:
    """One object that needs no collection, such as a language model: `{OpenAIGenerator: {model: gpt-4o-mini}}`.

    Raises:
        ConfigurationError: It is none, or its settings cannot work.
    """
    if not isinstance(given.value, dict) or len(given.value) != 1:
        msg = f"one object is written '{{Name: {{settings}}}}', got {given.plain()!r}"
        raise given.error(msg)
    return Builder().value(given, expected=True)
