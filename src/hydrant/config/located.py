"""YAML that remembers where everything stands, so that an error can say file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from hydrant.errors import ConfigurationError

# Deeper than any pipeline; an alias that holds itself would go on for ever.
_DEEPEST = 40
# How much of a value that cannot be read an error shows, in characters.
_SHOWN = 40
_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "map", "null", "seq", "str", "timestamp")
)
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Located:
    """A value of a file and its place there.

    Attributes:
        value: A scalar, a list of located values, or a dict of them by key.
        file: What the file is called in messages.
        line: The line on which the value begins, from 1.
        lines: For a dict, the line of each key.
    """

    value: Any
    file: str
    line: int
    lines: Mapping[str, int] = field(default_factory=dict)

    def error(self, message: str, *, key: str | None = None) -> ConfigurationError:
        """An error that begins with the place of this value, or of one of its keys."""
        line = self.line if key is None else self.lines.get(key, self.line)
        return ConfigurationError(f"{self.file}, line {line}: {message}")

    def mapping(self, what: str) -> dict[str, Located]:
        """The value as a mapping.

        Raises:
            ConfigurationError: It is something else.
        """
        if not isinstance(self.value, dict):
            msg = f"{what} must be a mapping of names to values, got {self.plain()!r}"
            raise self.error(msg)
        return self.value

    def items(self, what: str) -> list[Located]:
        """The value as a list.

        Raises:
            ConfigurationError: It is something else.
        """
        if not isinstance(self.value, list):
            msg = f"{what} must be a list, got {self.plain()!r}"
            raise self.error(msg)
        return self.value

    def text(self, what: str) -> str:
        """The value as a text that is not blank.

        Raises:
            ConfigurationError: It is something else.
        """
        if not isinstance(self.value, str) or not self.value.strip():
            msg = f"{what} must be a text that is not blank, got {self.plain()!r}"
            raise self.error(msg)
        return self.value

    def plain(self) -> Any:
        """The value without its places: what YAML alone would have given."""
        if isinstance(self.value, dict):
            return {key: each.plain() for key, each in self.value.items()}
        if isinstance(self.value, list):
            return [each.plain() for each in self.value]
        return self.value

    def canonical(self) -> str:
        """The same text for the same value, whatever the order of its keys and its place."""
        return json.dumps(self.plain(), sort_keys=True, ensure_ascii=False, default=str)

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Located]]:
        """Everything below, this value first, with the keys and positions that lead there."""
        yield path, self
        if isinstance(self.value, dict):
            for key, each in self.value.items():
                yield from each.walk((*path, key))
        elif isinstance(self.value, list):
            for position, each in enumerate(self.value):
                yield from each.walk((*path, str(position)))

    def with_value(self, value: Any) -> Located:
        """Another value in the same place."""
        return replace(self, value=value)


def read_yaml(path: Path) -> Located:
    """The one document of a YAML file.

    Raises:
        ConfigurationError: It cannot be read, is no YAML, is empty, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigurationError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text: {error}"
        raise ConfigurationError(msg) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, file: str) -> Located:
    """The one document of a YAML text; see `read_yaml`.

    Args:
        text: YAML, or JSON, which is YAML too. Tags that would make objects are refused.
        file: What to call it in messages.
    """
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        row = text.count("\n", 0, error.position) + 1
        msg = f"{file}, line {row}: is not YAML: the character {text[error.position]!r} cannot stand there"
        raise ConfigurationError(msg) from error
    try:
        node = loader.get_single_node()
        if node is None:
            msg = f"{file} is empty"
            raise ConfigurationError(msg)
        return _located(loader, node, file, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        msg = f"{file}{line}: is not YAML: {error.problem or error.context}"
        raise ConfigurationError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{file} is not YAML: {error}"
        raise ConfigurationError(msg) from error
    finally:
        loader.dispose()


def _located(loader: yaml.SafeLoader, node: yaml.Node, file: str, depth: int) -> Located:
    line = node.start_mark.line + 1
    if depth > _DEEPEST:
        msg = f"{file}, line {line}: is nested deeper than {_DEEPEST} levels"
        raise ConfigurationError(msg)
    if node.tag not in _TAGS:
        msg = f"{file}, line {line}: the tag {node.tag!r} means nothing here; write plain values"
        raise ConfigurationError(msg)
    if isinstance(node, yaml.SequenceNode):
        return Located([_located(loader, each, file, depth + 1) for each in node.value], file, line)
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, file, depth)
    try:
        return Located(loader.construct_object(node), file, line)
    except ValueError as error:
        # YAML takes 2024-13-45 for a date, and then there is none.
        msg = f"{file}, line {line}: {node.value[:_SHOWN]!r} is no value ({error}); put quotes around a text"
        raise ConfigurationError(msg) from error


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode, file: str, depth: int) -> Located:
    _merge(loader, node)
    values: dict[str, Located] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            msg = f"{file}, line {line}: keys must be plain texts"
            raise ConfigurationError(msg)
        key = key_node.value
        if key in values:
            msg = f"{file}, line {line}: {key!r} stands here twice, first on line {lines[key]}"
            raise ConfigurationError(msg)
        values[key], lines[key] = _located(loader, value_node, file, depth + 1), line
    return Located(values, file, node.start_mark.line + 1, lines)


def _merge(loader: yaml.SafeLoader, node: yaml.MappingNode) -> None:
    """Bring in what "<<" names; the mapping's own keys take the place of those that come from elsewhere."""
    own = [pair for pair in node.value if pair[0].tag != _MERGE]
    if len(own) == len(node.value):
        return
    written = {id(key) for key, _ in own}
    loader.flatten_mapping(node)
    # Of several mappings that are merged in, PyYAML puts the one that counts last.
    merged = {
        key.value if isinstance(key, yaml.ScalarNode) else id(key): (key, value)
        for key, value in node.value
        if id(key) not in written
    }
    for key, _ in own:
        merged.pop(key.value if isinstance(key, yaml.ScalarNode) else id(key), None)
    node.value = [*merged.values(), *own]
