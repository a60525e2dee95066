"""A file with choices in it: `limit: {choose: [20, 50, 100]}` stands for three pipelines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydrant.config.located import Located, read_yaml
from hydrant.config.pipelines import PipelineConfig

CHOOSE = "choose"
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Choice:
    """One place in the file where there is something to choose.

    Attributes:
        path: The keys and positions that lead there.
        name: A short name: the last keys that tell it from the others.
        options: What there is to choose from.
    """

    path: tuple[str, ...]
    name: str
    options: tuple[Located, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One pipeline of a space.

    Attributes:
        config: Its description.
        settings: What was chosen, by the name of the choice.
    """

    config: PipelineConfig
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Space:
    """Every pipeline that a file with choices stands for.

    Attributes:
        content: What the file says.
        folder: What paths in it are relative to.
        name: The file's name.
        choices: Where there is something to choose.
    """

    content: Located
    folder: Path
    name: str
    choices: tuple[Choice, ...]

    @classmethod
    def read(cls, file: str | Path) -> Space:
        """Read a file.

        Raises:
            ConfigurationError: It cannot be read, has nothing to choose, or stands for too many pipelines.
        """
        path = Path(file)
        content = read_yaml(path)
        found = [
            (keys, each)
            for keys, each in content.walk()
            if isinstance(each.value, dict) and CHOOSE in each.value
        ]
        if not found:
            msg = (
                "there is nothing to choose; write 'limit: {choose: [20, 50]}' where a setting is to be tried"
            )
            raise content.error(msg)
        names = _names([keys for keys, _ in found])
        choices = tuple(Choice(keys, names[keys], _options(each)) for keys, each in found)
        for keys, each in content.walk():
            inside = [
                other
                for other in choices
                if len(keys) > len(other.path) and keys[: len(other.path)] == other.path
            ]
            if inside and isinstance(each.value, dict) and CHOOSE in each.value:
                msg = "a choice cannot stand inside another one; write the alternatives out"
                raise each.error(msg)
        space = cls(content, path.parent, path.stem, choices)
        if len(space) > _MOST:
            msg = f"the choices make {len(space):,} pipelines, at most {_MOST:,} can be tried; choose among fewer"
            raise content.error(msg)
        return space

    def __len__(self) -> int:
        return math.prod(len(choice.options) for choice in self.choices)

    def variants(self) -> Iterator[Variant]:
        """Every pipeline; the first takes the first option everywhere."""
        for picked in itertools.product(*(choice.options for choice in self.choices)):
            chosen = {choice.path: option for choice, option in zip(self.choices, picked, strict=True)}
            settings = {choice.name: chosen[choice.path].plain() for choice in self.choices}
            name = ", ".join(f"{key}={_shown(value)}" for key, value in settings.items())
            config = PipelineConfig.of(_filled(self.content, chosen), self.folder, self.name)
            yield Variant(PipelineConfig(name, config.content, config.folder), settings)


def _options(given: Located) -> tuple[Located, ...]:
    mapping = given.mapping("a choice")
    if len(mapping) != 1:
        msg = f"'choose' stands alone, without {sorted(set(mapping) - {CHOOSE})}"
        raise given.error(msg)
    options = mapping[CHOOSE].items("choose")
    if not options:
        msg = "'choose' needs at least one option"
        raise given.error(msg)
    if len({option.canonical() for option in options}) < len(options):
        msg = f"'choose' names an option twice: {mapping[CHOOSE].plain()!r}"
        raise given.error(msg)
    return tuple(options)


def _filled(given: Located, chosen: dict[tuple[str, ...], Located], path: tuple[str, ...] = ()) -> Located:
    if path in chosen:
        return chosen[path]
    if isinstance(given.value, dict):
        return given.with_value(
            {key: _filled(each, chosen, (*path, key)) for key, each in given.value.items()}
        )
    if isinstance(given.value, list):
        return given.with_value(
            [_filled(each, chosen, (*path, str(at))) for at, each in enumerate(given.value)]
        )
    return given


def _names(paths: list[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """For each place the shortest run of last keys that no other place ends with."""
    names = {}
    for path in paths:
        others = [other for other in paths if other != path]
        length = next(
            (
                n
                for n in range(1, len(path))
                # A position in a list says nothing without the list's key.
                if not path[-n].isdigit() and not any(other[-n:] == path[-n:] for other in others)
            ),
            len(path),
        )
        names[path] = ".".join(path[-length:])
    return names


def _shown(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        (name, inner), *_ = value.items()
        return (
            f"{name}({', '.join(f'{k}={_shown(v)}' for k, v in (inner or {}).items())})"
            if isinstance(inner, dict | None)
            else f"{name}={inner}"
        )
    return str(value)
